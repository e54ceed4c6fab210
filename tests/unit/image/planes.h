/* Pictures in memory for the tests of worker/image: a reader that lends them band by band, a sink that
 * collects them. Bands live in memory of their own that is freed as soon as the contract allows, so that
 * AddressSanitizer sees who holds on to them. */
#ifndef TESTS_UNIT_IMAGE_PLANES_H
#define TESTS_UNIT_IMAGE_PLANES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/image/pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct planes {
    struct image_format format;
    struct image_size size;
    uint8_t *data[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

#define UNUSED __attribute__((unused))

static UNUSED struct planes planes_new(struct image_format format, uint32_t width_px, uint32_t height_px)
{
    struct planes p = {.format = format, .size = {width_px, height_px}};
    for (uint32_t i = 0; i < image_format_planes(&format); i++) {
        p.stride_bytes[i] = (size_t)image_plane_width(&format, i, width_px) * (format.depth_bits / 8u);
        p.data[i] = calloc(p.stride_bytes[i], image_plane_height(&format, i, height_px));
        assert_non_null(p.data[i]);
    }
    return p;
}

static UNUSED void planes_free(struct planes *p)
{
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(p->data[i]);
    memset(p, 0, sizeof *p);
}

static UNUSED uint32_t plane_width(const struct planes *p, uint32_t plane)
{
    return image_plane_width(&p->format, plane, p->size.width_px);
}

static UNUSED uint32_t plane_height(const struct planes *p, uint32_t plane)
{
    return image_plane_height(&p->format, plane, p->size.height_px);
}

static UNUSED uint32_t sample(const struct planes *p, uint32_t plane, uint32_t x, uint32_t y)
{
    if (p->data[plane] == NULL) /* a format has no such plane */
        abort();
    const uint8_t *row = p->data[plane] + y * p->stride_bytes[plane];
    return p->format.depth_bits == 8 ? row[x] : ((const uint16_t *)(const void *)row)[x];
}

static UNUSED void set_sample(struct planes *p, uint32_t plane, uint32_t x, uint32_t y, uint32_t value)
{
    if (p->data[plane] == NULL)
        abort();
    uint8_t *row = p->data[plane] + y * p->stride_bytes[plane];
    if (p->format.depth_bits == 8)
        row[x] = (uint8_t)value;
    else
        ((uint16_t *)(void *)row)[x] = (uint16_t)value;
}

/* The largest difference of any two samples; the pictures must be alike in format and size. */
static UNUSED uint32_t planes_difference(const struct planes *a, const struct planes *b)
{
    uint32_t most = 0;
    assert_memory_equal(&a->size, &b->size, sizeof a->size);
    for (uint32_t i = 0; i < image_format_planes(&a->format); i++)
        for (uint32_t y = 0; y < plane_height(a, i); y++)
            for (uint32_t x = 0; x < plane_width(a, i); x++) {
                uint32_t one = sample(a, i, x, y), two = sample(b, i, x, y),
                         difference = one > two ? one - two : two - one;
                most = difference > most ? difference : most;
            }
    return most;
}

/* Something with edges, slopes and noise, the same every time. */
static UNUSED void planes_fill(struct planes *p, uint32_t seed)
{
    for (uint32_t i = 0; i < image_format_planes(&p->format); i++)
        for (uint32_t y = 0; y < plane_height(p, i); y++)
            for (uint32_t x = 0; x < plane_width(p, i); x++) {
                seed = seed * 1664525u + 1013904223u;
                uint32_t value = (x * 3 + y * 2 + (seed >> 26) + ((x / 13 + y / 7 + i) % 3) * 60) & 255;
                set_sample(p, i, x, y, p->format.depth_bits == 8 ? value : value * 257 ^ (seed >> 24));
            }
}

/* ---- reader ---- */

struct planes_reader {
    struct image_reader base;
    const struct planes *planes;
    struct image_region region;
    uint32_t band_px, y_px;
    uint8_t *lent[IMAGE_MAX_PLANES];
};

static UNUSED enum rc planes_reader_read(struct image_reader *reader, struct image_band *ret_band,
                                         struct err *err)
{
    struct planes_reader *r = (struct planes_reader *)(void *)reader;
    const struct image_format *f = &r->planes->format;
    (void)err;
    assert_true(r->y_px < r->region.height_px);
    struct image_band band = {.y_px = r->y_px, .height_px = r->region.height_px - r->y_px};
    if (band.height_px > r->band_px)
        band.height_px = r->band_px;
    for (uint32_t i = 0; i < image_format_planes(f); i++) {
        bool chroma = f->model == IMAGE_YCBCR && (i == 1 || i == 2);
        uint32_t sample_bytes = f->depth_bits / 8u, rows = image_plane_height(f, i, band.height_px);
        size_t length = (size_t)image_plane_width(f, i, r->region.width_px) * sample_bytes;
        size_t x = chroma ? r->region.x_px >> f->sub_x_log2 : r->region.x_px;
        size_t y = (r->region.y_px + r->y_px) >> (chroma ? f->sub_y_log2 : 0);
        free(r->lent[i]);
        r->lent[i] = malloc(length * rows);
        assert_non_null(r->lent[i]);
        for (uint32_t row = 0; row < rows; row++)
            memcpy(r->lent[i] + row * length,
                   r->planes->data[i] + (y + row) * r->planes->stride_bytes[i] + x * sample_bytes, length);
        band.plane[i] = r->lent[i];
        band.stride_bytes[i] = length;
    }
    r->y_px += band.height_px;
    *ret_band = band;
    return RC_OK;
}

static UNUSED void planes_reader_close(struct image_reader *reader)
{
    struct planes_reader *r = (struct planes_reader *)(void *)reader;
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(r->lent[i]);
    free(r);
}

static UNUSED struct image_reader *planes_reader(const struct planes *planes,
                                                 const struct image_region *region, uint32_t band_px)
{
    static const struct image_reader_ops ops = {planes_reader_read, planes_reader_close};
    struct planes_reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->planes = planes;
    r->region = region != NULL ? *region
                               : (struct image_region){0, 0, planes->size.width_px, planes->size.height_px};
    r->band_px = band_px;
    r->base = (struct image_reader){&ops, planes->format, {r->region.width_px, r->region.height_px}};
    return &r->base;
}

/* ---- sink ---- */

struct planes_sink {
    struct image_sink base;
    struct planes *planes;
    uint32_t y_px, bands;
    bool finished;
};

static UNUSED enum rc planes_sink_write(struct image_sink *sink, const struct image_band *band,
                                        struct err *err)
{
    struct planes_sink *s = (struct planes_sink *)(void *)sink;
    struct planes *p = s->planes;
    (void)err;
    assert_int_equal(band->y_px, s->y_px);
    assert_true(band->height_px > 0 && band->height_px <= p->size.height_px - band->y_px);
    assert_true(band->height_px % (1u << p->format.sub_y_log2) == 0 ||
                band->y_px + band->height_px == p->size.height_px);
    for (uint32_t i = 0; i < image_format_planes(&p->format); i++) {
        bool chroma = p->format.model == IMAGE_YCBCR && (i == 1 || i == 2);
        uint32_t y = band->y_px >> (chroma ? p->format.sub_y_log2 : 0);
        for (uint32_t row = 0; row < image_plane_height(&p->format, i, band->height_px); row++)
            memcpy(p->data[i] + (y + row) * p->stride_bytes[i], band->plane[i] + row * band->stride_bytes[i],
                   p->stride_bytes[i]);
    }
    s->y_px += band->height_px;
    s->bands++;
    return RC_OK;
}

static UNUSED enum rc planes_sink_finish(struct image_sink *sink, struct err *err)
{
    struct planes_sink *s = (struct planes_sink *)(void *)sink;
    (void)err;
    assert_int_equal(s->y_px, s->planes->size.height_px);
    assert_false(s->finished);
    s->finished = true;
    return RC_OK;
}

static UNUSED void planes_sink_close(struct image_sink *sink)
{
    free(sink);
}

static UNUSED struct image_sink *planes_sink(struct planes *planes)
{
    static const struct image_sink_ops ops = {planes_sink_write, planes_sink_finish, planes_sink_close};
    struct planes_sink *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->base = (struct image_sink){&ops, planes->format, planes->size};
    s->planes = planes;
    return &s->base;
}

/* Writes all of `from` into `sink` in bands of `band_px` rows, finishes and closes it. */
static UNUSED enum rc planes_write(const struct planes *from, struct image_sink *sink, uint32_t band_px,
                                   struct err *err)
{
    struct image_reader *reader = planes_reader(from, NULL, band_px);
    enum rc rc = RC_OK;
    for (uint32_t y = 0; rc == RC_OK && y < from->size.height_px;) {
        struct image_band band;
        rc = reader->ops->read(reader, &band, err);
        y += band.height_px;
        rc = rc == RC_OK ? sink->ops->write(sink, &band, err) : rc;
    }
    if (rc == RC_OK)
        rc = sink->ops->finish(sink, err);
    image_sink_close(&sink);
    image_reader_close(&reader);
    return rc;
}

#define FORMAT_GRAY ((struct image_format){.model = IMAGE_GRAY, .depth_bits = 8})
#define FORMAT_GRAY_ALPHA \
    ((struct image_format){.model = IMAGE_GRAY, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8})
#define FORMAT_RGB ((struct image_format){.model = IMAGE_RGB, .depth_bits = 8})
#define FORMAT_RGB_ALPHA \
    ((struct image_format){.model = IMAGE_RGB, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8})
#define FORMAT_YCC(x, y) \
    ((struct image_format){.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = x, .sub_y_log2 = y})

/* Field by field: padding is nobody's business. */
static inline void assert_formats_equal(const struct image_format *a, const struct image_format *b)
{
    assert_int_equal(a->model, b->model);
    assert_int_equal(a->alpha, b->alpha);
    assert_int_equal(a->depth_bits, b->depth_bits);
    assert_int_equal(a->sub_x_log2, b->sub_x_log2);
    assert_int_equal(a->sub_y_log2, b->sub_y_log2);
}

static UNUSED void assert_near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance))
        print_error("%f is not %f within %f\n", got, wanted, tolerance);
    assert_true(fabs(got - wanted) <= tolerance);
}

#endif
