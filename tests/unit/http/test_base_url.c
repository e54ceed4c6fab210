#include "worker/http/base_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#define LONG_NAME                                                                                          \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void assert_url(const struct http_forwarding *sent, bool trusted, const char *right)
{
    struct arena *arena = arena_new();
    assert_string_equal(http_base_url(arena, NULL, trusted, sent), right);
    assert_string_equal(http_base_url(arena, "", trusted, sent), right);
    assert_string_equal(http_base_url(arena, "https://c.example/x//", trusted, sent), "https://c.example/x");
    arena_free(arena);
}

static void test_host(void **state)
{
    (void)state;
    static const struct {
        const char *host, *right;
    } cases[] = {
        {NULL, "http://localhost"},
        {"", "http://localhost"},
        {"h.example", "http://h.example"},
        {" h.example\t", "http://h.example"},
        {"H_1-a.Example:8080", "http://H_1-a.Example:8080"},
        {"h.example:80", "http://h.example:80"},
        {"127.0.0.1:8", "http://127.0.0.1:8"},
        {"[::1]", "http://[::1]"},
        {"[2001:DB8::1]:8080", "http://[2001:DB8::1]:8080"},
        {"h:", "http://localhost"},
        {"h:0", "http://localhost"},
        {"h:65535", "http://h:65535"},
        {"h:65536", "http://localhost"},
        {"h:1x", "http://localhost"},
        {"h:1:2", "http://localhost"},
        {":80", "http://localhost"},
        {"::1", "http://localhost"},
        {"[::1", "http://localhost"},
        {"[]", "http://localhost"},
        {"[::1]x", "http://localhost"},
        {"[::1%25eth0]", "http://localhost"},
        {"[1.2.3.4]", "http://localhost"},
        {"a b", "http://localhost"},
        {"a, b", "http://localhost"},
        {"a/b", "http://localhost"},
        {"a\\b", "http://localhost"},
        {"a@b", "http://localhost"},
        {"x\"y", "http://localhost"},
        {"<script>", "http://localhost"},
        {"a%41", "http://localhost"},
        {"\xc3\xa9", "http://localhost"},
        {LONG_NAME, "http://localhost"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("           %s\n", cases[i].host == NULL ? "(none)" : cases[i].host);
        const struct http_forwarding sent = {.host = cases[i].host};
        assert_url(&sent, false, cases[i].right);
        assert_url(&sent, true, cases[i].right);
    }
}

static void test_strangers_are_not_believed(void **state)
{
    (void)state;
    const struct http_forwarding sent = {
        .host = "inner:8080",
        .forwarded = "proto=https;host=a.example",
        .x_forwarded_proto = "https",
        .x_forwarded_host = "b.example",
        .x_forwarded_port = "9",
        .x_forwarded_prefix = "/p",
    };
    assert_url(&sent, false, "http://inner:8080");
    assert_url(&sent, true, "https://a.example/p");
}

static void test_x_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *proto, *host, *port, *prefix, *right;
    } cases[] = {
        {"https", NULL, NULL, NULL, "https://inner:8080"},
        {"HTTPS", "o.example", NULL, NULL, "https://o.example"},
        {"https, http", "o.example, p.example", "8443, 80", NULL, "https://o.example:8443"},
        {"javascript", "o.example", NULL, NULL, "http://o.example"},
        {"https", "o.example:8443", "443", NULL, "https://o.example:8443"},
        {"https", "o.example", "443", NULL, "https://o.example"},
        {"http", "o.example", "443", NULL, "http://o.example:443"},
        {NULL, "o.example", "80", NULL, "http://o.example"},
        {"https", "[::1]", "8443", NULL, "https://[::1]:8443"},
        {"https", "o.example", "8443x", NULL, "https://o.example"},
        {"https", "o.example", "0", NULL, "https://o.example"},
        {NULL, NULL, "9000", NULL, "http://inner:8080"},
        {NULL, "a b", NULL, NULL, "http://inner:8080"},
        {NULL, "", NULL, NULL, "http://inner:8080"},
        {NULL, "evil/path", NULL, NULL, "http://inner:8080"},
        {NULL, "o.example", NULL, "/p/q/", "http://o.example/p/q"},
        {NULL, "o.example", NULL, "/", "http://o.example"},
        {NULL, "o.example", NULL, "p", "http://o.example"},
        {NULL, "o.example", NULL, "//evil.example", "http://o.example"},
        {NULL, "o.example", NULL, "/a/../b", "http://o.example"},
        {NULL, "o.example", NULL, "/a?b", "http://o.example"},
        {NULL, "o.example", NULL, "/a b", "http://o.example"},
        {NULL, "o.example", NULL, "/a\"b", "http://o.example"},
        {NULL, "o.example", NULL, "/%7Eme;v=1", "http://o.example/%7Eme;v=1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_forwarding sent = {
            .host = "inner:8080",
            .x_forwarded_proto = cases[i].proto,
            .x_forwarded_host = cases[i].host,
            .x_forwarded_port = cases[i].port,
            .x_forwarded_prefix = cases[i].prefix,
        };
        assert_url(&sent, true, cases[i].right);
    }
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *forwarded, *right;
    } cases[] = {
        {"proto=https", "https://inner"},
        {"Host=o.example;Proto=HTTPS", "https://o.example"},
        {"for=\"[2001:db8::1]:4711\" ; proto=https ; host=o.example", "https://o.example"},
        {"for=192.0.2.1;proto=https;host=\"o.example:8443\"", "https://o.example:8443"},
        {"host=\"\\o.ex\\ample\"", "http://o.example"},
        {"host=\"[2001:db8::1]:90\"", "http://[2001:db8::1]:90"},
        {"host=o.example, host=p.example;proto=https", "http://o.example"},
        {"for=a;;proto=https;", "https://inner"},
        {" , proto=https", "http://inner"},
        {"", "http://inner"},
        {";;;===", "http://inner"},
        {"host=\"unclosed", "http://inner"},
        {"host=\"unclosed\\", "http://inner"},
        {"proto=https;host=", "http://inner"},
        {"proto=https host=o.example", "http://inner"},
        {"proto=https;host=o.example;host=p.example", "http://inner"},
        {"proto = https", "http://inner"},
        {"proto=https;host=\"evil.example/path\"", "https://inner"},
        {"proto=gopher;host=o.example", "http://o.example"},
        {"hosts=o.example;xproto=https", "http://inner"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("           %s\n", cases[i].forwarded);
        const struct http_forwarding sent = {.host = "inner", .forwarded = cases[i].forwarded};
        assert_url(&sent, true, cases[i].right);
    }
}

