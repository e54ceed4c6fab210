/* What the answers of stores and servers are taken for: which part of which version comes, whether it is worth another try, and whose fault
 * it is. */
#include "cache/web_verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char server_place[] = "http://there/x", store_place[] = "s3://bucket", region[] = "us-east-1";
static const struct web_address server = {.place = server_place};
static const struct web_address store = {.is_s3 = true, .place = store_place, .region = region};
static const struct origin_version version = {.size_bytes = 1000};
static const struct transport_fetch look = {.path = "a.tif", .offset = 0, .length = 65536, .first = true};
static const struct transport_fetch again = {
    .path = "a.tif", .offset = 0, .length = 65536, .first = true, .known = &version};
static const struct transport_fetch piece = {
    .path = "a.tif", .offset = 100, .length = 100, .known = &version};
static struct err err;
static struct web_verdict verdict;
static struct transport_answer answer;

/* An answer's head, of lines. */
static struct http_answer head(const char *lines)
{
    struct http_answer made = {.status = 0};
    for (const char *line = lines; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        http_answer_line(&made, line, length);
        line += length + (line[length] == '\n');
    }
    return made;
}

static enum rc part_of(const struct transport_fetch *fetch, const char *lines)
{
    const struct http_answer made = head(lines);
    answer = (struct transport_answer){.offset = 77};
    return web_verdict_part(&server, fetch, &made, &answer, &err);
}

static void test_which_part_comes(void **state)
{
    (void)state;
    assert_int_equal(part_of(&piece, "HTTP/1.1 206 P\nContent-Range: bytes 100-199/1000\nETag: \"e\""),
                     RC_OK);
    assert_false(answer.whole);
    assert_int_equal(answer.offset, 100);
    assert_int_equal(answer.version.size_bytes, 1000);
    assert_string_equal(answer.etag, "\"e\"");
    assert_int_equal(part_of(&piece, "HTTP/1.1 206 P\nContent-Range: bytes 100-149/1000"), RC_OK); /* less */
    assert_string_equal(answer.etag, "");
    assert_int_equal(
        part_of(&piece, "HTTP/1.1 200 O\nContent-Length: 1000\nLast-Modified: Sat, 21 Nov 2026 00:00:00 GMT"),
        RC_OK);
    assert_true(answer.whole);
    assert_int_equal(answer.offset, 0);
    assert_int_equal(answer.version.size_bytes, 1000);
    assert_int_not_equal(answer.version.modified.tv_sec, 0);
}

static void test_what_is_no_part(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "HTTP/1.1 206 P",
        "HTTP/1.1 206 P\nContent-Length: 100",
        "HTTP/1.1 206 P\nContent-Range: bytes 100-199/*",
        "HTTP/1.1 206 P\nContent-Range: bytes 101-199/1000",
        "HTTP/1.1 206 P\nContent-Range: bytes 99-199/1000",
        "HTTP/1.1 206 P\nContent-Range: bytes 100-200/1000",
        "HTTP/1.1 206 P\nContent-Range: bytes 100-199/199",
        "HTTP/1.1 206 P\nContent-Range: bytes 199-100/1000",
        "HTTP/1.1 206 P\nContent-Range: bytes 100-199/99999999999999999999999",
        "HTTP/1.1 206 P\nContent-Range: pixels 100-199/1000",
        "HTTP/1.1 206 P\nContent-Range: bytes 100-199/1000\nContent-Encoding: gzip",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 O\nContent-Length: -1",
        "HTTP/1.1 200 O\nContent-Length: 1000x",
        "HTTP/1.1 200 O\nContent-Length: 1000\nContent-Encoding: br",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(part_of(&piece, wrong[i]), RC_ORIGIN);
        assert_int_equal(answer.offset, 77); /* untouched */
    }
    assert_int_equal(
        part_of(&piece, "HTTP/1.1 206 P\nContent-Range: bytes 100-199/1000\nContent-Encoding: identity"),
        RC_OK);
}

