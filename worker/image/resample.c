#include "worker/image/resample.h"

#include "base/own.h"
#include "worker/image/resample_deep.h"
#include "worker/image/resample_filter.h"
#include "worker/image/ycc_rgb.h"

#include <assert.h>
#include <string.h>

/* Driven by what the reader lends: every row of a band is taken into account while the band is there, and
 * nothing of it is kept. An output row whose samples all lie in one band is summed from it directly, first
 * down the columns, then along the row; one that needs the next band too leaves its sums behind. So memory is
 * a few rows, whatever the reduction, and the reader's own band.
 *
 * Each group of planes advances on its own: chroma of 4:2:0 is a picture of half the size with a window of
 * half the size. Finished rows wait until both groups have whole rows of MCUs. */

/* Written at a time where possible: as many rows of MCUs as are still in the cache then. */
#define MCU_ROWS    16u
#define WRITE_PX    65536u
#define DEEP_ROWS   16u /* converted at a time where samples have to be made deep first */
#define ALIGN_BYTES 64u

/* Rows of one plane in memory of our own. */
struct rows {
    uint8_t *data;
    size_t stride_bytes;
    uint64_t capacity;
};

/* The planes of one geometry on their way. Row numbers are of the group's own samples. */
struct lane {
    struct image_resample_group group;
    bool copied; /* nothing to do but to take the right samples */
    struct image_resample_taps x, y;
    uint32_t slots;                     /* output rows that can be unfinished at a time */
    struct rows sums;                   /* row slot * group.count + i: those of plane i */
    uint32_t next;                      /* output row that is not finished */
    struct rows done[IMAGE_MAX_PLANES]; /* finished rows, not written yet, by index in the stage */
    uint32_t done_rows;
};

struct resampler {
    struct image_reader *reader;
    struct image_sink *sink;
    struct image_window window;
    bool (*cancelled)(void *context);
    void *context;
    const struct image_resample_filter *filter;

    struct image_format stage; /* what the lanes yield: sink->format, or YCBCR 4:4:4 on its way to RGB */
    bool deep;                 /* 16 bits, or straight alpha: then there is one lane */
    uint32_t lane_count;
    struct lane lane[2];
    struct image_band band; /* the last one read */
    uint32_t rows_per_write, written_rows;

    struct rows pointers;                   /* to the rows under one kernel */
    struct rows line[IMAGE_MAX_PLANES];     /* one row that has come down; with alpha one of each plane */
    struct rows along[IMAGE_MAX_PLANES];    /* deep: one finished row */
    struct rows deepened[IMAGE_MAX_PLANES]; /* deep: some source rows as 16 bits, colours times alpha */
    struct rows rgb[3];
};

/* Source rows that can be read, of one lane's planes in the order of its group. */
struct piece {
    uint32_t top, bottom;
    const uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

/* ---- memory ---- */

/* Rows of `row_bytes`, at least `count` of them; the first `kept` rows stay as they are. */
static enum rc rows_ensure(struct rows *rows, size_t row_bytes, uint64_t count, uint64_t kept,
                           struct err *err)
{
    size_t stride = (row_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;

    if (rows->data != NULL && rows->stride_bytes == stride && rows->capacity >= count)
        return RC_OK;
    if (count > IMAGE_RESAMPLE_MOST_BYTES / stride)
        return err_set(err, RC_TOO_LARGE, "resampling takes %llu rows of %zu bytes at a time",
                       (unsigned long long)count, stride);
    uint8_t *data = aligned_alloc(ALIGN_BYTES, stride * (size_t)count);
    if (data == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %llu rows of %zu bytes", (unsigned long long)count,
                       stride);
    if (kept > 0 && rows->data != NULL)
        memcpy(data, rows->data, (size_t)kept * stride);
    free(rows->data);
    *rows = (struct rows){.data = data, .stride_bytes = stride, .capacity = count};
    return RC_OK;
}

static uint8_t *row_at(const struct rows *rows, uint64_t row)
{
    return rows->data + row * rows->stride_bytes;
}

static void resampler_done(struct resampler *r)
{
    for (uint32_t g = 0; g < 2; g++) {
        image_resample_taps_done(&r->lane[g].x);
        image_resample_taps_done(&r->lane[g].y);
        free(r->lane[g].sums.data);
        for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
            free(r->lane[g].done[i].data);
    }
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        free(r->line[i].data);
        free(r->along[i].data);
        free(r->deepened[i].data);
    }
    for (uint32_t i = 0; i < 3; i++)
        free(r->rgb[i].data);
    free(r->pointers.data);
}

static uint32_t source_width(const struct resampler *r, const struct lane *lane)
{
    return image_resample_samples(r->reader->size.width_px, lane->group.from_x_log2);
}

/* The most output rows that have begun above some source row and go on below it. */
static uint32_t most_unfinished(const struct image_resample_taps *y)
{
    uint32_t most = 1;

    for (uint32_t low = 0, high = 0; low < y->outputs; low++) {
        while (high < y->outputs && y->first[high] < y->first[low] + y->taps)
            high++;
        most = high - low > most ? high - low : most;
    }
    return most;
}

static enum rc lane_prepare(struct resampler *r, struct lane *lane, struct err *err)
{
    const struct image_resample_group *group = &lane->group;
    struct image_resample_axis x = image_resample_axis_x(group, &r->window, r->sink->size.width_px),
                               y = image_resample_axis_y(group, &r->window, r->sink->size.height_px);
    uint32_t width = source_width(r, lane);

