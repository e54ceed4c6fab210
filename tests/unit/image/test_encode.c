#include "tests/unit/image/planes.h"

#include "worker/image/encode.h"

#include <math.h>
#include <stdio.h>
#include <jpeglib.h>
#include <png.h>

static const struct image_encode_options plain = {.jpeg_quality = 90, .webp_quality = 90, .avif_quality = 80};

/* A picture that a camera could have taken: smooth, with some edges; alpha falls from left to right. */
static struct planes photo(struct image_format format, uint32_t width_px, uint32_t height_px)
{
    struct planes p = planes_new(format, width_px, height_px);
    for (uint32_t i = 0; i < image_format_planes(&format); i++) {
        bool alpha = format.alpha && i == image_format_planes(&format) - 1, chroma = format.model == IMAGE_YCBCR && i > 0;
        for (uint32_t y = 0; y < plane_height(&p, i); y++)
            for (uint32_t x = 0; x < plane_width(&p, i); x++) {
                double v = 128 + 60 * sin(x * 0.05 + i) + 40 * cos(y * 0.07 - i) + (x / 40 % 2 ? 20 : 0);
                if (chroma)
                    v = 128 + 50 * sin(x * 0.03 + i) + 40 * sin(y * 0.04);
                if (alpha)
                    v = 255 - 255.0 * x / plane_width(&p, i);
                set_sample(&p, i, x, y, (uint32_t)fmin(fmax(v, 0), 255));
            }
    }
    return p;
}

static struct bytes encoded(enum image_file_type type, const struct planes *from, const struct image_encode_options *options,
                            uint32_t band_px)
{
    struct bytes out = {0};
    struct image_sink *sink = NULL;
    struct err err = {0};
    enum rc rc = image_encode_open(type, &from->format, from->size, options, &out, &sink, &err);
    if (rc == RC_OK)
        rc = planes_write(from, sink, band_px, &err);
    if (rc != RC_OK)
        print_error("%s\n", err.message);
    assert_int_equal(rc, RC_OK);
    return out;
}

static double psnr(const struct planes *a, const struct planes *b)
{
    double sum = 0, count = 0;
    assert_memory_equal(&a->size, &b->size, sizeof a->size);
    assert_int_equal(image_format_planes(&a->format), image_format_planes(&b->format));
    for (uint32_t i = 0; i < image_format_planes(&a->format); i++)
        for (uint32_t y = 0; y < plane_height(a, i); y++)
            for (uint32_t x = 0; x < plane_width(a, i); x++) {
                double d = (double)sample(a, i, x, y) - sample(b, i, x, y);
                sum += d * d;
                count++;
            }
    return sum == 0 ? 99 : 10 * log10(255 * 255 / (sum / count));
}

/* ---- JPEG ---- */

/* Decodes without chroma upsampling or colour conversion: the planes as they were stored. */
static struct planes jpeg_planes(const struct bytes *file)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, file->data, file->length);
    jpeg_read_header(&jpeg, TRUE);
    struct image_format format = {.model = jpeg.num_components == 1 ? IMAGE_GRAY : IMAGE_YCBCR, .depth_bits = 8};
    while (jpeg.comp_info[0].h_samp_factor >> format.sub_x_log2 > 1)
        format.sub_x_log2++;
    while (jpeg.comp_info[0].v_samp_factor >> format.sub_y_log2 > 1)
        format.sub_y_log2++;
    struct planes to = planes_new(format, jpeg.image_width, jpeg.image_height);
    jpeg.raw_data_out = TRUE;
    jpeg_start_decompress(&jpeg);
    uint32_t unit = 8u * (uint32_t)jpeg.comp_info[0].v_samp_factor, width = (to.size.width_px + 63) / 32 * 32;
    uint8_t *store = malloc((size_t)width * unit * 3);
    JSAMPROW rows[3][16];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t y = 0; y < unit; y++)
            rows[i][y] = store + (i * unit + y) * width;
    for (uint32_t y0 = 0; y0 < to.size.height_px; y0 += unit) {
        jpeg_read_raw_data(&jpeg, planes, unit);
        for (uint32_t i = 0; i < image_format_planes(&format); i++)
            for (uint32_t y = y0 >> (i ? format.sub_y_log2 : 0), n = 0;
                 n < unit >> (i ? format.sub_y_log2 : 0) && y < plane_height(&to, i); y++, n++)
                memcpy(to.data[i] + y * to.stride_bytes[i], rows[i][n], plane_width(&to, i));
    }
    free(store);
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return to;
}

