/* The server as its clients and its handler see it: real sockets on loopback. */
#include "tests/unit/http/serving.h"

#include "shm/journal.h"

/* ---- one connection, many requests ---- */

static void test_keep_alive(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    connect_client(&serving, &client);
    for (unsigned i = 0; i < 1000; i++) {
        char target[64], right[96];
        snprintf(target, sizeof target, "/%u?a=%u", i, i);
        snprintf(right, sizeof right, "h.example %s", target);
        get(&client, target, "", &reply);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body, right);
        assert_null(header_of(&reply, "Connection"));
    }
    assert_int_equal(http_server_connections(serving.server), 1);
    close(client.fd);
    until(atomic_load(&serving.closed_count) == 1);
    assert_int_equal(atomic_load(&serving.closed_last), 100);
    assert_int_equal(http_server_connections(serving.server), 0);
    serving_stop(&serving);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    static char text[64 * 100];
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    connect_client(&serving, &client);
    for (unsigned i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "GET /size/%u HTTP/1.1\r\nHost: h\r\n\r\n",
                 i * 7);
    send_text(&client, text);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(receive(&client, &reply, true));
        assert_int_equal(reply.length, i * 7);
    }
    close(client.fd);
    serving_stop(&serving);
}

static void test_head_has_the_headers_of_get_and_no_body(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    connect_client(&serving, &client);
    ask(&client, "HEAD", "/size/5000", "");
    assert_true(receive(&client, &reply, false));
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.length, 5000);
    get(&client, "/size/10", "", &reply); /* would begin with the body, were there one */
    assert_string_equal(reply.body, "abcdefghij");
    close(client.fd);
    serving_stop(&serving);
}

/* ---- the request line and the header ---- */