static void test_forwarded_goes_before_x_forwarded_part_by_part(void **state)
{
    (void)state;
    struct http_forwarding sent = {
        .host = "inner",
        .forwarded = "proto=https",
        .x_forwarded_proto = "http",
        .x_forwarded_host = "x.example",
        .x_forwarded_port = "81",
    };
    assert_url(&sent, true, "https://x.example:81");
    sent.forwarded = "host=f.example";
    assert_url(&sent, true, "http://f.example"); /* a port from elsewhere does not belong to it */
    sent.forwarded = "host=\"nonsense";
    assert_url(&sent, true, "http://x.example:81");
}

/* ---- trusted peers ---- */

static struct sockaddr_storage peer_of(const char *address)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (strcmp(address, "unix") == 0)
        peer.ss_family = AF_UNIX;
    else if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        memcpy(&peer, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
        memcpy(&peer, &v6, sizeof v6);
    return peer;
}

static void test_trusted(void **state)
{
    (void)state;
    static const struct {
        const char *list, *peer;
        bool right;
    } cases[] = {
        {"", "127.0.0.1", false},
        {" , ", "127.0.0.1", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.3/8", "10.255.1.2", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.4/30", "192.0.2.7", true},
        {"192.0.2.4/30", "192.0.2.8", false},
        {"192.0.2.4/32", "192.0.2.5", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"192.0.2.1,\t10.0.0.0/8 2001:db8::/32", "2001:db8::7", true},
        {"loopback", "127.9.9.9", true},
        {"loopback", "::1", true},
        {"loopback", "unix", true},
        {"loopback", "10.0.0.1", false},
        {"private", "unix", false},
        {"private", "127.0.0.1", false},
        {"private", "10.0.0.1", true},
        {"private", "172.31.255.255", true},
        {"private", "172.32.0.0", false},
        {"private", "192.168.1.1", true},
        {"private", "fd00::1", true},
        {"private", "fe80::1", true},
        {"private", "2001:db8::1", false},
        {"private, loopback", "::1", true},
        {"loopback", "", false},
        {"127.0.0.1 oops", "127.0.0.1", false}, /* a list that does not parse trusts nobody */
        {"oops 127.0.0.1", "127.0.0.1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("           %s in %s\n", cases[i].peer, cases[i].list);
        const struct sockaddr_storage peer = peer_of(cases[i].peer);
        assert_int_equal(http_peer_is_trusted(&peer, cases[i].list), cases[i].right);
    }
    const struct sockaddr_storage peer = peer_of("127.0.0.1");
    assert_false(http_peer_is_trusted(&peer, NULL));
}

static void test_trusted_list_check(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int at; /* -1: it parses */
    } cases[] = {
        {"", -1},
        {"loopback private,10.0.0.0/8, ::1 , ", -1},
        {"0.0.0.0/0 ::/0 1.2.3.4/32 ::1/128", -1},
        {"loopback, oops", 10},
        {"1.2.3", 0},
        {"1.2.3.4/33", 0},
        {" ::1/129", 1},
        {"1.2.3.4/", 0},
        {"1.2.3.4/-1", 0},
        {"1.2.3.4/8/8", 0},
        {"::1 ::1/0x8", 4},
        {"Loopback", 0},
        {"[::1]", 0},
        {"example.org", 0},
        {"1.2.3.4;5.6.7.8", 0},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned at = 999;
        const char *fault = http_trusted_list_check(cases[i].list, &at);
        print_message("           %s\n", cases[i].list);
        assert_int_equal(fault != NULL, cases[i].at >= 0);
        assert_int_equal(at, fault != NULL ? (unsigned)cases[i].at : 999);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_strangers_are_not_believed),
        cmocka_unit_test(test_x_forwarded),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_forwarded_goes_before_x_forwarded_part_by_part),
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_trusted_list_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