    enum rc rc = image_resample_taps_make(&x, group->kernel, width, &lane->x, err);
    if (rc == RC_OK)
        rc = image_resample_taps_make(&y, group->kernel,
                                      image_resample_samples(r->reader->size.height_px, group->from_y_log2),
                                      &lane->y, err);
    if (rc != RC_OK)
        return rc;
    lane->slots = most_unfinished(&lane->y);
    rc = rows_ensure(&lane->sums, image_resample_sums(width) * sizeof(int32_t),
                     (uint64_t)lane->slots * group->count, 0, err);
    /* What lies behind the samples is multiplied by 0, but must be there. */
    size_t line_bytes = (image_resample_sums(width) + lane->x.stride) * (r->deep ? 4 : 2);
    for (uint32_t i = 0; rc == RC_OK && i < (r->deep ? group->count : 1); i++) {
        if (r->line[i].stride_bytes < line_bytes)
            rc = rows_ensure(&r->line[i], line_bytes, 1, 0, err);
        if (rc == RC_OK)
            memset(r->line[i].data, 0, r->line[i].stride_bytes);
        if (rc == RC_OK && r->deep)
            rc = rows_ensure(&r->along[i], ((size_t)lane->x.outputs + 8) * 2, 1, 0, err);
        if (rc == RC_OK && r->deep)
            rc = rows_ensure(&r->deepened[i], (size_t)width * 2, DEEP_ROWS, 0, err);
    }
    return rc;
}

static enum rc prepare(struct resampler *r, struct err *err)
{
    uint32_t taps = 1, rows = WRITE_PX / r->sink->size.width_px / MCU_ROWS * MCU_ROWS;
    uint32_t all = (r->sink->size.height_px + MCU_ROWS - 1) / MCU_ROWS * MCU_ROWS;

