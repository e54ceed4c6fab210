#include "worker/ingest/smooth.h"

#include "base/own.h"
#include "worker/image/ycc_rgb.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define CHUNK   16u
#define ROOM_PX 32u /* ycc_rgb writes in whole vectors */

/* A group is a row of chroma and its one or two rows of luma. Chroma leans on the groups above and below, so
 * that a group goes out when the next one has come. Group n lies in slot n % 3. */
struct smooth {
    struct image_sink sink;
    struct image_sink *next;
    uint32_t group_rows, groups, group; /* rows of luma per group; groups in all, and come */
    uint32_t width, chroma_width;
    uint8_t *memory;
    uint8_t *luma[3][2], *chroma[3][2]; /* by slot; rows; planes */
    uint16_t *sums;                     /* a row of chroma, three parts and one of its neighbour */
    uint8_t *full[2];                   /* a row of chroma at the full width */
    uint8_t *rgb[3];
    uint32_t y_px;
};

/* ---- one row of chroma at the full width ---- */

/* In quarters: `near` three times and `far` once; or four times the row itself where rows are not
 * interpolated. */
static void lean(const uint8_t *near, const uint8_t *far, uint32_t count, uint16_t *to)
{
    for (uint32_t x = 0; x < count; x++)
        to[x] = (uint16_t)(near[x] * 3 + far[x]);
}

/* Each sample becomes two, which lean to its left and right; sums are in quarters if `quarters`. The uneven
 * rounding keeps the mean. */
static void widen_sample(const uint16_t *sum, uint32_t x, uint32_t count, bool quarters, uint8_t *to)
{
    unsigned left = x > 0 ? sum[x - 1] : sum[x], right = x + 1 < count ? sum[x + 1] : sum[x];

    to[0] = (uint8_t)(quarters ? (sum[x] * 3u + left + 8) >> 4 : (sum[x] * 3u + left + 1) >> 2);
    to[1] = (uint8_t)(quarters ? (sum[x] * 3u + right + 7) >> 4 : (sum[x] * 3u + right + 2) >> 2);
}

/* The trip count is a constant so that the compiler vectorises at -O2; a pair is stored as one number. */
static void widen_chunk(const uint16_t *sum, uint16_t left_half, uint16_t right_half, unsigned shift,
                        uint8_t *to)
{
    uint16_t pair[CHUNK];

    for (unsigned i = 0; i < CHUNK; i++) {
        uint16_t left = (uint16_t)((uint16_t)(sum[i] * 3 + sum[(int)i - 1] + left_half) >> shift);
        uint16_t right = (uint16_t)((uint16_t)(sum[i] * 3 + sum[i + 1] + right_half) >> shift);
        pair[i] = htole16((uint16_t)(left | right << 8));
    }
    memcpy(to, pair, sizeof pair);
}

static void widen(const uint16_t *sum, uint32_t count, bool quarters, uint8_t *to)
{
    uint32_t x = 0;

    if (count > 0)
        widen_sample(sum, x++, count, quarters, to);
    for (; x + CHUNK < count; x += CHUNK) {
        if (quarters)
            widen_chunk(sum + x, 8, 7, 4, to + 2 * (size_t)x);
        else
            widen_chunk(sum + x, 1, 2, 2, to + 2 * (size_t)x);
    }
    for (; x < count; x++)
        widen_sample(sum, x, count, quarters, to + 2 * (size_t)x);
}

/* Row `row` of a group (0 leans to the group above, 1 to the one below) of one chroma plane. */
static void full_row(struct smooth *s, uint32_t plane, uint32_t slot, uint32_t other, uint32_t row,
                     uint8_t *to)
{
    const uint8_t *near = s->chroma[slot][plane], *far = s->chroma[other][plane];
    bool across = s->sink.format.sub_x_log2 == 1, down = s->group_rows == 2;

    if (down)
        lean(near, far, s->chroma_width, s->sums);
    else
        for (uint32_t x = 0; across && x < s->chroma_width; x++)
            s->sums[x] = near[x];
    if (across)
        widen(s->sums, s->chroma_width, down, to);
    else if (!down)
        memcpy(to, near, s->width);
    else
        for (uint32_t x = 0; x < s->width; x++)
            to[x] = (uint8_t)((s->sums[x] + (row == 0 ? 1u : 2u)) >> 2);
}

