/* One decoder, many streams: what one leaves behind has no say in the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/image/jpeg_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jpeglib.h>

enum { SIDE = 64, CHROMA = SIDE / 2 };

struct coded {
    struct bytes tables, bare, whole; /* tables alone, picture alone, both */
};

enum kind { BASELINE, PROGRESSIVE };

static void append(struct bytes *bytes, const uint8_t *data, size_t length)
{
    assert_int_equal(bytes_append(bytes, data, length, NULL), RC_OK);
}

/* A 4:2:0 picture whose pixels depend on `seed`, in three shapes. */
static struct coded coded_new(int quality, unsigned seed, enum kind kind)
{
    struct coded coded = {.tables = {0}};
    struct jpeg_compress_struct lib;
    struct jpeg_error_mgr errors;
    uint8_t *data = NULL;
    unsigned long length = 0;
    uint8_t row[SIDE * 3];
    JSAMPROW rows[1] = {row};

    lib.err = jpeg_std_error(&errors);
    jpeg_create_compress(&lib);
    jpeg_mem_dest(&lib, &data, &length);
    lib.image_width = lib.image_height = SIDE;
    lib.input_components = 3;
    lib.in_color_space = JCS_RGB;
    jpeg_set_defaults(&lib);
    jpeg_set_quality(&lib, quality, TRUE);
    if (kind == PROGRESSIVE)
        jpeg_simple_progression(&lib);
    jpeg_start_compress(&lib, TRUE);
    for (unsigned y = 0; y < SIDE; y++) {
        for (unsigned x = 0; x < SIDE * 3; x++)
            row[x] = (uint8_t)((x * (seed + 3) / 5 + y * (seed % 7 + 1) + x * y * seed / 64) & 255);
        jpeg_write_scanlines(&lib, rows, 1);
    }
    jpeg_finish_compress(&lib);
    jpeg_destroy_compress(&lib);
    append(&coded.whole, data, length);
    append(&coded.tables, data, 2);
    append(&coded.bare, data, 2);
    size_t at = 2;
    for (; data[at + 1] != 0xda; at += 2u + ((size_t)data[at + 2] << 8 | data[at + 3]))
        append(data[at + 1] == 0xdb || data[at + 1] == 0xc4 ? &coded.tables : &coded.bare, data + at,
               2u + ((size_t)data[at + 2] << 8 | data[at + 3]));
    append(&coded.bare, data + at, length - at);
    append(&coded.tables, (const uint8_t *)"\xff\xd9", 2);
    free(data);
    return coded;
}

static void coded_free(struct coded *coded)
{
    bytes_done(&coded->tables);
    bytes_done(&coded->bare);
    bytes_done(&coded->whole);
}

/* A blob of a stream, so that what is read is not the stream's own memory. */
static struct image_blob *blob_of(const struct bytes *stream)
{
    char path[] = "/tmp/test-jpeg-XXXXXX";
    int fd = mkstemp(path);
    struct image_blob *blob = NULL;
    assert_true(fd >= 0 && write(fd, stream->data, stream->length) == (ssize_t)stream->length);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(image_blob_from_file(fd, &blob, NULL), RC_OK);
    return blob;
}

struct pixels {
    uint8_t y[SIDE * SIDE], cb[CHROMA * CHROMA], cr[CHROMA * CHROMA];
};

/* Decodes with `jpeg`; rows above `from_px` are gone over only. */
static enum rc decode(struct image_jpeg *jpeg, const struct bytes *tables, const struct bytes *stream,
                      bool at_once, uint32_t from_px, struct pixels *to, struct err *err)
{
    struct image_blob *blob = blob_of(stream);
    struct image_jpeg_input input = {.blob = blob, .length = stream->length, .is_wanted_whole = at_once};
    struct image_jpeg_frame frame;
    uint8_t sub_x, sub_y;
    strcpy(input.subject, "the test");
    enum rc rc = image_jpeg_begin(jpeg, tables, &input, &frame, err);
    if (rc == RC_OK)
        rc = image_jpeg_start(jpeg, IMAGE_JPEG_PLANES, 0, 1 << 20, &sub_x, &sub_y, err);
    for (uint32_t y = 0; rc == RC_OK && y < SIDE; y += image_jpeg_rows_at_once(jpeg)) {
        struct image_jpeg_place place = {.plane = {NULL}};
        if (y >= from_px)
            place = (struct image_jpeg_place){.plane = {to->y + (size_t)y * SIDE,
                                                        to->cb + (size_t)y / 2 * CHROMA,
                                                        to->cr + (size_t)y / 2 * CHROMA},
                                              .stride_bytes = {SIDE, CHROMA, CHROMA}};
        rc = image_jpeg_rows_to(jpeg, &place, err);
    }
    image_blob_close(&blob);
    return rc;
}

static struct image_jpeg *decoder(void)
{
    struct image_jpeg *jpeg = NULL;
    assert_int_equal(image_jpeg_new(&jpeg, NULL), RC_OK);
    return jpeg;
}

/* What a decoder of its own makes of a stream that has everything. */
static struct pixels expected(const struct coded *coded)
{
    struct image_jpeg *jpeg = decoder();
    struct pixels pixels;
    assert_int_equal(decode(jpeg, NULL, &coded->whole, false, 0, &pixels, NULL), RC_OK);
    image_jpeg_free(&jpeg);
    return pixels;
}