    r->rows_per_write = rows < MCU_ROWS ? MCU_ROWS : rows > all ? all : rows;
    for (uint32_t g = 0; g < r->lane_count; g++) {
        enum rc rc = lane_prepare(r, &r->lane[g], err);
        if (rc != RC_OK)
            return rc;
        taps = r->lane[g].y.taps > taps ? r->lane[g].y.taps : taps;
    }
    return rows_ensure(&r->pointers, (size_t)taps * sizeof(uint8_t *), 1, 0, err);
}

/* Rows [from, until) of a piece as 16 bits. Straight alpha: the colours times alpha. */
static struct piece deepen(struct resampler *r, const struct lane *lane, const struct piece *piece,
                           uint32_t from, uint32_t until)
{
    const struct image_resample_group *group = &lane->group;
    uint32_t width = source_width(r, lane), last = group->count - 1;
    struct piece deep = {.top = from, .bottom = until};

    for (uint32_t i = 0; i < group->count; i++) {
        deep.plane[i] = r->deepened[i].data;
        deep.stride_bytes[i] = r->deepened[i].stride_bytes;
        for (uint32_t y = from; y < until; y++) {
            const uint8_t *row = piece->plane[i] + (y - piece->top) * piece->stride_bytes[i];
            const uint8_t *alpha = piece->plane[last] + (y - piece->top) * piece->stride_bytes[last];
            image_resample_deepen(row, group->weighted && i < last ? alpha : NULL, width,
                                  r->reader->format.depth_bits,
                                  (uint16_t *)(void *)row_at(&r->deepened[i], y - from));
        }
    }
    return deep;
}

/* ---- rows ---- */

/* Takes rows [from, until) of the piece into output row `output`. The line of a plane is whole when it ends.
 */
static void sum_down(struct resampler *r, struct lane *lane, const struct piece *piece, uint32_t output,
                     uint32_t from, uint32_t until, uint32_t plane)
{
    uint32_t first = lane->y.first[output];
    const uint8_t **pointer = (const uint8_t **)(void *)r->pointers.data;
    struct image_resample_part part = {
        .rows = pointer,
        .weights = lane->y.weight + (size_t)output * lane->y.stride + (from - first),
        .count = until - from,
        .width = source_width(r, lane),
        .begins = from == first,
        .ends = until == first + lane->y.taps,
        .sum = (int32_t *)(void *)row_at(&lane->sums,
                                         (uint64_t)(output % lane->slots) * lane->group.count + plane),
    };
    for (uint32_t i = 0; i < part.count; i++)
        pointer[i] = piece->plane[plane] + (from - piece->top + i) * piece->stride_bytes[plane];
    if (r->deep)
        r->filter->down_deep(&part, (int32_t *)(void *)r->line[plane].data);
    else
        r->filter->down(&part, (int16_t *)(void *)r->line[0].data);
}

/* Deep planes need each other: all lines have come down. */
static void finish_deep(struct resampler *r, struct lane *lane)
{
    const struct image_resample_group *group = &lane->group;
    const uint16_t *alpha = NULL;

    for (uint32_t i = 0; i < group->count; i++)
        r->filter->along_deep((const int32_t *)(const void *)r->line[i].data, &lane->x,
                              (uint16_t *)(void *)r->along[i].data);
    if (group->weighted)
        alpha = (const uint16_t *)(const void *)r->along[group->count - 1].data;
    for (uint32_t i = 0; i < group->count; i++)
        image_resample_undeepen((const uint16_t *)(const void *)r->along[i].data,
                                i == group->count - 1 ? NULL : alpha, lane->x.outputs, r->stage.depth_bits,
                                row_at(&lane->done[group->stage[i]], lane->done_rows));
}

/* Makes output row `output`, the rest of whose rows is in the piece. */
static void finish_row(struct resampler *r, struct lane *lane, const struct piece *piece, uint32_t output)
{
    const struct image_resample_group *group = &lane->group;
    uint32_t first = lane->y.first[output], end = first + lane->y.taps;
    uint32_t from = first > piece->top ? first : piece->top;

    for (uint32_t i = 0; i < group->count; i++) {
        uint8_t *to = row_at(&lane->done[group->stage[i]], lane->done_rows);
        if (lane->copied) {
            assert(piece->plane[i] != NULL);
            memcpy(to,
                   piece->plane[i] + (from - piece->top) * piece->stride_bytes[i] +
                       (size_t)lane->x.first[0] * (r->stage.depth_bits / 8u),
                   (size_t)lane->x.outputs * (r->stage.depth_bits / 8u));
            continue;
        }
        sum_down(r, lane, piece, output, from, end, i);
        if (!r->deep)
            r->filter->along((const int16_t *)(const void *)r->line[0].data, &lane->x, to);
    }
    if (r->deep && !lane->copied)
        finish_deep(r, lane);
    lane->done_rows++;
}

/* Makes the output rows that the piece completes, until `most` wait. */
static enum rc lane_advance(struct resampler *r, struct lane *lane, const struct piece *piece, uint32_t most,
                            struct err *err)
{
    while (lane->next < lane->y.outputs && lane->done_rows < most &&
           lane->y.first[lane->next] + lane->y.taps <= piece->bottom) {
        for (uint32_t i = 0; i < lane->group.count; i++) {
            struct rows *done = &lane->done[lane->group.stage[i]];
            enum rc rc = RC_OK;
            if (done->data == NULL || done->capacity == lane->done_rows)
                rc = rows_ensure(done, ((size_t)lane->x.outputs + 8) * (r->stage.depth_bits / 8u),
                                 done->data == NULL ? r->rows_per_write >> lane->group.to_y_log2
                                                    : lane->done_rows + MCU_ROWS,
                                 lane->done_rows, err);
            if (rc != RC_OK)
                return rc;
        }
        finish_row(r, lane, piece, lane->next++);
    }
    return RC_OK;
}

/* Takes what the piece has for output rows that end below it. */
static void lane_leave(struct resampler *r, struct lane *lane, const struct piece *piece)
{
    for (uint32_t output = lane->next; output < lane->y.outputs && lane->y.first[output] < piece->bottom;
         output++) {
        uint32_t first = lane->y.first[output];
        for (uint32_t i = 0; i < lane->group.count; i++)
            sum_down(r, lane, piece, output, first > piece->top ? first : piece->top, piece->bottom, i);
    }
}

/* ---- output ---- */

static enum rc band_to_rgb(struct resampler *r, struct image_band *band, struct err *err)
{
    for (uint32_t i = 0; i < 3; i++) {
        enum rc rc = rows_ensure(&r->rgb[i], r->sink->size.width_px, band->height_px, 0, err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t row = 0; row < band->height_px; row++) {
        const uint8_t *in[3];
        uint8_t *out[3];
        for (uint32_t i = 0; i < 3; i++) {
            in[i] = band->plane[i] + row * band->stride_bytes[i];
            out[i] = row_at(&r->rgb[i], row);
        }
        image_ycc_to_rgb(in, out, r->sink->size.width_px);
    }
    for (uint32_t i = 0; i < 3; i++) {
        band->plane[i] = r->rgb[i].data;
        band->stride_bytes[i] = r->rgb[i].stride_bytes;
    }
    return RC_OK;
}

static void lane_drop(struct lane *lane, uint32_t count)
{
    for (uint32_t i = 0; i < lane->group.count && count < lane->done_rows; i++) {
        struct rows *done = &lane->done[lane->group.stage[i]];
        memmove(done->data, row_at(done, count), (lane->done_rows - count) * done->stride_bytes);
    }
    lane->done_rows -= count;
}

/* Writes what all lanes have finished, if that is enough or the end of the picture. */
static enum rc write_done(struct resampler *r, bool *ret_wrote, struct err *err)
{
    uint32_t left = r->sink->size.height_px - r->written_rows, ready = left;