static const struct {
    const char *name;
    const char *request;
    size_t length; /* 0: up to the NUL */
    unsigned status;
    const char *body; /* NULL: not compared */
} lines[] = {
    {"raw target", "GET /a%2Fb/%zz?c=%2F&d+e HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200, "h /a%2Fb/%zz?c=%2F&d+e"},
    {"bytes no URI may have", "GET /\\^<>[]`\"{|}\x80\xff HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200,
     "h /\\^<>[]`\"{|}\x80\xff"},
    {"blank", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"tab", "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"control", "GET /a\x01z HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"delete", "GET /a\x7fz HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"NUL", "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n", 31, 400, NULL},
    {"NUL in the query", "GET /a?b\0c HTTP/1.1\r\nHost: h\r\n\r\n", 33, 400, NULL},
    {"no slash", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200, "h *"},
    {"absolute", "GET http://o.example:81/x?y HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200, "o.example:81 /x?y"},
    {"absolute without path", "GET HTTP://o.example?y HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200, "o.example /?y"},
    {"other scheme", "GET ftp://o.example/ HTTP/1.1\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"query of one", "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", 0, 200, "h /a?"},
    {"no Host", "GET /a HTTP/1.1\r\n\r\n", 0, 400, NULL},
    {"two Hosts", "GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 0, 400, NULL},
    {"no Host, 1.0", "GET /a HTTP/1.0\r\n\r\n", 0, 200, "- /a"},
    {"no version", "GET /a\r\nHost: h\r\n\r\n", 0, 400, NULL},
    {"version 2", "GET /a HTTP/2.0\r\nHost: h\r\n\r\n", 0, 505, NULL},
    {"no colon", "GET /a HTTP/1.1\r\nHost h\r\n\r\n", 0, 400, NULL},
    {"method", "BREW /a HTTP/1.1\r\nHost: h\r\n\r\n", 0, 405, NULL},
    {"method in small letters", "get /a HTTP/1.1\r\nHost: h\r\n\r\n", 0, 405, NULL},
    {"method with a large body", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\nxyz", 0, 405,
     NULL},
    {"method with chunks",
     "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n", 0, 405, NULL},
    {"large body", "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n", 0, 413, NULL},
    {"chunks", "GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 411, NULL},
    {"length that is none", "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", 0, 400, NULL},
};

static void test_lines(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        print_message("           %s\n", lines[i].name);
        connect_client(&serving, &client);
        send_bytes(&client, lines[i].request, lines[i].length ? lines[i].length : strlen(lines[i].request));
        assert_true(receive(&client, &reply, true));
        assert_int_equal(reply.status, lines[i].status);
        if (lines[i].body != NULL)
            assert_string_equal(reply.body, lines[i].body);
        close(client.fd);
    }
    serving_stop(&serving);
}

static void test_small_bodies_are_read_over(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    static char body[65536];
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    connect_client(&serving, &client);
    strcpy(body, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        ask(&client, "GET", "/a", "Content-Length: 65536\r\n");
        send_bytes(&client, body, sizeof body);
        assert_true(receive(&client, &reply, true));
        assert_string_equal(reply.body, "h.example /a");
    }
    get(&client, "/b", "", &reply);
    assert_string_equal(reply.body, "h.example /b");
    close(client.fd);
    serving_stop(&serving);
}

static void too_long_is_answered(struct shm_journal *journal, size_t max_header_bytes)
{
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    static char text[1 << 20]; /* holds the largest of them */
    /* bytes of target, bytes of one header, for a limit of 8192 */
    static const struct {
        size_t target, header;
        unsigned status;
    } cases[] = {{7000, 1, 200},   {1, 7000, 200},    {8500, 1, 414},   {1, 8500, 431},
                 {9500, 1, 414},   {40000, 1, 414},   {1, 40000, 431},  {200000, 1, 414},
                 {1, 200000, 431}, {5000, 5000, 414}, {3000, 8000, 431}};
    size_t scale = max_header_bytes / 8192;
    serving_start(&serving,
                  (struct http_server_options){.max_header_bytes = max_header_bytes, .journal = journal},
                  handle_at_once);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *p = text;
        p += sprintf(p, "GET /");
        memset(p, 'a', cases[i].target * scale);
        p += cases[i].target * scale;
        p += sprintf(p, " HTTP/1.1\r\nHost: h\r\nX: ");
        memset(p, 'b', cases[i].header * scale);
        p += cases[i].header * scale;
        p += sprintf(p, "\r\n\r\n");
        connect_client(&serving, &client);
        send_bytes(&client, text, (size_t)(p - text));
        assert_true(receive(&client, &reply, true));
        assert_int_equal(reply.status, cases[i].status);
        close(client.fd);
    }
    serving_stop(&serving);
}

static void test_what_is_too_long_is_answered(void **state)
{
    (void)state;
    too_long_is_answered(NULL, 8192);
    too_long_is_answered(NULL, 32768);
}

/* Requests longer than the journal can keep are read all the same. */
static void test_what_is_too_long_is_answered_beside_a_journal(void **state)
{
    (void)state;
    static const size_t limits[] = {8192, 32768};
    for (size_t i = 0; i < 2; i++) {
        struct shm_journal *journal;
        struct err err;
        assert_int_equal(shm_journal_make(1024, &journal, &err), RC_OK);
        too_long_is_answered(journal, limits[i]);
        shm_journal_free(&journal);
    }
}

/* libmicrohttpd would run out of memory for the connection on these, and then wait for the idle time-out. */
static void test_many_parameters_are_no_burden(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    char text[7000] = "GET /a?";
    serving_start(&serving, (struct http_server_options){.idle_timeout_s = 2}, handle_at_once);
    connect_client(&serving, &client);
    for (int i = 0; i < 3000; i++)
        strcat(text, "a&");
    strcat(text, " HTTP/1.1\r\nHost: h\r\n\r\n");
    send_text(&client, text);
    assert_true(receive(&client, &reply, true));
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.length, strlen("h /a?") + 6000);
    close(client.fd);
    serving_stop(&serving);
}

static void handle_joined(struct http_exchange *exchange, struct serving *serving)
{
    (void)serving;
    const char *absent = http_exchange_header(exchange, "X-Absent");
    reply_text(exchange,
               arena_format(http_exchange_arena(exchange), "%s|%s|%s",
                            http_exchange_header(exchange, "x-list"),
                            http_exchange_header(exchange, "X-EMPTY"), absent == NULL ? "none" : absent));
}

static void test_repeated_headers_are_joined(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_joined);
    connect_client(&serving, &client);
    get(&client, "/", "X-List: a, b\r\nX-Empty:\r\nx-LIST: c\r\nX-List: d\r\n", &reply);
    assert_string_equal(reply.body, "a, b, c, d||none");
    close(client.fd);
    serving_stop(&serving);
}

/* ---- the end ---- */

static void test_stop_ends_what_is_open(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client[20];
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_at_once);
    for (int i = 0; i < 20; i++)
        connect_client(&serving, &client[i]);
    get(&client[0], "/a", "", &reply);
    send_text(&client[1], "GET /a HT");
    http_server_stop(&serving.server);
    assert_null(serving.server);
    assert_int_equal(atomic_load(&serving.closed_count), 20);
    for (int i = 0; i < 20; i++) {
        assert_true(ends_within(&client[i], A_MINUTE_MS));
        close(client[i].fd);
    }
    close(serving.listener);
    http_server_stop(&serving.server); /* of nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_head_has_the_headers_of_get_and_no_body),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_small_bodies_are_read_over),
        cmocka_unit_test(test_what_is_too_long_is_answered),
        cmocka_unit_test(test_what_is_too_long_is_answered_beside_a_journal),
        cmocka_unit_test(test_many_parameters_are_no_burden),
        cmocka_unit_test(test_repeated_headers_are_joined),
        cmocka_unit_test(test_stop_ends_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
