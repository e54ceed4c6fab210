/* Lines of the access log: their form, and that nothing gets out of its field. */
#include "worker/access_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const stages[] = {"queue", "send", NULL};
static const uint64_t stage_us[] = {1500, 0};

static struct access_line example(void)
{
    return (struct access_line){.time_ms = 1763715600123,
                                .client = "192.0.2.1",
                                .method = "GET",
                                .target = "/iiif/3/a%20b/info.json?x",
                                .referer = "http://a.example/",
                                .user_agent = "one \"two\" \\three",
                                .id = "0123456789abcdef",
                                .class = "info",
                                .protocol = "iiif3",
                                .stage_name = stages,
                                .stage_us = stage_us,
                                .sent_bytes = 5,
                                .took_us = 1750,
                                .status = 200,
                                .is_whole = true};
}

static void assert_line(enum access_format format, const struct access_line *line, const char *right)
{
    char text[ACCESS_LINE_BYTES];
    size_t length = access_line_write(format, line, text);
    assert_int_equal(length, strlen(right));
    assert_memory_equal(text, right, length);
}

static void test_forms(void **state)
{
    (void)state;
    struct access_line line = example();
    assert_line(
        ACCESS_COMMON, &line,
        "192.0.2.1 - - [21/Nov/2025:09:00:00 +0000] \"GET /iiif/3/a%20b/info.json?x HTTP/1.1\" 200 5\n");
    assert_line(ACCESS_COMBINED, &line,
                "192.0.2.1 - - [21/Nov/2025:09:00:00 +0000] \"GET /iiif/3/a%20b/info.json?x HTTP/1.1\" 200 5 "
                "\"http://a.example/\" \"one \\\"two\\\" \\\\three\"\n");
    assert_line(ACCESS_JSON, &line,
                "{\"time\":\"2025-11-21T09:00:00.123Z\",\"id\":\"0123456789abcdef\",\"client\":\"192.0.2.1\","
                "\"method\":\"GET\",\"target\":\"/iiif/3/a%20b/"
                "info.json?x\",\"http\":\"1.1\",\"status\":200,\"bytes\":5,"
                "\"whole\":true,\"ms\":1.750,\"class\":\"info\",\"protocol\":\"iiif3\",\"stages_ms\":{"
                "\"queue\":1.500},"
                "\"referer\":\"http://a.example/\",\"user_agent\":\"one \\\"two\\\" \\\\three\"}\n");
    line = (struct access_line){.client = "::1",
                                .id = "x",
                                .class = "other",
                                .protocol = "none",
                                .stage_name = stages,
                                .stage_us = stage_us,
                                .status = 400,
                                .is_http_1_0 = true};
    assert_line(ACCESS_COMBINED, &line,
                "::1 - - [01/Jan/1970:00:00:00 +0000] \"- - HTTP/1.0\" 400 0 \"-\" \"-\"\n");
}

static void test_escapes(void **state)
{
    (void)state;
    struct access_line line = example();
    line.target = "/\x1b[2J\n\r\x7f\xc3\xa9\x9b";
    line.user_agent = NULL;
    line.referer = NULL;
    assert_line(ACCESS_COMMON, &line,
                "192.0.2.1 - - [21/Nov/2025:09:00:00 +0000] \"GET /\\x1b[2J\\x0a\\x0d\\x7f\\xc3\\xa9\\x9b "
                "HTTP/1.1\" 200 5\n");
    char text[ACCESS_LINE_BYTES];
    text[access_line_write(ACCESS_JSON, &line, text)] = '\0';
    assert_non_null(strstr(text, "\"/\\u001b[2J\\u000a\\u000d\\u007f\\u00c3\\u00a9\\u009b\""));
}

/* The longest line there can be ends where a line ends. */
static void test_longest(void **state)
{
    (void)state;
    static char hostile[100000];
    char text[ACCESS_LINE_BYTES];
    memset(hostile, 0x1b, sizeof hostile - 1);
    struct access_line line = example();
    line.method = line.target = line.referer = line.user_agent = hostile;
    for (enum access_format format = ACCESS_COMMON; format <= ACCESS_JSON; format++) {
        size_t length = access_line_write(format, &line, text);
        assert_true(length < sizeof text);
        assert_true(text[length - 1] == '\n' && memchr(text, '\n', length) == text + length - 1);
        assert_true(format != ACCESS_JSON || text[length - 2] == '}');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_escapes),
                                       cmocka_unit_test(test_longest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