    for (uint32_t g = 0; g < r->lane_count; g++) {
        uint64_t rows = (uint64_t)r->lane[g].done_rows << r->lane[g].group.to_y_log2;
        ready = rows < ready ? (uint32_t)rows : ready;
    }
    *ret_wrote = ready > 0 && (ready == left || ready >= r->rows_per_write);
    if (!*ret_wrote)
        return RC_OK;
    if (ready != left)
        ready = ready / MCU_ROWS * MCU_ROWS;
    struct image_band band = {.y_px = r->written_rows, .height_px = ready};
    for (uint32_t i = 0; i < image_format_planes(&r->stage); i++)
        for (uint32_t g = 0; g < r->lane_count; g++)
            if (r->lane[g].done[i].data != NULL) {
                band.plane[i] = r->lane[g].done[i].data;
                band.stride_bytes[i] = r->lane[g].done[i].stride_bytes;
            }
    enum rc rc = r->stage.model != r->sink->format.model ? band_to_rgb(r, &band, err) : RC_OK;
    if (rc == RC_OK)
        rc = r->sink->ops->write(r->sink, &band, err);
    if (rc != RC_OK)
        return rc;
    for (uint32_t g = 0; g < r->lane_count; g++)
        lane_drop(&r->lane[g], image_resample_samples(ready, r->lane[g].group.to_y_log2));
    r->written_rows += ready;
    return RC_OK;
}

/* ---- input ---- */

static enum rc read_band(struct resampler *r, struct err *err)
{
    if (r->cancelled != NULL && r->cancelled(r->context))
        return err_set(err, RC_CANCELLED, "nobody waits for the picture any more");
    return r->reader->ops->read(r->reader, &r->band, err);
}

/* Takes all there is to be had from one piece per lane, which are of the same rows. */
static enum rc take_pieces(struct resampler *r, const struct piece piece[2], struct err *err)
{
    bool wrote = true;
    enum rc rc = RC_OK;

