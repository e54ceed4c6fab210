#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/http/compress.h"

#include <zlib.h>
#include <zstd.h>

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum http_coding coding;
    } row[] = {
        {NULL, HTTP_IDENTITY},
        {"", HTTP_IDENTITY},
        {"gzip", HTTP_GZIP},
        {"GZIP", HTTP_GZIP},
        {"gzip, deflate, br, zstd", HTTP_ZSTD},
        {"zstd;q=0.5, gzip", HTTP_GZIP},
        {"zstd;q=0.5,gzip;q=0.4", HTTP_ZSTD},
        {"gzip;q=0", HTTP_IDENTITY},
        {"gzip; q=0.000, zstd ; q=0", HTTP_IDENTITY},
        {"identity", HTTP_IDENTITY},
        {"*", HTTP_ZSTD},
        {"*, zstd;q=0", HTTP_GZIP},
        {"*;q=0", HTTP_IDENTITY},
        {"br, gzipped", HTTP_IDENTITY},
        {",,; q=1", HTTP_IDENTITY},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (http_compress_choose(row[i].accept) != row[i].coding)
            fail_msg("%s", row[i].accept);
}

static struct bytes text_of(size_t length)
{
    struct bytes body = {0};
    while (body.length < length)
        assert_int_equal(bytes_append(&body, "manifest ", 9, NULL), RC_OK);
    return body;
}

static void test_what_comes_back_is_the_text(void **state)
{
    (void)state;
    struct bytes text = text_of(5000), body = text_of(5000);
    enum http_coding coding;
    uint8_t back[8192];
    assert_int_equal(http_compress_body(HTTP_ZSTD, &body, &coding, NULL), RC_OK);
    assert_int_equal(coding, HTTP_ZSTD);
    assert_true(body.length < text.length / 10);
    assert_int_equal(ZSTD_decompress(back, sizeof back, body.data, body.length), text.length);
    assert_memory_equal(back, text.data, text.length);
    bytes_done(&body);

    body = text_of(5000);
    assert_int_equal(http_compress_body(HTTP_GZIP, &body, &coding, NULL), RC_OK);
    z_stream stream = {
        .next_in = body.data, .avail_in = (uInt)body.length, .next_out = back, .avail_out = sizeof back};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK); /* a gzip frame and nothing else */
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, text.length);
    assert_memory_equal(back, text.data, text.length);
    inflateEnd(&stream);
    bytes_done(&body);
    bytes_done(&text);
}

static void test_short_text_stays(void **state)
{
    (void)state;
    struct bytes body = text_of(100);
    enum http_coding coding = HTTP_ZSTD;
    assert_int_equal(http_compress_body(HTTP_GZIP, &body, &coding, NULL), RC_OK);
    assert_int_equal(coding, HTTP_IDENTITY);
    assert_memory_equal(body.data, "manifest", 8);
    bytes_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_what_comes_back_is_the_text),
        cmocka_unit_test(test_short_text_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
