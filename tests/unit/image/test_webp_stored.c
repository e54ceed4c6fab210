/* Which stored WebP tiles may leave as they are: made here with libwebp, then altered. */
#include "worker/image/webp_stored.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <webp/encode.h>
#include <webp/mux.h>

#include <cmocka.h>

enum { EDGE = 48 };

static const struct image_size size = {EDGE, EDGE};

/* Lossy; half transparent or not. */
static void make(struct bytes *out, bool transparent)
{
    uint8_t pixels[EDGE * EDGE * 4], *data = NULL;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i % 4 == 3 ? (transparent ? i / EDGE : 255) : i * 7);
    size_t length = WebPEncodeRGBA(pixels, EDGE, EDGE, EDGE * 4, 70, &data);
    assert_true(length > 0);
    assert_int_equal(bytes_append(out, data, length, NULL), RC_OK);
    WebPFree(data);
}

static enum rc check(const struct bytes *tile, bool has_alpha, struct err *err)
{
    return image_webp_stored_check(tile->data, tile->length, size, has_alpha, err);
}

static void test_plain_pictures_may_leave(void **state)
{
    (void)state;
    struct bytes opaque = {0}, transparent = {0};
    struct err err = {0};
    make(&opaque, false);
    make(&transparent, true);
    assert_int_equal(check(&opaque, false, &err), RC_OK);
    assert_int_equal(check(&opaque, true, &err), RC_OK);
    assert_int_equal(check(&transparent, true, &err), RC_OK);
    assert_int_equal(check(&transparent, false, &err), RC_UNSUPPORTED);
    bytes_done(&opaque);
    bytes_done(&transparent);
}

static void test_other_sizes_and_broken_files(void **state)
{
    (void)state;
    struct bytes tile = {0};
    struct err err = {0};
    make(&tile, false);
    const struct image_size other = {EDGE, EDGE + 1};
    assert_int_equal(image_webp_stored_check(tile.data, tile.length, other, false, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.message, "48 x 48"));
    for (size_t length = 0; length < tile.length; length++)
        assert_int_equal(image_webp_stored_check(tile.data, length, size, false, &err), RC_UNSUPPORTED);
    assert_int_equal(bytes_append(&tile, "more", 4, &err), RC_OK);
    assert_int_equal(check(&tile, false, &err), RC_UNSUPPORTED);
    bytes_done(&tile);
}

static void test_nothing_but_pixels(void **state)
{
    (void)state;
    static const char *const names[] = {"EXIF", "ICCP", "XMP "};
    struct bytes tile = {0};
    struct err err = {0};
    make(&tile, false);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const WebPData plain = {tile.data, tile.length}, chunk = {(const uint8_t *)"payload.", 8};
        WebPMux *mux = WebPMuxCreate(&plain, 0);
        WebPData whole = {NULL, 0};
        assert_int_equal(WebPMuxSetChunk(mux, names[i], &chunk, 0), WEBP_MUX_OK);
        assert_int_equal(WebPMuxAssemble(mux, &whole), WEBP_MUX_OK);
        assert_int_equal(image_webp_stored_check(whole.bytes, whole.size, size, false, &err), RC_UNSUPPORTED);
        assert_non_null(strstr(err.message, "more than plain pixels"));
        WebPDataClear(&whole);
        WebPMuxDelete(mux);
    }
    bytes_done(&tile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_pictures_may_leave),
        cmocka_unit_test(test_other_sizes_and_broken_files),
        cmocka_unit_test(test_nothing_but_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