    while (wrote) {
        for (uint32_t g = 0; rc == RC_OK && g < r->lane_count; g++)
            rc = lane_advance(r, &r->lane[g], &piece[g], r->rows_per_write >> r->lane[g].group.to_y_log2,
                              err);
        if (rc == RC_OK)
            rc = write_done(r, &wrote, err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t g = 0; rc == RC_OK && g < r->lane_count; g++) {
        rc = lane_advance(r, &r->lane[g], &piece[g], UINT32_MAX, err);
        if (rc == RC_OK && !r->lane[g].copied)
            lane_leave(r, &r->lane[g], &piece[g]);
    }
    return rc == RC_OK ? write_done(r, &wrote, err) : rc;
}

static enum rc take_band(struct resampler *r, struct err *err)
{
    struct piece piece[2] = {{.top = 0}};

    for (uint32_t g = 0; g < r->lane_count; g++) {
        const struct image_resample_group *group = &r->lane[g].group;
        piece[g].top = r->band.y_px >> group->from_y_log2;
        piece[g].bottom = image_resample_samples(r->band.y_px + r->band.height_px, group->from_y_log2);
        for (uint32_t i = 0; i < group->count; i++) {
            piece[g].plane[i] = r->band.plane[group->source[i]];
            piece[g].stride_bytes[i] = r->band.stride_bytes[group->source[i]];
        }
    }
    if (!r->deep)
        return take_pieces(r, piece, err);
    for (uint32_t from = piece[0].top, until; from < piece[0].bottom; from = until) {
        until = piece[0].bottom - from < DEEP_ROWS ? piece[0].bottom : from + DEEP_ROWS;
        struct piece deep[2] = {deepen(r, &r->lane[0], &piece[0], from, until), {.top = 0}};
        enum rc rc = take_pieces(r, deep, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* Nothing changes: hands on the reader's bands, cropped by moving pointers. */
static enum rc pass_bands(struct resampler *r, struct err *err)
{
    const struct image_format *from = &r->reader->format;
    uint32_t x = (uint32_t)r->window.x_px, y = (uint32_t)r->window.y_px, end = y + r->sink->size.height_px;

    do {
        enum rc rc = read_band(r, err);
        if (rc != RC_OK)
            return rc;
        uint32_t top = r->band.y_px, bottom = top + r->band.height_px;
        uint32_t low = top > y ? top : y, high = bottom < end ? bottom : end;
        if (low >= high)
            continue;
        struct image_band out = {.y_px = low - y, .height_px = high - low};
        for (uint32_t g = 0; g < r->lane_count; g++)
            for (uint32_t i = 0; i < r->lane[g].group.count; i++) {
                const struct image_resample_group *group = &r->lane[g].group;
                uint32_t plane = group->source[i], to = group->stage[i];
                size_t stride = r->band.stride_bytes[plane];
                out.plane[to] = r->band.plane[plane] + ((low - top) >> group->from_y_log2) * stride +
                                (size_t)(x >> group->from_x_log2) * (from->depth_bits / 8u);
                out.stride_bytes[to] = stride;
            }
        rc = r->sink->ops->write(r->sink, &out, err);
        if (rc != RC_OK)
            return rc;
    } while (r->band.y_px + r->band.height_px < end);
    return RC_OK;
}

enum rc image_resample_run(struct image_reader *reader, const struct image_window *window,
                           struct image_sink *sink, bool (*cancelled)(void *context), void *context,
                           struct err *err)
{
    OWN(resampler_done)
    struct resampler r = {
        .reader = reader,
        .sink = sink,
        .window = *window,
        .cancelled = cancelled,
        .context = context,
        .filter = image_resample_filter_best(),
    };
    bool untouched = true;

    struct image_resample_group group[2];
    r.lane_count = image_resample_groups(&reader->format, &sink->format, &r.stage, group);
    for (uint32_t g = 0; g < r.lane_count; g++) {
        r.lane[g].group = group[g];
        r.lane[g].copied = image_resample_copies(&group[g], &reader->format, &sink->format, reader->size,
                                                 window, sink->size);
        untouched = untouched && r.lane[g].copied;
    }
    if (untouched && r.stage.model == sink->format.model)
        return pass_bands(&r, err);
    r.deep = (reader->format.depth_bits == 16 || group[0].weighted) && !untouched;
    enum rc rc = prepare(&r, err);
    while (rc == RC_OK && r.written_rows < sink->size.height_px) {
        rc = read_band(&r, err);
        if (rc == RC_OK)
            rc = take_band(&r, err);
    }
    return rc;
}
