#include "worker/ingest/steps.h"

#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/image/rgb_ycc.h"

#include <assert.h>
#include <string.h>

#define BAND_ROWS 32u

struct step {
    struct image_sink sink;
    struct image_sink *next;
    uint8_t *memory;
    struct image_band out; /* BAND_ROWS rows; y_px and height_px are what is filled */
    uint8_t background[3]; /* flatten */
    uint8_t *held;         /* chroma: an even row that waits for the next, its planes one behind the other */
    bool holds;
};

static enum rc step_finish(struct image_sink *sink, struct err *err)
{
    struct step *s = (struct step *)(void *)sink;
    return s->next->ops->finish(s->next, err);
}

static void step_close(struct image_sink *sink)
{
    struct step *s = (struct step *)(void *)sink;

    image_sink_close(&s->next);
    free(s->memory);
    free(s->held);
    free(s);
}

static enum rc step_open(const struct image_sink_ops *ops, const struct image_format *from,
                         struct image_sink *next, struct step **ret, struct err *err)
{
    struct step *s = calloc(1, sizeof *s);

    if (s == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to convert pixels");
    }
    s->sink = (struct image_sink){.ops = ops, .format = *from, .size = next->size};
    s->next = next;
    enum rc rc = image_planes_alloc(&next->format, (struct image_size){next->size.width_px, BAND_ROWS},
                                    SIZE_MAX, &s->memory, &s->out, err);
    if (rc != RC_OK) {
        step_close(&s->sink);
        return rc;
    }
    s->out.height_px = 0;
    *ret = s;
    return RC_OK;
}

/* Hands on the rows that are filled. */
static enum rc flush(struct step *s, struct err *err)
{
    enum rc rc = s->out.height_px > 0 ? s->next->ops->write(s->next, &s->out, err) : RC_OK;

    s->out.y_px += s->out.height_px;
    s->out.height_px = 0;
    return rc;
}

/* ---- flatten ---- */

static uint32_t sample(const uint8_t *row, uint32_t x, uint8_t depth_bits)
{
    uint16_t deep;

    if (depth_bits == 8)
        return row[x];
    memcpy(&deep, row + (size_t)x * 2, 2);
    return deep;
}

static void flatten_row(const struct image_format *format, const uint8_t *colour, const uint8_t *alpha,
                        uint32_t background, uint8_t *to, uint32_t width)
{
    uint32_t full = format->depth_bits == 8 ? 255 : 65535;
    bool straight = format->alpha == IMAGE_ALPHA_STRAIGHT;

    for (uint32_t x = 0; x < width; x++) {
        uint64_t a = sample(alpha, x, format->depth_bits), c = sample(colour, x, format->depth_bits);
        uint64_t value = ((straight ? c * a : c * full) + (full - a) * background + full / 2) / full;
        uint16_t deep = (uint16_t)(value > full ? full
                                                : value); /* multiplied colour may lie about its alpha */
        if (full == 255)
            to[x] = (uint8_t)deep;
        else
            memcpy(to + (size_t)x * 2, &deep, 2);
    }
}

