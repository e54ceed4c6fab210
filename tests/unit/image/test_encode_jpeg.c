/* JPEG files as libjpeg reads them: planes kept, metadata in place. */
#include "tests/unit/image/encoding.h"

#include <stdio.h>
#include <jpeglib.h>

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
    struct image_format format = {.model = jpeg.num_components == 1 ? IMAGE_GRAY : IMAGE_YCBCR,
                                  .depth_bits = 8};
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
            assert_formats_equal(&input, &formats[f]);
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
            assert_formats_equal(&to.format, &from.format);
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
            double wanted = 0.299 * sample(&from, 0, x, y) + 0.587 * sample(&from, 1, x, y) +
                            0.114 * sample(&from, 2, x, y);
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
        if (p == NULL)
            abort();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_keeps_planes_and_layout),
        cmocka_unit_test(test_jpeg_of_rgb_is_420),
        cmocka_unit_test(test_jpeg_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
