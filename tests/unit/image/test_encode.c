#include "tests/unit/image/planes.h"

#include "worker/image/encode.h"

#include <math.h>
#include <stdio.h>
#include <avif/avif.h>
#include <gif_lib.h>
#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>
#include <webp/decode.h>
#include <webp/mux.h>

static const struct image_encode_options plain = {.jpeg_quality = 90, .webp_quality = 90, .avif_quality = 80};

/* A picture that a camera could have taken: smooth, with some edges; alpha falls from left to right. */
static struct planes photo(struct image_format format, uint32_t width_px, uint32_t height_px)
{
    struct planes p = planes_new(format, width_px, height_px);
    for (uint32_t i = 0; i < image_format_planes(&format); i++) {
        bool alpha = format.alpha && i == image_format_planes(&format) - 1,
             chroma = format.model == IMAGE_YCBCR && i > 0;
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

static struct bytes encoded(enum image_file_type type, const struct planes *from,
                            const struct image_encode_options *options, uint32_t band_px)
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
static const uint8_t exif_bytes[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                     0,   1,   0,  0, 0, 6, 0, 0, 0, 0, 0,    0, 0};

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

/* ---- WebP ---- */

/* Interleaved RGBA → planes of `format`; gray is taken from green. */
static struct planes from_rgba(const uint8_t *rgba, uint32_t width_px, uint32_t height_px,
                               struct image_format format)
{
    struct planes to = planes_new(format, width_px, height_px);
    uint32_t colours = format.model == IMAGE_GRAY ? 1 : 3;
    for (uint32_t y = 0; y < height_px; y++)
        for (uint32_t x = 0; x < width_px; x++, rgba += 4) {
            for (uint32_t i = 0; i < colours; i++)
                set_sample(&to, i, x, y, rgba[colours == 1 ? 1 : i]);
            if (format.alpha)
                set_sample(&to, colours, x, y, rgba[3]);
            else
                assert_int_equal(rgba[3], 255);
        }
    return to;
}

static struct planes webp_planes(const struct bytes *file, struct image_format format)
{
    int width, height;
    uint8_t *rgba = WebPDecodeRGBA(file->data, file->length, &width, &height);
    assert_non_null(rgba);
    struct planes to = from_rgba(rgba, (uint32_t)width, (uint32_t)height, format);
    WebPFree(rgba);
    return to;
}

/* YCBCR as the RGB it means, without subsampling tricks. */
static struct planes as_rgb(const struct planes *from)
{
    struct planes to = planes_new(FORMAT_RGB, from->size.width_px, from->size.height_px);
    for (uint32_t y = 0; y < from->size.height_px; y++)
        for (uint32_t x = 0; x < from->size.width_px; x++) {
            uint32_t cx = x >> from->format.sub_x_log2, cy = y >> from->format.sub_y_log2;
            double l = sample(from, 0, x, y), b = sample(from, 1, cx, cy) - 128.0,
                   r = sample(from, 2, cx, cy) - 128.0;
            double rgb[3] = {l + 1.402 * r, l - 0.344136 * b - 0.714136 * r, l + 1.772 * b};
            for (uint32_t i = 0; i < 3; i++)
                set_sample(&to, i, x, y, (uint32_t)fmin(fmax(rgb[i] + 0.5, 0), 255));
        }
    return to;
}

static void test_webp(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB, FORMAT_GRAY_ALPHA, FORMAT_RGB_ALPHA};
    (void)state;
    for (size_t f = 0; f < 4; f++) {
        struct planes from = photo(formats[f], 131, 67);
        struct bytes file = encoded(IMAGE_WEBP, &from, &plain, 5);
        struct planes to = webp_planes(&file, formats[f]);
        assert_true(psnr(&from, &to) >
                    (formats[f].alpha ? 26 : 33)); /* what is transparent keeps no colour */
        planes_free(&to);
        planes_free(&from);
        bytes_done(&file);
    }
    for (uint8_t sub = 0; sub < 2; sub++) /* planes straight in */
        for (uint32_t band = 16; band < 80; band += 60) {
            struct planes from = photo(FORMAT_YCC(sub, sub), 131, 67), rgb = as_rgb(&from);
            struct bytes file = encoded(IMAGE_WEBP, &from, &plain, sub ? band : band - 3);
            struct planes to = webp_planes(&file, FORMAT_RGB);
            assert_true(psnr(&rgb, &to) > 33);
            planes_free(&to);
            planes_free(&rgb);
            planes_free(&from);
            bytes_done(&file);
        }
    struct planes from = photo(FORMAT_GRAY, 131, 67);
    make_bitonal(&from);
    struct image_encode_options options = plain;
    options.bitonal = true;
    struct bytes file = encoded(IMAGE_WEBP, &from, &options, 9);
    struct planes to = webp_planes(&file, FORMAT_GRAY);
    assert_int_equal(planes_difference(&from, &to), 0);
    planes_free(&to);
    planes_free(&from);
    bytes_done(&file);
}

static void test_webp_metadata(void **state)
{
    static const char names[3][5] = {"ICCP", "EXIF", "XMP "};
    struct bytes icc = filled(3001), exif = exif_payload(), xmp = filled(70000);
    const struct bytes *payload[3] = {&icc, &exif, &xmp};
    struct image_encode_options options = plain;
    (void)state;
    options.icc = &icc;
    options.exif = &exif;
    options.xmp = &xmp;
    struct planes from = photo(FORMAT_RGB_ALPHA, 40, 30);
    struct bytes file = encoded(IMAGE_WEBP, &from, &options, 5);
    WebPData data = {file.data, file.length};
    WebPMux *mux = WebPMuxCreate(&data, 0);
    for (int i = 0; i < 3; i++) {
        WebPData chunk;
        assert_int_equal(WebPMuxGetChunk(mux, names[i], &chunk), WEBP_MUX_OK);
        assert_int_equal(chunk.size, payload[i]->length);
        if (i != 1)
            assert_memory_equal(chunk.bytes, payload[i]->data, chunk.size);
        else
            assert_int_equal(chunk.bytes[18], 1);
    }
    WebPMuxDelete(mux);
    planes_free(&from);
    bytes_done(&file);
    bytes_done(&icc);
    bytes_done(&exif);
    bytes_done(&xmp);
}

/* ---- TIFF ---- */

struct memory_file {
    const struct bytes *bytes;
    uint64_t position;
};

static tmsize_t memory_read(thandle_t handle, void *data, tmsize_t length)
{
    struct memory_file *f = handle;
    if (f->position + (uint64_t)length > f->bytes->length)
        return 0;
    memcpy(data, f->bytes->data + f->position, (size_t)length);
    f->position += (uint64_t)length;
    return length;
}

static tmsize_t memory_write(thandle_t handle, void *data, tmsize_t length)
{
    (void)handle;
    (void)data;
    (void)length;
    return 0;
}

static toff_t memory_seek(thandle_t handle, toff_t offset, int whence)
{
    struct memory_file *f = handle;
    f->position = offset + (whence == SEEK_CUR ? f->position : whence == SEEK_END ? f->bytes->length : 0);
    return f->position;
}

static int memory_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t memory_size(thandle_t handle)
{
    return ((struct memory_file *)handle)->bytes->length;
}

static struct planes tiff_planes(TIFF *tiff, struct image_format format)
{
    uint32_t width, height;
    uint16_t samples, photometric, depth;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetField(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
    TIFFGetField(tiff, TIFFTAG_BITSPERSAMPLE, &depth);
    assert_int_equal(samples, image_format_planes(&format));
    struct planes to = planes_new(format, width, height);
    uint8_t *row = malloc((size_t)TIFFScanlineSize(tiff));
    for (uint32_t y = 0; y < height; y++) {
        assert_int_equal(TIFFReadScanline(tiff, row, y, 0), 1);
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t i = 0; i < samples; i++)
                set_sample(&to, i, x, y,
                           depth == 8                        ? row[x * samples + i]
                           : (row[x / 8] >> (7 - x % 8) & 1) ? 0
                                                             : 255);
    }
    free(row);
    assert_int_equal(photometric, depth == 1                  ? PHOTOMETRIC_MINISWHITE
                                  : format.model == IMAGE_RGB ? PHOTOMETRIC_RGB
                                                              : PHOTOMETRIC_MINISBLACK);
    return to;
}

static void test_tiff(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY, FORMAT_RGB, FORMAT_GRAY_ALPHA, FORMAT_RGB_ALPHA};
    struct bytes icc = filled(3001), xmp = filled(70001), iptc = filled(333);
    (void)state;
    for (size_t f = 0; f < 5; f++) {
        struct image_encode_options options = plain;
        struct planes from = photo(formats[f % 4], 631, 467);
        options.icc = &icc;
        options.xmp = &xmp;
        options.iptc = &iptc;
        options.resolution_dpi = 300;
        options.bitonal = f == 4;
        if (f == 4)
            make_bitonal(&from);
        struct bytes file = encoded(IMAGE_TIFF, &from, &options, 50);
        struct memory_file handle = {&file, 0};
        TIFF *tiff = TIFFClientOpen("test", "rm", &handle, memory_read, memory_write, memory_seek,
                                    memory_close, memory_size, NULL, NULL);
        assert_non_null(tiff);
        struct planes to = tiff_planes(tiff, formats[f % 4]);
        assert_int_equal(planes_difference(&from, &to), 0);
        uint32_t length;
        void *data;
        float dpi;
        assert_true(TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &length, &data) && length == icc.length);
        assert_memory_equal(data, icc.data, length);
        assert_true(TIFFGetField(tiff, TIFFTAG_XMLPACKET, &length, &data) && length == xmp.length);
        assert_memory_equal(data, xmp.data, length);
        assert_true(TIFFGetField(tiff, TIFFTAG_RICHTIFFIPTC, &length, &data) && length == 333);
        assert_memory_equal(data, iptc.data, 333);
        assert_true(TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &dpi) && dpi == 300);
        if (formats[f % 4].alpha) {
            uint16_t count, *kinds;
            assert_true(TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) && count == 1);
            assert_int_equal(kinds[0], EXTRASAMPLE_UNASSALPHA);
        }
        TIFFClose(tiff);
        planes_free(&to);
        planes_free(&from);
        bytes_done(&file);
    }
    bytes_done(&icc);
    bytes_done(&xmp);
    bytes_done(&iptc);
}