static enum rc flatten_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct step *s = (struct step *)(void *)sink;
    uint32_t alpha = image_format_planes(&sink->format) - 1, scale = sink->format.depth_bits == 8 ? 1 : 257;

    for (uint32_t y = 0; y < band->height_px; y++) {
        for (uint32_t plane = 0; plane < alpha; plane++)
            flatten_row(&sink->format, band->plane[plane] + y * band->stride_bytes[plane],
                        band->plane[alpha] + y * band->stride_bytes[alpha], s->background[plane] * scale,
                        image_planes_row(&s->out, plane, s->out.height_px), sink->size.width_px);
        s->out.height_px++;
        enum rc rc = s->out.height_px == BAND_ROWS || y + 1 == band->height_px ? flush(s, err) : RC_OK;
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc ingest_step_flatten(const struct image_format *from, const uint8_t background_rgb[3],
                            struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {flatten_write, step_finish, step_close};
    struct step *s = NULL;

    assert(from->alpha != IMAGE_ALPHA_NONE && (from->model == IMAGE_GRAY || from->model == IMAGE_RGB));
    enum rc rc = step_open(&ops, from, next, &s, err);
    if (rc != RC_OK)
        return rc;
    memcpy(s->background, background_rgb, 3);
    if (from->model == IMAGE_GRAY)
        s->background[0] = (uint8_t)((299u * background_rgb[0] + 587u * background_rgb[1] +
                                      114u * background_rgb[2] + 500u) /
                                     1000u);
    *ret_sink = &s->sink;
    return RC_OK;
}

/* ---- chroma ---- */

/* A row of chroma made of two, `halve` as wide as before or half. What lies midway is rounded up and down in
 * turns, so that the mean stays. */
static void halve_row(const uint8_t *above, const uint8_t *below, bool halve, uint8_t *to, uint32_t width)
{
    if (!halve) {
        for (uint32_t x = 0; x < width; x++)
            to[x] = (uint8_t)((above[x] + below[x] + (int)(x & 1)) >> 1);
        return;
    }
    for (uint32_t x = 0; x + 1 < width; x += 2)
        to[x / 2] = (uint8_t)((above[x] + above[x + 1] + below[x] + below[x + 1] + 1 + (int)(x >> 1 & 1)) >>
                              2);
    if (width % 2 == 1)
        to[width / 2] = (uint8_t)((above[width - 1] + below[width - 1] + 1) >> 1);
}

static void put_luma(struct step *s, const uint8_t *const row[3])
{
    uint8_t *to = image_planes_row(&s->out, 0, s->out.height_px);

    if (s->sink.format.model == IMAGE_RGB)
        image_rgb_to_luma(row, to, s->sink.size.width_px);
    else
        memcpy(to, row[0], s->sink.size.width_px);
}

/* Two rows, or one alone twice (then `rows` is 1). */
static enum rc put_rows(struct step *s, const uint8_t *const above[3], const uint8_t *const below[3],
                        uint32_t rows, struct err *err)
{
    uint32_t width = s->sink.size.width_px, at = s->out.height_px >> s->next->format.sub_y_log2;
    uint8_t *chroma[2] = {image_planes_row(&s->out, 1, at), image_planes_row(&s->out, 2, at)};

    put_luma(s, above);
    if (s->next->format.sub_y_log2 == 0) {
        image_rgb_to_chroma(above, chroma, width);
    } else if (s->sink.format.model == IMAGE_RGB) {
        image_rgb_to_halved_chroma(above, below, chroma, width);
    } else {
        bool halve = s->sink.format.sub_x_log2 == 0;
        uint32_t from = image_plane_width(&s->sink.format, 1, width);
        halve_row(above[1], below[1], halve, chroma[0], from);
        halve_row(above[2], below[2], halve, chroma[1], from);
    }
    s->out.height_px++;
    if (rows == 2) {
        put_luma(s, below);
        s->out.height_px++;
    }
    return s->out.height_px == BAND_ROWS ? flush(s, err) : RC_OK;
}

static void rows_at(const struct image_band *band, uint32_t y, const uint8_t *row[3])
{
    for (unsigned plane = 0; plane < 3; plane++)
        row[plane] = band->plane[plane] + y * band->stride_bytes[plane];
}

/* The even row that waits, made a pair with the band's first. */
static enum rc put_held(struct step *s, const uint8_t *const below[3], uint32_t rows, struct err *err)
{
    size_t width = s->sink.size.width_px;
    const uint8_t *const held[3] = {s->held, s->held + width, s->held + 2 * width};

    s->holds = false;
    return put_rows(s, held, below != NULL ? below : held, rows, err);
}

static void hold(struct step *s, const uint8_t *const row[3])
{
    size_t width = s->sink.size.width_px;

    for (unsigned plane = 0; plane < 3; plane++)
        memcpy(s->held + plane * width, row[plane],
               image_plane_width(&s->sink.format, plane, s->sink.size.width_px));
    s->holds = true;
}

static enum rc chroma_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct step *s = (struct step *)(void *)sink;
    bool pairs = s->next->format.sub_y_log2 > 0;
    const uint8_t *above[3], *below[3];
    enum rc rc = RC_OK;

    for (uint32_t y = 0, step; rc == RC_OK && y < band->height_px; y += step) {
        rows_at(band, y, above);
        step = 1;
        if (s->holds) {
            rc = put_held(s, above, 2, err);
        } else if (!pairs) {
            rc = put_rows(s, above, above, 1, err);
        } else if (y + 1 < band->height_px) {
            rows_at(band, y + 1, below);
            rc = put_rows(s, above, below, 2, err);
            step = 2;
        } else {
            hold(s, above);
        }
    }
    return rc;
}

static enum rc chroma_finish(struct image_sink *sink, struct err *err)
{
    struct step *s = (struct step *)(void *)sink;
    enum rc rc = s->holds ? put_held(s, NULL, 1, err) : RC_OK;

    if (rc == RC_OK)
        rc = flush(s, err);
    return rc == RC_OK ? s->next->ops->finish(s->next, err) : rc;
}

enum rc ingest_step_chroma(const struct image_format *from, struct image_sink *next,
                           struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {chroma_write, chroma_finish, step_close};
    const struct image_format *to = &next->format;
    struct step *s = NULL;

    if (from->model == to->model && from->sub_x_log2 == to->sub_x_log2 &&
        from->sub_y_log2 == to->sub_y_log2) {
        *ret_sink = next;
        return RC_OK;
    }
    assert(to->model == IMAGE_YCBCR && to->sub_x_log2 == to->sub_y_log2 &&
           from->sub_x_log2 <= to->sub_x_log2 && from->sub_y_log2 == 0 &&
           (from->model == IMAGE_RGB || from->model == IMAGE_YCBCR) && from->depth_bits == 8);
    enum rc rc = step_open(&ops, from, next, &s, err);
    if (rc != RC_OK)
        return rc;
    s->held = malloc((size_t)next->size.width_px * 3);
    if (s->held == NULL) {
        step_close(&s->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to convert pixels");
    }
    *ret_sink = &s->sink;
    return RC_OK;
}