static enum rc end_of(const struct web_address *address, const struct transport_fetch *fetch,
                      const char *lines, const char *code)
{
    const struct http_answer made = head(lines);
    struct bytes text = {0};
    if (code[0] != '\0')
        assert_int_equal(bytes_format(&text, NULL, "<?xml?><Error><Code>%s</Code></Error>", code), RC_OK);
    verdict = (struct web_verdict){.may_pass = true, .expired = true};
    enum rc rc = web_verdict_end(address, fetch, &made, &text, &verdict, &err);
    bytes_done(&text);
    return rc;
}

static void test_unchanged_is_an_answer_only_to_whoever_asked_that(void **state)
{
    (void)state;
    assert_true(web_verdict_may_be_unchanged(&again));
    assert_false(web_verdict_may_be_unchanged(&look));
    assert_false(web_verdict_may_be_unchanged(&piece));
    assert_int_equal(end_of(&server, &again, "HTTP/1.1 304 N", ""), RC_OK);
    assert_int_equal(end_of(&server, &look, "HTTP/1.1 304 N", ""), RC_ORIGIN);
    assert_int_equal(end_of(&store, &piece, "HTTP/1.1 304 N", ""), RC_ORIGIN);
    assert_non_null(strstr(err.message, "answers 304"));
}

struct end {
    const char *status, *code;
    enum rc server, store;
    bool may_pass;
    const char *sentence; /* part of what is said of the store */
};

static void test_what_it_means(void **state)
{
    (void)state;
    static const struct end end[] = {
        {"200 O", "", RC_OK, RC_OK, false, ""},
        {"206 P", "", RC_OK, RC_OK, false, ""},
        {"404 N", "", RC_NOT_FOUND, RC_NOT_FOUND, false, "no image 'a.tif'"},
        {"404 N", "NoSuchKey", RC_NOT_FOUND, RC_NOT_FOUND, false, "no image 'a.tif'"},
        {"404 N", "NoSuchBucket", RC_ORIGIN, RC_ORIGIN, false, "no such bucket"},
        {"410 G", "", RC_NOT_FOUND, RC_NOT_FOUND, false, "no image"},
        {"401 U", "", RC_FORBIDDEN, RC_ORIGIN, false, "(403)"},
        {"403 F", "AccessDenied", RC_FORBIDDEN, RC_FORBIDDEN, false, "right to read this image"},
        {"403 F", "InvalidObjectState", RC_FORBIDDEN, RC_FORBIDDEN, false, "archived"},
        {"403 F", "SignatureDoesNotMatch", RC_FORBIDDEN, RC_ORIGIN, false, "secret key is wrong"},
        {"403 F", "InvalidAccessKeyId", RC_FORBIDDEN, RC_ORIGIN, false, "access key"},
        {"403 F", "RequestTimeTooSkewed", RC_FORBIDDEN, RC_ORIGIN, false, "clock is wrong"},
        {"416 R", "", RC_UNSUPPORTED, RC_UNSUPPORTED, false, "empty"},
        {"429 T", "", RC_BUSY, RC_BUSY, true, "overloaded"},
        {"503 S", "SlowDown", RC_BUSY, RC_BUSY, true, "503 SlowDown"},
        {"500 I", "InternalError", RC_ORIGIN, RC_ORIGIN, true, "500 InternalError"},
        {"408 T", "", RC_ORIGIN, RC_ORIGIN, true, "408"},
        {"400 B", "KeyTooLongError", RC_ORIGIN, RC_NOT_FOUND, false, "no image"},
        {"400 B", "AuthorizationHeaderMalformed", RC_ORIGIN, RC_ORIGIN, false, "s3_region"},
        {"301 M", "PermanentRedirect", RC_ORIGIN, RC_ORIGIN, false, "elsewhere"},
        {"204 N", "", RC_ORIGIN, RC_ORIGIN, false, "204"},
        {"418 T", "", RC_ORIGIN, RC_ORIGIN, false, "418"},
    };
    for (size_t i = 0; i < sizeof end / sizeof end[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "HTTP/1.1 %s", end[i].status);
        assert_int_equal(end_of(&server, &look, line, end[i].code), end[i].server);
        assert_int_equal(verdict.may_pass, end[i].may_pass);
        assert_int_equal(end_of(&store, &look, line, end[i].code), end[i].store);
        assert_int_equal(verdict.may_pass, end[i].may_pass);
        assert_false(verdict.expired);
        if (end[i].store != RC_OK && strstr(err.message, end[i].sentence) == NULL)
            fail_msg("%s %s: %s", end[i].status, end[i].code, err.message);
    }
}