static void test_jpeg_keeps_planes_and_layout(void **state)
{
    static const struct image_format formats[] = {
        {.model = IMAGE_GRAY, .depth_bits = 8},
        {.model = IMAGE_YCBCR, .depth_bits = 8},
        {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1},
        {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_y_log2 = 1},
        {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1},
    };
    static const uint32_t sizes[][2] = {{256, 256}, {1, 1}, {17, 9}, {255, 33}, {128, 50}, {16, 15}};
    (void)state;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct image_format input = image_encode_input(IMAGE_JPEG, &formats[f]);
            assert_memory_equal(&input, &formats[f], sizeof input);
            struct planes from = photo(formats[f], sizes[s][0], sizes[s][1]);
            struct bytes first = {0};
            for (uint32_t band = 2; band <= 256; band *= 2) { /* bands of any height: the same file */
                struct bytes file = encoded(IMAGE_JPEG, &from, &plain, band);
                if (first.length == 0)
                    first = file;
                else {
                    assert_int_equal(file.length, first.length);
                    assert_memory_equal(file.data, first.data, file.length);
                    bytes_done(&file);
                }
            }
            struct planes to = jpeg_planes(&first);
            assert_memory_equal(&to.format, &from.format, sizeof to.format);
            assert_true(psnr(&from, &to) > 36);
            planes_free(&to);
            planes_free(&from);
            bytes_done(&first);
        }
}

static void test_jpeg_of_rgb_is_420(void **state)
{
    (void)state;
    struct planes from = photo(FORMAT_RGB, 123, 77);
    struct bytes file = encoded(IMAGE_JPEG, &from, &plain, 10);
    struct planes to = jpeg_planes(&file);
    assert_true(to.format.model == IMAGE_YCBCR && to.format.sub_x_log2 == 1 && to.format.sub_y_log2 == 1);
    double worst = 0;
    for (uint32_t y = 0; y < 77; y++)
        for (uint32_t x = 0; x < 123; x++) {
            double wanted = 0.299 * sample(&from, 0, x, y) + 0.587 * sample(&from, 1, x, y) + 0.114 * sample(&from, 2, x, y);
            worst = fmax(worst, fabs(wanted - sample(&to, 0, x, y)));
        }
    assert_true(worst < 14);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);
}

/* The bodies of all markers `code` in turn; NULL when there is none further. */
static const uint8_t *jpeg_marker(const struct bytes *file, uint8_t code, size_t *at, size_t *ret_length)
{
    if (*at == 0)
        *at = 2;
    while (*at + 4 < file->length && file->data[*at] == 0xff && file->data[*at + 1] != 0xda) {
        const uint8_t *p = file->data + *at;
        *at += 2u + bytes_be16(p + 2);
        *ret_length = bytes_be16(p + 2) - 2u;
        if (p[1] == code)
            return p + 4;
    }
    return NULL;
}

static struct bytes filled(size_t length)
{
    struct bytes b = {0};
    assert_int_equal(bytes_reserve(&b, length + 1, NULL), RC_OK);
    for (size_t i = 0; i < length; i++)
        b.data[i] = (uint8_t)('a' + i % 23);
    b.length = length;
    return b;
}

/* One entry: Orientation 6. */
static const uint8_t exif_bytes[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0};

static struct bytes exif_payload(void)
{
    struct bytes b = {0};
    assert_int_equal(bytes_append(&b, exif_bytes, sizeof exif_bytes, NULL), RC_OK);
    return b;
}

