/* Stored tiles become files: made here with libjpeg as TIFF writers do (abbreviated, tables apart), read back by it. */
#include "worker/image/jpeg_stored.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <cmocka.h>

enum { WIDTH = 64, HEIGHT = 48 };

struct made {
    struct bytes tables, tile;
    J_COLOR_SPACE space;
};

static void make(struct made *made, J_COLOR_SPACE space, bool own_marker)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr failing;
    unsigned char *data = NULL;
    unsigned long length = 0;
    struct err err;
    int components = space == JCS_GRAYSCALE ? 1 : 3;
    *made = (struct made){.space = space};
    c.err = jpeg_std_error(&failing);
    jpeg_create_compress(&c);
    c.image_width = WIDTH;
    c.image_height = HEIGHT;
    c.input_components = components;
    c.in_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, space);
    jpeg_set_quality(&c, 95, TRUE);
    c.write_JFIF_header = own_marker && space != JCS_RGB;
    c.write_Adobe_marker = own_marker && space == JCS_RGB;
    jpeg_mem_dest(&c, &data, &length);
    jpeg_write_tables(&c);
    assert_int_equal(bytes_append(&made->tables, data, length, &err), RC_OK);
    free(data);
    data = NULL;
    length = 0;
    jpeg_mem_dest(&c, &data, &length);
    jpeg_start_compress(&c, FALSE);
    for (unsigned y = 0; y < HEIGHT; y++) {
        JSAMPLE row[WIDTH * 3];
        for (unsigned i = 0; i < WIDTH * (unsigned)components; i++)
            row[i] = (JSAMPLE)(i * 2 + y * 3);
        JSAMPROW rows = row;
        jpeg_write_scanlines(&c, &rows, 1);
    }
    jpeg_finish_compress(&c);
    assert_int_equal(bytes_append(&made->tile, data, length, &err), RC_OK);
    free(data);
    jpeg_destroy_compress(&c);
}

static void made_done(struct made *made)
{
    bytes_done(&made->tables);
    bytes_done(&made->tile);
}

static enum rc finish(const struct made *made, enum image_model model, struct image_size size,
                      struct bytes *out, struct err *err)
{
    const struct image_stored_tile tile = {
        .length_bytes = (uint32_t)made->tile.length, .size = size, .tables = &made->tables};
    size_t offset = image_jpeg_stored_offset(&tile);
    assert_int_equal(bytes_reserve(out, offset + made->tile.length, err), RC_OK);
    memcpy(out->data + offset, made->tile.data, made->tile.length);
    return image_jpeg_stored_finish(&tile, model, out, err);
}

/* What a viewer takes the file for, and its first pixel. */
static J_COLOR_SPACE decode(const struct bytes *file, JSAMPLE first[3])
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr failing;
    JSAMPLE row[WIDTH * 3];
    JSAMPROW rows = row;
    d.err = jpeg_std_error(&failing);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, file->data, file->length);
    assert_int_equal(jpeg_read_header(&d, TRUE), JPEG_HEADER_OK);
    J_COLOR_SPACE space = d.jpeg_color_space;
    d.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&d);
    jpeg_read_scanlines(&d, &rows, 1);
    memcpy(first, row, 3);
    while (d.output_scanline < d.output_height)
        jpeg_read_scanlines(&d, &rows, 1);
    jpeg_finish_decompress(&d);
    assert_int_equal(failing.num_warnings, 0);
    jpeg_destroy_decompress(&d);
    return space;
}

static void test_every_coding_is_taken_for_what_it_is(void **state)
{
    (void)state;
    static const struct {
        J_COLOR_SPACE space;
        enum image_model model;
    } kind[] = {{JCS_GRAYSCALE, IMAGE_GRAY}, {JCS_YCbCr, IMAGE_YCBCR}, {JCS_RGB, IMAGE_RGB}};
    for (size_t i = 0; i < 6; i++) {
        struct made made;
        struct bytes out = {0};
        struct err err = {0};
        JSAMPLE first[3];
        make(&made, kind[i % 3].space, i >= 3);
        if (finish(&made, kind[i % 3].model, (struct image_size){WIDTH, HEIGHT}, &out, &err) != RC_OK)
            fail_msg("%zu: %s", i, err.message);
        assert_int_equal(decode(&out, first), kind[i % 3].space);
        assert_in_range(first[0], 0,
                        8); /* the first sample is 0: Cb or Cr taken for colour would be far off */
        bytes_done(&out);
        made_done(&made);
    }
}

static void test_a_tile_that_says_something_else_is_left_to_the_decoder(void **state)
{
    (void)state;
    struct made made;
    struct bytes out = {0};
    struct err err = {0};
    make(&made, JCS_YCbCr, true);
    assert_int_equal(finish(&made, IMAGE_RGB, (struct image_size){WIDTH, HEIGHT}, &out, &err),
                     RC_UNSUPPORTED);
    assert_int_equal(finish(&made, IMAGE_GRAY, (struct image_size){WIDTH, HEIGHT}, &out, &err),
                     RC_UNSUPPORTED);
    assert_int_equal(finish(&made, IMAGE_YCBCR, (struct image_size){WIDTH, HEIGHT + 8}, &out, &err),
                     RC_UNSUPPORTED);
    assert_non_null(strstr(err.message, "64 x 48"));
    made.tables.length -= 1; /* tables that do not end */
    assert_int_equal(finish(&made, IMAGE_YCBCR, (struct image_size){WIDTH, HEIGHT}, &out, &err),
                     RC_UNSUPPORTED);
    made.tables.length += 1;
    for (size_t length = 0; length < made.tile.length;
         length += 7) { /* cut anywhere before the scan: refused */
        struct made cut = {.tables = made.tables, .tile = {.data = made.tile.data, .length = length}};
        enum rc rc = finish(&cut, IMAGE_YCBCR, (struct image_size){WIDTH, HEIGHT}, &out, &err);
        assert_true(rc == RC_UNSUPPORTED || length > 40);
    }
    bytes_done(&out);
    made_done(&made);
}

static void test_codings_that_browsers_do_not_know(void **state)
{
    (void)state;
    struct made made;
    struct bytes out = {0};
    struct err err = {0};
    make(&made, JCS_YCbCr, false);
    uint8_t *frame = memmem(made.tile.data, made.tile.length, "\xff\xc0", 2);
    assert_non_null(frame);
    frame[1] = 0xc9; /* arithmetic */
    assert_int_equal(finish(&made, IMAGE_YCBCR, (struct image_size){WIDTH, HEIGHT}, &out, &err),
                     RC_UNSUPPORTED);
    frame[1] = 0xc0;
    frame[4] = 12; /* bits */
    assert_int_equal(finish(&made, IMAGE_YCBCR, (struct image_size){WIDTH, HEIGHT}, &out, &err),
                     RC_UNSUPPORTED);
    bytes_done(&out);
    made_done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_coding_is_taken_for_what_it_is),
        cmocka_unit_test(test_a_tile_that_says_something_else_is_left_to_the_decoder),
        cmocka_unit_test(test_codings_that_browsers_do_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