/* ---- GIF ---- */

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

/* ---- AVIF ---- */

static void test_avif(void **state)
{
    static const struct image_format formats[] = {
        {.model = IMAGE_GRAY, .depth_bits = 8},
        {.model = IMAGE_RGB, .depth_bits = 8},
        {.model = IMAGE_RGB, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8},
        {.model = IMAGE_GRAY, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8},
        {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1},
        {.model = IMAGE_YCBCR, .depth_bits = 8}};
    struct bytes icc = filled(3001), exif = exif_payload(), xmp = filled(7000);
    (void)state;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        struct image_encode_options options = plain;
        options.icc = f == 1 ? &icc : NULL;
        options.exif = &exif;
        options.xmp = &xmp;
        struct planes from = photo(formats[f], 131, 67), wanted = from;
        struct bytes file = encoded(IMAGE_AVIF, &from, &options, 6);
        avifDecoder *decoder = avifDecoderCreate();
        avifImage *image = avifImageCreateEmpty();
        assert_int_equal(avifDecoderReadMemory(decoder, image, file.data, file.length), AVIF_RESULT_OK);
        assert_int_equal(image->icc.size, f == 1 ? icc.length : 0);
        assert_int_equal(image->exif.size, exif.length);
        assert_int_equal(image->exif.data[18], 1);
        assert_int_equal(image->xmp.size, xmp.length);
        avifRGBImage rgb;
        avifRGBImageSetDefaults(&rgb, image);
        avifRGBImageAllocatePixels(&rgb);
        assert_int_equal(avifImageYUVToRGB(image, &rgb), AVIF_RESULT_OK);
        struct image_format format = formats[f];
        if (format.model == IMAGE_YCBCR) {
            format = FORMAT_RGB;
            wanted = as_rgb(&from);
        }
        struct planes to = from_rgba(rgb.pixels, rgb.width, rgb.height, format);
        print_message("AVIF %zu: %.1f dB, %zu bytes\n", f, psnr(&wanted, &to), file.length);
        assert_true(psnr(&wanted, &to) > 30);
        avifRGBImageFreePixels(&rgb);
        avifImageDestroy(image);
        avifDecoderDestroy(decoder);
        planes_free(&to);
        if (wanted.data[0] != from.data[0])
            planes_free(&wanted);
        planes_free(&from);
        bytes_done(&file);
    }
    bytes_done(&icc);
    bytes_done(&exif);
    bytes_done(&xmp);
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
        cmocka_unit_test(test_jpeg_keeps_planes_and_layout),
        cmocka_unit_test(test_jpeg_of_rgb_is_420),
        cmocka_unit_test(test_jpeg_metadata),
        cmocka_unit_test(test_png_is_lossless),
        cmocka_unit_test(test_webp),
        cmocka_unit_test(test_webp_metadata),
        cmocka_unit_test(test_tiff),
        cmocka_unit_test(test_gif),
        cmocka_unit_test(test_avif),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_same_pixels_same_bytes),
        cmocka_unit_test(test_files_are_whole_when_finished),
        cmocka_unit_test(test_unfinished_encoders_close),
        cmocka_unit_test(test_edges_beyond_the_format_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
