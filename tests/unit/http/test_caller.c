/* Who asks, and what a request is called. */
#include "worker/http/caller.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_caller(const char *peer, const char *forwarded, const char *x_forwarded_for,
                          const char *right)
{
    struct sockaddr_storage address = {0};
    char text[HTTP_CALLER_TEXT_BYTES];
    if (inet_pton(AF_INET, peer, &((struct sockaddr_in *)&address)->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, peer, &((struct sockaddr_in6 *)&address)->sin6_addr), 1);
        address.ss_family = AF_INET6;
    }
    struct in6_addr caller = http_caller(&address, "10.0.0.0/8 2001:db8:f::/48", forwarded, x_forwarded_for);
    http_caller_text(&caller, text);
    assert_string_equal(text, right);
}

static void test_peers(void **state)
{
    (void)state;
    assert_caller("192.0.2.1", NULL, NULL, "192.0.2.1");
    assert_caller("192.0.2.1", "for=198.51.100.1", "198.51.100.1", "192.0.2.1"); /* not trusted */
    assert_caller("::ffff:192.0.2.1", NULL, NULL, "192.0.2.1");
    assert_caller("2001:db8::1", NULL, "198.51.100.1", "2001:db8::1");
    assert_caller("10.0.0.1", NULL, NULL, "10.0.0.1");
    assert_caller("10.0.0.1", "", "", "10.0.0.1");
}

static void test_x_forwarded_for(void **state)
{
    (void)state;
    assert_caller("10.0.0.1", NULL, "192.0.2.9", "192.0.2.9");
    assert_caller("10.0.0.1", NULL, "192.0.2.9:4711", "192.0.2.9");
    assert_caller("10.0.0.1", NULL, "2001:db8::9", "2001:db8::9");
    assert_caller("10.0.0.1", NULL, "[2001:db8::9]:80", "2001:db8::9");
    assert_caller("10.0.0.1", NULL, "198.51.100.66, 192.0.2.9", "192.0.2.9");
    assert_caller("10.0.0.1", NULL, "198.51.100.66,192.0.2.9 , 10.1.1.1,2001:db8:f::5", "192.0.2.9");
    assert_caller("10.0.0.1", NULL, "10.3.3.3, 10.2.2.2", "10.3.3.3"); /* all of them ours: the first */
    assert_caller("10.0.0.1", NULL, "198.51.100.66, nonsense, 10.2.2.2", "10.2.2.2");
    assert_caller("10.0.0.1", NULL, "nonsense", "10.0.0.1");
    assert_caller("2001:db8:f::1", NULL, ",,192.0.2.9,", "192.0.2.9");
}

static void test_forwarded(void **state)
{
    (void)state;
    assert_caller("10.0.0.1", "for=192.0.2.9", "198.51.100.66", "192.0.2.9");
    assert_caller("10.0.0.1", "For=\"[2001:db8::9]:80\";proto=https;by=10.0.0.1", NULL, "2001:db8::9");
    assert_caller("10.0.0.1", "for=198.51.100.66, proto=http;for=\"192.0.2.9:80\"", NULL, "192.0.2.9");
    assert_caller("10.0.0.1", "for=192.0.2.9, for=10.4.4.4", NULL, "192.0.2.9");
    assert_caller("10.0.0.1", "for=unknown", NULL, "10.0.0.1");
    assert_caller("10.0.0.1", "for=198.51.100.66, for=_hidden", NULL, "10.0.0.1");
    assert_caller("10.0.0.1", "for=198.51.100.66, host=\"a, for=198.51.100.67\"", NULL,
                  "10.0.0.1"); /* no for */
    assert_caller("10.0.0.1", "host=\"a\\\",b\";for=192.0.2.9", NULL, "192.0.2.9");
    assert_caller("10.0.0.1", "for=\"[2001:db8::9\"", NULL, "10.0.0.1");
}

static void test_many_hops(void **state)
{
    (void)state;
    char list[4096] = "198.51.100.66";
    for (int i = 0; i < 100; i++)
        strcat(list, ", 10.0.0.7");
    assert_caller("10.0.0.1", NULL, list,
                  "10.0.0.7"); /* nobody has so many: the last that are looked at are ours */
    strcat(list, ", 192.0.2.9, 10.0.0.8");
    assert_caller("10.0.0.1", NULL, list, "192.0.2.9");
}

static void test_ids(void **state)
{
    (void)state;
    char one[HTTP_CALLER_ID_BYTES], other[HTTP_CALLER_ID_BYTES];
    const char *const good[] = {"a", "0af7651916cd43dd8448eb211c80319c",
                                "Root=1-67891233-abcdef012345678912345678",
                                "f058ebd6-02f7-4d3f-942e-904344e8cde5", "a/b+c=@d:e.f_g"};
    const char *const bad[] = {"",         " ",   "two words", "a\"b", "a\\b", "a\x1b[m",
                               "\xc3\xa9", "a,b", "<a>",       "a;b",  "a\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(http_caller_is_id(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(http_caller_is_id(bad[i]));
    char longest[HTTP_CALLER_ID_MOST + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(http_caller_is_id(longest));
    longest[HTTP_CALLER_ID_MOST] = '\0';
    assert_true(http_caller_is_id(longest));

    http_caller_make_id(1, 2, 3, one);
    http_caller_make_id(1, 2, 3, other);
    assert_string_equal(one, other);
    assert_true(http_caller_is_id(one) && strlen(one) == HTTP_CALLER_ID_BYTES - 1);
    const uint64_t near[][3] = {{2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {0, 2, 3}, {3, 2, 1}, {2, 1, 3}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        http_caller_make_id(near[i][0], near[i][1], near[i][2], other);
        assert_string_not_equal(one, other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),     cmocka_unit_test(test_x_forwarded_for),
        cmocka_unit_test(test_forwarded), cmocka_unit_test(test_many_hops),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
