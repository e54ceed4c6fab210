/* Answers as they go over the wire. */
#include "tests/unit/http/serving.h"
#include "worker/http/status.h"

#define TAG      "\"a1b2\""
#define MODIFIED "Tue, 14 Nov 2023 22:13:20 GMT"

static const struct http_representation picture = {
    .etag = TAG,
    .last_modified = 1700000000,
    .media_type = "image/png",
    .cache_control = "public, max-age=60",
    .vary = "Accept",
    .header_count = 2,
    .header = {{"Link", "<a>;rel=\"profile\""}, {"X-Empty", ""}},
};

/* More than goes to libmicrohttpd at once: in bytes, or in lines. */
static char long_text[3001];
static struct http_representation long_one = {
    .etag = TAG,
    .header_count = 5,
    .header = {{"X-One", "1"},
               {"X-Long", long_text},
               {"X-Two", "2"},
               {"X-Split", "a\r\nX-Smuggled: b"},
               {"X-Three", "3"}},
};
static char numbered[40][8];
static struct http_header many[40];

static void handle(struct http_exchange *exchange, struct serving *serving)
{
    (void)serving;
    const char *target = http_exchange_target(exchange);
    const struct http_representation bare = {.etag = "\"0\""};
    struct err err;
    struct bytes body = {0};
    if (http_exchange_method(exchange) == HTTP_OPTIONS) {
        http_reply_options(exchange);
    } else if (strcmp(target, "/busy") == 0) {
        err_set(&err, RC_BUSY, "come back later");
        http_reply_error(exchange, &err);
    } else if (strcmp(target, "/bad") == 0) {
        err_set(&err, RC_BAD_REQUEST, "size '<b>' is none");
        http_reply_error(exchange, &err);
    } else if (strcmp(target, "/long") == 0) {
        http_reply_body(exchange, &long_one, &body);
    } else if (strcmp(target, "/many") == 0) {
        http_reply_text(exchange, 200, NULL, NULL, many, 40);
    } else if (strcmp(target, "/empty") == 0) {
        http_reply_body(exchange, &bare, &body);
    } else if (http_reply_is_not_modified(exchange, &picture)) {
        http_reply_not_modified(exchange, &picture);
    } else if (bytes_append(&body, "0123456789", 10, &err) == RC_OK) {
        http_reply_body(exchange, &picture, &body);
        if (body.data != NULL || body.length != 0)
            abort(); /* it was to be taken over */
    }
}

static struct serving serving;
static struct client client;
static struct reply reply;

static int start(void **state)
{
    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(numbered[i], sizeof numbered[i], "X-N%u", i);
        many[i] = (struct http_header){numbered[i], numbered[i] + 3};
    }
    serving_start(&serving, (struct http_server_options){0}, handle);
    connect_client(&serving, &client);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(client.fd);
    serving_stop(&serving);
    return 0;
}

/* What every answer says. */
static void assert_common(void)
{
    time_t date;
    assert_says(&reply, "Access-Control-Allow-Origin", "*");
    assert_non_null(strstr(header_of(&reply, "Access-Control-Expose-Headers"), "ETag"));
    assert_says(&reply, "Server", "Vitrine");
    assert_true(clock_parse_http_date(header_of(&reply, "Date"), &date));
    assert_in_range(time(NULL) - date, 0, 2);
}

static void assert_validators(void)
{
    assert_common();
    assert_says(&reply, "ETag", TAG);
    assert_says(&reply, "Last-Modified", MODIFIED);
    assert_says(&reply, "Cache-Control", "public, max-age=60");
    assert_says(&reply, "Vary", "Accept");
}

static void test_whole(void **state)
{
    (void)state;
    get(&client, "/", "", &reply);
    assert_int_equal(reply.status, 200);
    assert_validators();
    assert_says(&reply, "Content-Type", "image/png");
    assert_says(&reply, "Accept-Ranges", "bytes");
    assert_says(&reply, "Link", "<a>;rel=\"profile\"");
    assert_null(header_of(&reply, "X-Empty"));
    assert_null(header_of(&reply, "Content-Range"));
    assert_string_equal(reply.body, "0123456789");
}

/* All of it, byte for byte: a worker of another build must be able to go on with an answer that was cut in its head. */
static void test_the_order_of_lines(void **state)
{
    (void)state;
    char date[1024], expected[3000];
    get(&client, "/", "", &reply);
    snprintf(date, sizeof date, "%s", header_of(&reply, "Date"));
    snprintf(
        expected, sizeof expected,
        "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: Vitrine\r\nAccess-Control-Allow-Origin: *\r\n"
        "Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, ETag, Link, Location, "
        "Retry-After, X-Request-Id\r\n"
        "Content-Type: image/png\r\nETag: " TAG "\r\nLast-Modified: " MODIFIED "\r\n"
        "Cache-Control: public, max-age=60\r\nVary: Accept\r\nLink: <a>;rel=\"profile\"\r\n"
        "Accept-Ranges: bytes\r\nContent-Length: 10\r\n\r\n",
        date);
    assert_string_equal(reply.head, expected);
}

/* What comes first stays first where not everything fits into one piece; a value with a line end in it is not sent. */
static void test_long_and_many_lines(void **state)
{
    (void)state;
    get(&client, "/long", "", &reply);
    assert_common();
    const char *one = strstr(reply.head, "\r\nX-One: 1\r\nX-Long: xxx");
    const char *two = strstr(reply.head, "xxx\r\nX-Two: 2\r\nX-Three: 3\r\nAccept-Ranges: bytes\r\n");
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(two + 3 - strchr(one + 12, 'x'), sizeof long_text - 1);
    assert_null(strstr(reply.head, "X-S"));
    get(&client, "/many", "", &reply);
    assert_common();
    const char *line = reply.head;
    for (int i = 0; i < 40; i++) {
        char expected[400];
        snprintf(expected, sizeof expected, "\r\n%s: %s\r\n", numbered[i], numbered[i] + 3);
        line = strstr(line, expected);
        assert_non_null(line);
    }
}