/* ---- groups ---- */

static enum rc put_group(struct smooth *s, uint32_t group, struct err *err)
{
    uint32_t slot = group % 3, above = group > 0 ? (group - 1) % 3 : slot,
             below = group + 1 < s->groups ? (group + 1) % 3 : slot;

    for (uint32_t row = 0; row < s->group_rows && s->y_px < s->sink.size.height_px; row++, s->y_px++) {
        for (uint32_t plane = 0; plane < 2; plane++)
            full_row(s, plane, slot, row == 0 ? above : below, row, s->full[plane]);
        const uint8_t *const ycc[3] = {s->luma[slot][row], s->full[0], s->full[1]};
        image_ycc_to_rgb(ycc, s->rgb, s->width);
        const struct image_band band = {.y_px = s->y_px,
                                        .height_px = 1,
                                        .plane = {s->rgb[0], s->rgb[1], s->rgb[2]},
                                        .stride_bytes = {s->width, s->width, s->width}};
        enum rc rc = s->next->ops->write(s->next, &band, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc smooth_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct smooth *s = (struct smooth *)(void *)sink;
    enum rc rc = RC_OK;

    for (uint32_t y = 0, at = 0; rc == RC_OK && y < band->height_px; y += s->group_rows, at++) {
        uint32_t slot = s->group % 3;
        for (uint32_t row = 0; row < s->group_rows && y + row < band->height_px; row++)
            memcpy(s->luma[slot][row], band->plane[0] + (y + row) * band->stride_bytes[0], s->width);
        for (uint32_t plane = 0; plane < 2; plane++)
            memcpy(s->chroma[slot][plane], band->plane[1 + plane] + at * band->stride_bytes[1 + plane],
                   s->chroma_width);
        s->group++;
        if (s->group > 1)
            rc = put_group(s, s->group - 2, err);
    }
    return rc;
}

static enum rc smooth_finish(struct image_sink *sink, struct err *err)
{
    struct smooth *s = (struct smooth *)(void *)sink;
    enum rc rc = put_group(s, s->groups - 1, err);

    return rc == RC_OK ? s->next->ops->finish(s->next, err) : rc;
}

static void smooth_close(struct image_sink *sink)
{
    struct smooth *s = (struct smooth *)(void *)sink;

    image_sink_close(&s->next);
    free(s->memory);
    free(s->sums);
    free(s);
}

enum rc ingest_smooth(const struct image_format *from, struct image_sink *next, struct image_sink **ret_sink,
                      struct err *err)
{
    static const struct image_sink_ops ops = {smooth_write, smooth_finish, smooth_close};
    struct smooth *s = calloc(1, sizeof *s);

    assert(from->model == IMAGE_YCBCR && from->sub_x_log2 <= 1 && from->sub_y_log2 <= 1 &&
           next->format.model == IMAGE_RGB && next->format.depth_bits == 8);
    if (s == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to convert pixels");
    }
    s->sink = (struct image_sink){.ops = &ops, .format = *from, .size = next->size};
    s->next = next;
    s->width = next->size.width_px;
    s->chroma_width = image_plane_width(from, 1, s->width);
    s->group_rows = 1u << from->sub_y_log2;
    s->groups = image_plane_height(from, 1, next->size.height_px);
    size_t row_bytes = (size_t)s->width + ROOM_PX + 2;
    s->memory = malloc(row_bytes * 17);
    s->sums = malloc(row_bytes * sizeof *s->sums);
    if (s->memory == NULL || s->sums == NULL) {
        smooth_close(&s->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to convert pixels");
    }
    uint8_t *at = s->memory;
    for (unsigned slot = 0; slot < 3; slot++)
        for (unsigned i = 0; i < 2; i++, at += 2 * row_bytes) {
            s->luma[slot][i] = at;
            s->chroma[slot][i] = at + row_bytes;
        }
    for (unsigned i = 0; i < 2; i++, at += row_bytes)
        s->full[i] = at;
    for (unsigned i = 0; i < 3; i++, at += row_bytes)
        s->rgb[i] = at;
    *ret_sink = &s->sink;
    return RC_OK;
}