static void test_expired_credentials_are_a_stores(void **state)
{
    (void)state;
    assert_int_equal(end_of(&store, &look, "HTTP/1.1 403 F", "ExpiredToken"), RC_ORIGIN);
    assert_true(verdict.expired);
    assert_int_equal(end_of(&server, &look, "HTTP/1.1 403 F", "ExpiredToken"), RC_FORBIDDEN);
    assert_false(verdict.expired);
}

static void test_when_to_come_again(void **state)
{
    (void)state;
    assert_int_equal(end_of(&server, &look, "HTTP/1.1 503 S\nRetry-After: 40", ""), RC_BUSY);
    assert_int_equal(err.retry_s, 40);
    assert_int_equal(end_of(&server, &look, "HTTP/1.1 429 T\nRetry-After: 99999999", ""), RC_BUSY);
    assert_int_equal(err.retry_s, 3600);
    assert_int_equal(end_of(&server, &look, "HTTP/1.1 503 S\nRetry-After: Sat, 21 Nov 2026 00:00:00 GMT", ""),
                     RC_BUSY);
    assert_int_equal(err.retry_s, 1); /* who is told nothing is told this */
}

static void test_the_region_is_named(void **state)
{
    (void)state;
    assert_int_equal(
        end_of(&store, &look, "HTTP/1.1 301 M\nx-amz-bucket-region: eu-west-1", "PermanentRedirect"),
        RC_ORIGIN);
    assert_non_null(strstr(err.message, "is in region eu-west-1"));
}

static void test_what_a_store_says_to_anything_else(void **state)
{
    (void)state;
    const struct web_verdict_subject subject = {.kind = "object", .name = "a/b", .right = "write there"};
    const struct bytes none = {0};
    struct http_answer made = head("HTTP/1.1 204 N");
    assert_int_equal(web_verdict_store(&store, &subject, &made, &none, &verdict, &err), RC_OK);
    made = head("HTTP/1.1 404 N");
    assert_int_equal(web_verdict_store(&store, &subject, &made, &none, &verdict, &err), RC_NOT_FOUND);
    assert_string_equal(err.message, "there is no object 'a/b'");
    made = head("HTTP/1.1 304 N");
    assert_int_equal(web_verdict_store(&store, &subject, &made, &none, &verdict, &err), RC_ORIGIN);
    made = head("HTTP/1.1 403 F");
    assert_int_equal(web_verdict_store(&store, &subject, &made, &none, &verdict, &err), RC_ORIGIN);
    assert_non_null(strstr(err.message, "right to write there"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_part_comes),
        cmocka_unit_test(test_what_is_no_part),
        cmocka_unit_test(test_unchanged_is_an_answer_only_to_whoever_asked_that),
        cmocka_unit_test(test_what_it_means),
        cmocka_unit_test(test_expired_credentials_are_a_stores),
        cmocka_unit_test(test_when_to_come_again),
        cmocka_unit_test(test_the_region_is_named),
        cmocka_unit_test(test_what_a_store_says_to_anything_else),
    };
    return cmocka_run_group_tests_name("cache/web_verdict", tests, NULL, NULL);
}
