/* What holds of every encoder; and PNG and GIF, which lose nothing or choose colours. */
#include "tests/unit/image/encoding.h"

#include <stdio.h>
#include <gif_lib.h>
#include <png.h>

/* ---- PNG ---- */

static struct planes png_planes(const struct bytes *file, png_structp png, png_infop info, uint8_t *ret_depth)
{
    FILE *stream = fmemopen(file->data, file->length, "rb");
    png_init_io(png, stream);
    png_read_png(png, info, PNG_TRANSFORM_EXPAND, NULL);
    fclose(stream);
    int type = png_get_color_type(png, info);
    struct image_format format = {.model = type & PNG_COLOR_MASK_COLOR ? IMAGE_RGB : IMAGE_GRAY,
                                  .depth_bits = 8,
                                  .alpha = type & PNG_COLOR_MASK_ALPHA ? IMAGE_ALPHA_STRAIGHT
                                                                       : IMAGE_ALPHA_NONE};
    struct planes to = planes_new(format, png_get_image_width(png, info), png_get_image_height(png, info));
    uint32_t planes = image_format_planes(&format);
    for (uint32_t y = 0; y < to.size.height_px; y++)
        for (uint32_t x = 0; x < to.size.width_px; x++)
            for (uint32_t i = 0; i < planes; i++)
                set_sample(&to, i, x, y, png_get_rows(png, info)[y][x * planes + i]);
    *ret_depth = file->data[24]; /* IHDR */
    return to;
}

static void no_warning(png_structp png, png_const_charp message)
{
    (void)png;
    fail_msg("libpng: %s", message);
}

static void check_png(const struct planes *from, const struct image_encode_options *options, uint8_t depth)
{
    struct bytes file = encoded(IMAGE_PNG, from, options, 7);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, no_warning, no_warning);
    png_infop info = png_create_info_struct(png);
    uint8_t got_depth;
    struct planes to = png_planes(&file, png, info, &got_depth);
    assert_int_equal(got_depth, depth);
    assert_formats_equal(&to.format, &from->format);
    assert_int_equal(planes_difference(from, &to), 0);
    if (options->exif != NULL) {
        png_bytep exif;
        png_uint_32 length;
        assert_true(png_get_eXIf_1(png, info, &length, &exif));
        assert_int_equal(length, sizeof exif_bytes);
        png_textp text;
        assert_int_equal(png_get_text(png, info, &text, NULL), 1);
        assert_string_equal(text->key, "XML:com.adobe.xmp");
        assert_int_equal(text->itxt_length, options->xmp->length);
        assert_memory_equal(text->text, options->xmp->data, options->xmp->length);
    }
    png_destroy_read_struct(&png, &info, NULL);
    planes_free(&to);
    bytes_done(&file);
}

static void test_png_is_lossless(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB, FORMAT_GRAY_ALPHA, FORMAT_RGB_ALPHA};
    (void)state;
    struct bytes exif = exif_payload(), xmp = filled(1000);
    for (size_t f = 0; f < 4; f++) {
        struct planes from = photo(formats[f], 131, 67);
        struct image_encode_options options = plain;
        check_png(&from, &options, 8);
        options.exif = &exif;
        options.xmp = &xmp;
        check_png(&from, &options, 8);
        planes_free(&from);
    }
    struct planes from = photo(FORMAT_GRAY, 131, 67);
    struct image_encode_options options = plain;
    options.bitonal = true;
    make_bitonal(&from);
    check_png(&from, &options, 1);
    planes_free(&from);
    bytes_done(&exif);
    bytes_done(&xmp);
}

/* ---- GIF ---- */

struct memory_file {
    const struct bytes *bytes;
    uint64_t position;
};

static int memory_gif_read(GifFileType *gif, GifByteType *to, int length)
{
    struct memory_file *f = gif->UserData;
    if (f->position + (uint64_t)length > f->bytes->length)
        length = (int)(f->bytes->length - f->position);
    memcpy(to, f->bytes->data + f->position, (size_t)length);
    f->position += (uint64_t)length;
    return length;
}

static struct planes gif_planes(const struct bytes *file, struct image_format format, uint32_t *ret_colours)
{
    struct memory_file handle = {file, 0};
    int code;
    GifFileType *gif = DGifOpen(&handle, memory_gif_read, &code);
    assert_non_null(gif);
    assert_int_equal(DGifSlurp(gif), GIF_OK);
    assert_int_equal(gif->ImageCount, 1);
    GraphicsControlBlock control = {.TransparentColor = NO_TRANSPARENT_COLOR};
    DGifSavedExtensionToGCB(gif, 0, &control);
    uint32_t width = (uint32_t)gif->SWidth, height = (uint32_t)gif->SHeight;
    uint8_t *rgba = malloc((size_t)width * height * 4);
    for (uint32_t i = 0; i < width * height; i++) {
        uint8_t index = gif->SavedImages[0].RasterBits[i];
        GifColorType c = gif->SColorMap->Colors[index];
        memcpy(rgba + i * 4, (uint8_t[]){c.Red, c.Green, c.Blue, index == control.TransparentColor ? 0 : 255},
               4);
    }
    *ret_colours = (uint32_t)gif->SColorMap->ColorCount;
    struct planes to = from_rgba(rgba, width, height, format);
    free(rgba);
    DGifCloseFile(gif, NULL);
    return to;
}

