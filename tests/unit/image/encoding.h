/* What the tests of encoders share: a photograph in planes, encoded, compared. */
#ifndef TESTS_UNIT_IMAGE_ENCODING_H
#define TESTS_UNIT_IMAGE_ENCODING_H

#include "tests/unit/image/planes.h"

#include "worker/image/encode.h"

#include <math.h>

static UNUSED const struct image_encode_options plain = {
    .jpeg_quality = 90, .webp_quality = 90, .avif_quality = 80};

/* A picture that a camera could have taken: smooth, with some edges; alpha falls from left to right. */
static UNUSED struct planes photo(struct image_format format, uint32_t width_px, uint32_t height_px)
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

static UNUSED struct bytes encoded(enum image_file_type type, const struct planes *from,
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

static UNUSED double psnr(const struct planes *a, const struct planes *b)
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

static UNUSED struct bytes filled(size_t length)
{
    struct bytes b = {0};
    assert_int_equal(bytes_reserve(&b, length + 1, NULL), RC_OK);
    for (size_t i = 0; i < length; i++)
        b.data[i] = (uint8_t)('a' + i % 23);
    b.length = length;
    return b;
}

/* One entry: Orientation 6. */
static UNUSED const uint8_t exif_bytes[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                            0,   1,   0,  0, 0, 6, 0, 0, 0, 0, 0,    0, 0};

static UNUSED struct bytes exif_payload(void)
{
    struct bytes b = {0};
    assert_int_equal(bytes_append(&b, exif_bytes, sizeof exif_bytes, NULL), RC_OK);
    return b;
}

/* Interleaved RGBA → planes of `format`; gray is taken from green. */
static UNUSED struct planes from_rgba(const uint8_t *rgba, uint32_t width_px, uint32_t height_px,
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

/* YCBCR as the RGB it means, without subsampling tricks. */
static UNUSED struct planes as_rgb(const struct planes *from)
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

static UNUSED void make_bitonal(struct planes *p)
{
    for (uint32_t i = 0; i < p->size.width_px * p->size.height_px; i++)
        p->data[0][i] = p->data[0][i] >= 128 ? 255 : 0;
}

#endif