static void test_jpeg_metadata(void **state)
{
    (void)state;
    struct planes from = photo(FORMAT_YCC(1, 1), 32, 32);
    for (size_t xmp_length = 65501; xmp_length < 65505; xmp_length++) {
        struct bytes icc = filled(150001), exif = exif_payload(), xmp = filled(xmp_length), iptc = filled(33);
        struct image_encode_options options = plain;
        options.icc = &icc;
        options.exif = &exif;
        options.xmp = &xmp;
        options.iptc = &iptc;
        options.resolution_dpi = 300;
        struct bytes file = encoded(IMAGE_JPEG, &from, &options, 16);
        size_t at = 0, length, got = 0;
        const uint8_t *p = jpeg_marker(&file, 0xe0, &at, &length);
        assert_memory_equal(p, "JFIF\0\1\1\1\1\54\1\54", 12);
        p = jpeg_marker(&file, 0xe1, &at, &length);
        assert_int_equal(length, 6 + exif.length);
        assert_memory_equal(p, "Exif\0\0II", 8);
        assert_int_equal(p[6 + 18], 1); /* upright now */
        at = 0;
        jpeg_marker(&file, 0xe1, &at, &length);
        p = jpeg_marker(&file, 0xe1, &at, &length);
        if (xmp_length <= 65502) /* 65,535 less length and name (XMP part 3, 1.1.3) */
            assert_true(p != NULL && length == xmp_length + 29 && memcmp(p + 29, xmp.data, xmp_length) == 0);
        else if (xmp_length >= 65505)
            assert_null(p);
        at = 0;
        p = jpeg_marker(&file, 0xed, &at, &length);
        assert_memory_equal(p, "Photoshop 3.0\0008BIM\4\4\0\0\0\0\0\41", 26);
        assert_int_equal(length, 26 + 34); /* padded to even */
        assert_memory_equal(p + 26, iptc.data, 33);
        at = 0;
        for (uint8_t part = 1; (p = jpeg_marker(&file, 0xe2, &at, &length)) != NULL; part++) {
            assert_memory_equal(p, "ICC_PROFILE\0", 12);
            assert_true(p[12] == part && p[13] == 3);
            assert_memory_equal(p + 14, icc.data + got, length - 14);
            got += length - 14;
        }
        assert_int_equal(got, icc.length);
        bytes_done(&file);
        bytes_done(&icc);
        bytes_done(&exif);
        bytes_done(&xmp);
        bytes_done(&iptc);
    }
    planes_free(&from);
}

/* ---- PNG ---- */

static struct planes png_planes(const struct bytes *file, png_structp png, png_infop info, uint8_t *ret_depth)
{
    FILE *stream = fmemopen(file->data, file->length, "rb");
    png_init_io(png, stream);
    png_read_png(png, info, PNG_TRANSFORM_EXPAND, NULL);
    fclose(stream);
    int type = png_get_color_type(png, info);
    struct image_format format = {.model = type & PNG_COLOR_MASK_COLOR ? IMAGE_RGB : IMAGE_GRAY, .depth_bits = 8,
                                  .alpha = type & PNG_COLOR_MASK_ALPHA ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE};
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
    assert_memory_equal(&to.format, &from->format, sizeof to.format);
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

static void make_bitonal(struct planes *p)
{
    for (uint32_t i = 0; i < p->size.width_px * p->size.height_px; i++)
        p->data[0][i] = p->data[0][i] >= 128 ? 255 : 0;
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

/* ---- all ---- */

static void test_inputs(void **state)
{
    const struct image_format ycc = FORMAT_YCC(1, 1), ycc411 = FORMAT_YCC(2, 0), rgba = FORMAT_RGB_ALPHA, gray = FORMAT_GRAY;
    struct image_format ycca = FORMAT_YCC(0, 0), input;
    (void)state;
    ycca.alpha = IMAGE_ALPHA_STRAIGHT;
    for (enum image_file_type type = 0; type < IMAGE_FILE_TYPES; type++) {
        input = image_encode_input(type, &gray);
        assert_memory_equal(&input, &gray, sizeof gray);
        input = image_encode_input(type, &rgba);
        assert_int_equal(input.alpha, image_encode_has_alpha(type) ? IMAGE_ALPHA_STRAIGHT : IMAGE_ALPHA_NONE);
        input = image_encode_input(type, &ycca);
        assert_int_equal(input.model, IMAGE_RGB); /* no step turns YCBCR with alpha into anything else */
        assert_non_null(image_encode_media_type(type));
    }
    input = image_encode_input(IMAGE_JPEG, &ycc411);
    assert_memory_equal(&input, &ycc, sizeof ycc);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_keeps_planes_and_layout),
        cmocka_unit_test(test_jpeg_of_rgb_is_420),
        cmocka_unit_test(test_jpeg_metadata),
        cmocka_unit_test(test_png_is_lossless),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_edges_beyond_the_format_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