static void test_gif(void **state)
{
    uint32_t colours;
    (void)state;
    struct planes from = photo(FORMAT_GRAY, 131, 67); /* gray has no more than 256 colours: nothing is lost */
    struct bytes file = encoded(IMAGE_GIF, &from, &plain, 9);
    struct planes to = gif_planes(&file, FORMAT_GRAY, &colours);
    assert_int_equal(planes_difference(&from, &to), 0);
    planes_free(&to);
    bytes_done(&file);
    make_bitonal(&from);
    file = encoded(IMAGE_GIF, &from, &plain, 9);
    to = gif_planes(&file, FORMAT_GRAY, &colours);
    assert_int_equal(planes_difference(&from, &to), 0);
    assert_int_equal(colours, 2);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);

    from = photo(FORMAT_RGB, 300, 200);
    file = encoded(IMAGE_GIF, &from, &plain, 9);
    to = gif_planes(&file, FORMAT_RGB, &colours);
    print_message("GIF of RGB: %.1f dB\n", psnr(&from, &to));
    assert_true(psnr(&from, &to) > 30);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);

    from = photo(FORMAT_RGB_ALPHA, 131, 67);
    file = encoded(IMAGE_GIF, &from, &plain, 9);
    to = gif_planes(&file, FORMAT_RGB_ALPHA, &colours);
    for (uint32_t y = 0; y < 67; y++)
        for (uint32_t x = 0; x < 131; x++)
            assert_int_equal(sample(&to, 3, x, y), sample(&from, 3, x, y) >= 128 ? 255 : 0);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);
}

/* ---- all ---- */

static void test_inputs(void **state)
{
    const struct image_format ycc = FORMAT_YCC(1, 1), ycc411 = FORMAT_YCC(2, 0), rgba = FORMAT_RGB_ALPHA,
                              gray = FORMAT_GRAY;
    struct image_format ycca = FORMAT_YCC(0, 0), input;
    (void)state;
    ycca.alpha = IMAGE_ALPHA_STRAIGHT;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        input = image_encode_input(type, &gray);
        assert_formats_equal(&input, &gray);
        input = image_encode_input(type, &rgba);
        assert_int_equal(input.alpha, image_encode_has_alpha(type) ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE);
        input = image_encode_input(type, &ycca);
        assert_int_equal(input.model, IMAGE_RGB); /* no step turns YCBCR with alpha into anything else */
        assert_non_null(image_encode_media_type(type));
    }
    input = image_encode_input(IMAGE_JPEG, &ycc411);
    assert_formats_equal(&input, &ycc);
    input = image_encode_input(IMAGE_PNG, &ycc);
    assert_int_equal(input.model, IMAGE_RGB);
}

static void test_edges_beyond_the_format_are_refused(void **state)
{
    (void)state;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        if (type == IMAGE_TIFF)
            continue;
        struct image_size size = {image_encode_max_edge_px(type) + 1, 1};
        struct bytes out = {0};
        struct image_sink *sink = NULL;
        struct err err;
        const struct image_format gray = FORMAT_GRAY;
        assert_int_equal(image_encode_open(type, &gray, size, &plain, &out, &sink, &err), RC_BAD_REQUEST);
        assert_null(sink);
        bytes_done(&out);
    }
}

/* Answers are repeatable: the same pixels, cut into other bands, at another time, are the same bytes. */
static void test_same_pixels_same_bytes(void **state)
{
    (void)state;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        const struct image_format available = FORMAT_RGB_ALPHA;
        struct planes from = photo(image_encode_input(type, &available), 200, 150);
        struct bytes one = encoded(type, &from, &plain, 16), two = encoded(type, &from, &plain, 150);
        assert_int_equal(one.length, two.length);
        assert_memory_equal(one.data, two.data, one.length);
        bytes_done(&one);
        bytes_done(&two);
        planes_free(&from);
    }
}

/* The file is whole after finish(), and is put behind what the buffer held before. */
static void test_files_are_whole_when_finished(void **state)
{
    (void)state;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        struct planes from = photo(FORMAT_RGB, 100, 50);
        struct bytes reference = encoded(type, &from, &plain, 50), out = {0};
        struct image_sink *sink = NULL;
        struct image_reader *reader = planes_reader(&from, NULL, 50);
        struct image_band band;
        assert_int_equal(bytes_append(&out, "before", 6, NULL), RC_OK);
        assert_int_equal(image_encode_open(type, &from.format, from.size, &plain, &out, &sink, NULL), RC_OK);
        assert_int_equal(reader->ops->read(reader, &band, NULL), RC_OK);
        assert_int_equal(sink->ops->write(sink, &band, NULL), RC_OK);
        assert_int_equal(sink->ops->finish(sink, NULL), RC_OK);
        assert_int_equal(out.length, reference.length + 6);
        assert_memory_equal(out.data + 6, reference.data, reference.length);
        image_sink_close(&sink);
        assert_int_equal(out.length, reference.length + 6);
        image_reader_close(&reader);
        bytes_done(&out);
        bytes_done(&reference);
        planes_free(&from);
    }
}

/* A reader that fails in the middle ends the chain without finish(). */
static void test_unfinished_encoders_close(void **state)
{
    (void)state;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        struct planes from = photo(FORMAT_RGB, 100, 50);
        struct bytes out = {0};
        struct image_sink *sink = NULL;
        struct image_reader *reader = planes_reader(&from, NULL, 20);
        struct image_band band;
        assert_int_equal(image_encode_open(type, &from.format, from.size, &plain, &out, &sink, NULL), RC_OK);
        assert_int_equal(reader->ops->read(reader, &band, NULL), RC_OK);
        assert_int_equal(sink->ops->write(sink, &band, NULL), RC_OK);
        image_sink_close(&sink);
        image_reader_close(&reader);
        bytes_done(&out);
        planes_free(&from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_is_lossless),
        cmocka_unit_test(test_gif),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_edges_beyond_the_format_are_refused),
        cmocka_unit_test(test_same_pixels_same_bytes),
        cmocka_unit_test(test_files_are_whole_when_finished),
        cmocka_unit_test(test_unfinished_encoders_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