static void test_head(void **state)
{
    (void)state;
    ask(&client, "HEAD", "/", "Range: bytes=0-1\r\n"); /* a range is for GET alone */
    assert_true(receive(&client, &reply, false));
    assert_int_equal(reply.status, 200);
    assert_validators();
    assert_int_equal(reply.length, 10);
}

static void test_part(void **state)
{
    (void)state;
    get(&client, "/", "Range: bytes=2-4\r\n", &reply);
    assert_int_equal(reply.status, 206);
    assert_validators();
    assert_says(&reply, "Content-Range", "bytes 2-4/10");
    assert_says(&reply, "Content-Type", "image/png");
    assert_string_equal(reply.body, "234");
    get(&client, "/", "Range: bytes=-1\r\nIf-Range: " TAG "\r\n", &reply);
    assert_int_equal(reply.status, 206);
    assert_string_equal(reply.body, "9");
    get(&client, "/", "Range: bytes=-1\r\nIf-Range: \"else\"\r\n", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "0123456789");
    get(&client, "/", "Range: bytes=1-2,4-5\r\n", &reply);
    assert_int_equal(reply.status, 200);
}

static void test_outside(void **state)
{
    (void)state;
    get(&client, "/", "Range: bytes=10-\r\n", &reply);
    assert_int_equal(reply.status, 416);
    assert_common();
    assert_says(&reply, "Content-Range", "bytes */10");
    get(&client, "/empty", "Range: bytes=0-\r\n", &reply);
    assert_int_equal(reply.status, 416);
    assert_says(&reply, "Content-Range", "bytes */0");
    get(&client, "/empty", "", &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.length, 0);
}

static void test_not_modified(void **state)
{
    (void)state;
    static const char *const conditions[] = {"If-None-Match: \"x\"\r\nIf-None-Match: " TAG "\r\n",
                                             "If-None-Match: *\r\nRange: bytes=0-1\r\n",
                                             "If-Modified-Since: " MODIFIED "\r\n"};
    for (size_t i = 0; i < 3; i++) {
        get(&client, "/", conditions[i], &reply);
        assert_int_equal(reply.status, 304);
        assert_validators();
        assert_null(header_of(&reply, "Content-Type"));
        ask(&client, "HEAD", "/", conditions[i]);
        assert_true(receive(&client, &reply, false));
        assert_int_equal(reply.status, 304);
    }
    get(&client, "/", "If-None-Match: \"x\"\r\nIf-Modified-Since: " MODIFIED "\r\n", &reply);
    assert_int_equal(reply.status, 200);
    ask(&client, "POST", "/", "If-None-Match: *\r\n"); /* a condition is for GET and HEAD alone */
    assert_true(receive(&client, &reply, true));
    assert_int_equal(reply.status, 200);
}

static void test_errors(void **state)
{
    (void)state;
    get(&client, "/bad", "", &reply);
    assert_int_equal(reply.status, 400);
    assert_common();
    assert_string_equal(reply.body, "size '<b>' is none.\n");
    assert_says(&reply, "Content-Type", "text/plain; charset=utf-8");
    assert_says(&reply, "X-Content-Type-Options", "nosniff");
    assert_says(&reply, "Cache-Control", "no-store");
    assert_null(header_of(&reply, "Retry-After"));
    get(&client, "/busy", "", &reply);
    assert_int_equal(reply.status, 503);
    assert_non_null(header_of(&reply, "Retry-After"));
}

static void test_refusals_are_readable_by_every_site(void **state)
{
    (void)state;
    get(&client, "/a", "Content-Length: 99999\r\n", &reply);
    assert_int_equal(reply.status, 413);
    assert_common();
    close(client.fd);
    connect_client(&serving, &client);
}

static void test_preflight(void **state)
{
    (void)state;
    ask(&client, "OPTIONS", "/", "Origin: https://o.example\r\nAccess-Control-Request-Method: GET\r\n");
    assert_true(receive(&client, &reply, true));
    assert_int_equal(reply.status, 204);
    assert_common();
    assert_says(&reply, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
    assert_non_null(strstr(header_of(&reply, "Access-Control-Allow-Headers"), "Authorization"));
    assert_says(&reply, "Access-Control-Max-Age", "86400");
    assert_null(header_of(&reply, "Content-Length"));
    get(&client, "/", "", &reply);
    assert_int_equal(reply.status, 200);
}

static void test_status(void **state)
{
    (void)state;
    static const struct {
        enum rc rc;
        unsigned status;
    } pairs[] = {{RC_OK, 200},          {RC_BAD_REQUEST, 400}, {RC_FORBIDDEN, 403}, {RC_NOT_FOUND, 404},
                 {RC_UNSUPPORTED, 501}, {RC_BUSY, 503},        {RC_NO_MEMORY, 503}, {RC_CORRUPT, 500},
                 {RC_TOO_LARGE, 500},   {RC_IO, 500},          {RC_CANCELLED, 500}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_int_equal(http_status_of(pairs[i].rc), pairs[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_the_order_of_lines),
        cmocka_unit_test(test_long_and_many_lines),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_part),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_not_modified),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_refusals_are_readable_by_every_site),
        cmocka_unit_test(test_preflight),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