static void test_tables_of_one_stream_do_not_stay(void **state)
{
    struct coded fine = coded_new(95, 11, BASELINE), coarse = coded_new(20, 5, BASELINE);
    struct pixels of_fine = expected(&fine), of_coarse = expected(&coarse);
    struct image_jpeg *jpeg = decoder();
    (void)state;
    for (int round = 0; round < 8; round++) {
        struct pixels pixels;
        bool at_once = round % 2;
        /* shared tables, then a stream that brings its own over them, then shared tables again */
        assert_int_equal(decode(jpeg, &fine.tables, &fine.bare, at_once, 0, &pixels, NULL), RC_OK);
        assert_memory_equal(&pixels, &of_fine, sizeof pixels);
        assert_int_equal(decode(jpeg, &fine.tables, &fine.bare, at_once, 0, &pixels, NULL), RC_OK);
        assert_memory_equal(&pixels, &of_fine, sizeof pixels);
        assert_int_equal(decode(jpeg, &fine.tables, &coarse.whole, at_once, 0, &pixels, NULL), RC_OK);
        assert_memory_equal(&pixels, &of_coarse, sizeof pixels);
        if (round % 3 == 0) {
            assert_int_equal(decode(jpeg, &coarse.tables, &coarse.bare, at_once, 0, &pixels, NULL), RC_OK);
            assert_memory_equal(&pixels, &of_coarse, sizeof pixels);
        }
    }
    /* and none at all where the stream has none */
    struct pixels pixels;
    assert_int_equal(decode(jpeg, NULL, &fine.bare, true, 0, &pixels, NULL), RC_CORRUPT);
    assert_int_equal(decode(jpeg, &fine.tables, &fine.bare, true, 0, &pixels, NULL), RC_OK);
    assert_memory_equal(&pixels, &of_fine, sizeof pixels);
    image_jpeg_free(&jpeg);
    coded_free(&fine);
    coded_free(&coarse);
}

static void test_rows_that_are_not_wanted(void **state)
{
    (void)state;
    for (enum kind kind = BASELINE; kind <= PROGRESSIVE; kind++) {
        struct coded coded = coded_new(90, 3, kind);
        struct pixels all = expected(&coded);
        struct image_jpeg *jpeg = decoder();
        for (uint32_t from = 16; from < SIDE; from += 16) {
            struct pixels pixels;
            memset(&pixels, 7, sizeof pixels);
            assert_int_equal(decode(jpeg, NULL, &coded.whole, true, from, &pixels, NULL), RC_OK);
            for (size_t i = 0; i < sizeof pixels.y; i++)
                assert_int_equal(pixels.y[i], i < (size_t)from * SIDE ? 7 : all.y[i]);
            for (size_t i = 0; i < sizeof pixels.cb; i++)
                assert_int_equal(pixels.cr[i], i < (size_t)from / 2 * CHROMA ? 7 : all.cr[i]);
        }
        image_jpeg_free(&jpeg);
        coded_free(&coded);
    }
}

/* Cut anywhere, a stream is an error or all there: never gray, and the same however it is read. */
static void test_cut_streams(void **state)
{
    (void)state;
    for (enum kind kind = BASELINE; kind <= PROGRESSIVE; kind++) {
        struct coded coded = coded_new(80, 9, kind);
        struct pixels all = expected(&coded);
        struct image_jpeg *jpeg = decoder();
        size_t whole = coded.whole.length;
        for (size_t length = 2; length<whole; length += length> 800 && length < whole - 12 ? 31 : 1) {
            struct err err;
            struct pixels one, other;
            coded.whole.length = length;
            enum rc rc = decode(jpeg, NULL, &coded.whole, true, 0, &one, &err);
            assert_int_equal(rc, decode(jpeg, NULL, &coded.whole, false, 0, &other, &err));
            if (rc == RC_OK) {
                assert_true(length > whole - 12);
                assert_memory_equal(&one, &other, sizeof one);
                assert_memory_equal(&one, &all, sizeof one);
            }
        }
        coded.whole.length = whole;
        image_jpeg_free(&jpeg);
        coded_free(&coded);
    }
}

/* Coefficients of several scans lie packed meanwhile: small ones, and at quality 100 ones that take two bytes. What comes out is what
 * comes of the same coefficients in one scan; and a stream that was left in its middle does not stay. */
static void test_several_scans_say_the_same_as_one(void **state)
{
    (void)state;
    static const int quality[] = {10, 75, 92, 100};
    struct image_jpeg *jpeg = decoder();
    for (unsigned i = 0; i < sizeof quality / sizeof quality[0]; i++)
        for (unsigned seed = 0; seed < 60; seed += 7) {
            struct coded one = coded_new(quality[i], seed, BASELINE),
                         many = coded_new(quality[i], seed, PROGRESSIVE);
            struct pixels of_one = expected(&one), of_many;
            struct err err = {0};
            struct bytes cut = {.data = many.whole.data, .length = many.whole.length / 2};
            assert_int_not_equal(decode(jpeg, NULL, &cut, true, 0, &of_many, &err), RC_OK);
            assert_int_equal(decode(jpeg, NULL, &many.whole, seed % 2 == 0, 0, &of_many, &err), RC_OK);
            assert_memory_equal(&of_one, &of_many, sizeof of_one);
            coded_free(&one);
            coded_free(&many);
        }
    image_jpeg_free(&jpeg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_of_one_stream_do_not_stay),
        cmocka_unit_test(test_several_scans_say_the_same_as_one),
        cmocka_unit_test(test_rows_that_are_not_wanted),
        cmocka_unit_test(test_cut_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
