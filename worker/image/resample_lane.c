#include "worker/image/resample_lane.h"

#include "worker/image/resample_deep.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_BYTES 64u

enum rc image_resample_rows_ensure(struct image_resample_rows *rows, size_t row_bytes, uint64_t count,
                                   uint64_t kept, struct err *err)
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
    *rows = (struct image_resample_rows){.data = data, .stride_bytes = stride, .capacity = count};
    return RC_OK;
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

enum rc image_resample_lane_prepare(struct image_resample_lane *lane, struct image_resample_bench *bench,
                                    const struct image_window *window, struct image_size wanted,
                                    struct err *err)
{
    const struct image_resample_group *group = &lane->group;
    struct image_resample_axis x = image_resample_axis_x(group, window, wanted.width_px),
                               y = image_resample_axis_y(group, window, wanted.height_px);
    uint32_t width = image_resample_samples(bench->from.width_px, group->from_x_log2);

    lane->width = width;
    enum rc rc = image_resample_taps_make(&x, group->kernel, width, &lane->x, err);
    if (rc == RC_OK)
        rc = image_resample_taps_make(&y, group->kernel,
                                      image_resample_samples(bench->from.height_px, group->from_y_log2),
                                      &lane->y, err);
    if (rc != RC_OK)
        return rc;
    lane->slots = most_unfinished(&lane->y);
    rc = image_resample_rows_ensure(&lane->sums, image_resample_sums(width) * sizeof(int32_t),
                                    (uint64_t)lane->slots * group->count, 0, err);
    /* What lies behind the samples is multiplied by 0, but must be there. */
    size_t line_bytes = (image_resample_sums(width) + lane->x.stride) * (bench->deep ? 4 : 2);
    for (uint32_t i = 0; rc == RC_OK && i < (bench->deep ? group->count : 1); i++) {
        if (bench->line[i].stride_bytes < line_bytes)
            rc = image_resample_rows_ensure(&bench->line[i], line_bytes, 1, 0, err);
        if (rc == RC_OK)
            memset(bench->line[i].data, 0, bench->line[i].stride_bytes);
        if (rc == RC_OK && bench->deep)
            rc = image_resample_rows_ensure(&bench->along[i], ((size_t)lane->x.outputs + 8) * 2, 1, 0, err);
        if (rc == RC_OK && bench->deep)
            rc = image_resample_rows_ensure(&bench->deepened[i], (size_t)width * 2, IMAGE_RESAMPLE_DEEP_ROWS,
                                            0, err);
    }
    size_t pointers_bytes = lane->y.taps * sizeof(uint8_t *);
    if (rc == RC_OK && bench->pointers.stride_bytes < pointers_bytes)
        rc = image_resample_rows_ensure(&bench->pointers, pointers_bytes, 1, 0, err);
    return rc;
}

void image_resample_lane_done(struct image_resample_lane *lane)
{
    image_resample_taps_done(&lane->x);
    image_resample_taps_done(&lane->y);
    free(lane->sums.data);
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(lane->done[i].data);
}

void image_resample_bench_done(struct image_resample_bench *bench)
{
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        free(bench->line[i].data);
        free(bench->along[i].data);
        free(bench->deepened[i].data);
    }
    free(bench->pointers.data);
}

struct image_resample_piece image_resample_lane_deepen(const struct image_resample_lane *lane,
                                                       struct image_resample_bench *bench,
                                                       const struct image_resample_piece *piece,
                                                       uint32_t from, uint32_t until)
{
    const struct image_resample_group *group = &lane->group;
    uint32_t last = group->count - 1;
    struct image_resample_piece deep = {.top = from, .bottom = until};

    for (uint32_t i = 0; i < group->count; i++) {
        deep.plane[i] = bench->deepened[i].data;
        deep.stride_bytes[i] = bench->deepened[i].stride_bytes;
        for (uint32_t y = from; y < until; y++) {
            const uint8_t *row = piece->plane[i] + (y - piece->top) * piece->stride_bytes[i];
            const uint8_t *alpha = piece->plane[last] + (y - piece->top) * piece->stride_bytes[last];
            image_resample_deepen(row, group->weighted && i < last ? alpha : NULL, lane->width,
                                  bench->from_depth_bits,
                                  (uint16_t *)(void *)image_resample_row(&bench->deepened[i], y - from));
        }
    }
    return deep;
}

/* Takes rows [from, until) of the piece into output row `output`. The line of a plane is whole when it ends.
 */
static void sum_down(struct image_resample_lane *lane, struct image_resample_bench *bench,
                     const struct image_resample_piece *piece, uint32_t output, uint32_t from, uint32_t until,
                     uint32_t plane)
{
    uint32_t first = lane->y.first[output];
    const uint8_t **pointer = (const uint8_t **)(void *)bench->pointers.data;
    struct image_resample_part part = {
        .rows = pointer,
        .weights = lane->y.weight + (size_t)output * lane->y.stride + (from - first),
        .count = until - from,
        .width = lane->width,
        .begins = from == first,
        .ends = until == first + lane->y.taps,
        .sum = (int32_t *)(void *)image_resample_row(
            &lane->sums, (uint64_t)(output % lane->slots) * lane->group.count + plane),
    };
    for (uint32_t i = 0; i < part.count; i++)
        pointer[i] = piece->plane[plane] + (from - piece->top + i) * piece->stride_bytes[plane];
    if (bench->deep)
        bench->filter->down_deep(&part, (int32_t *)(void *)bench->line[plane].data);
    else
        bench->filter->down(&part, (int16_t *)(void *)bench->line[0].data);
}

/* Deep planes need each other: all lines have come down. */
static void finish_deep(struct image_resample_lane *lane, struct image_resample_bench *bench)
{
    const struct image_resample_group *group = &lane->group;
    const uint16_t *alpha = NULL;

    for (uint32_t i = 0; i < group->count; i++)
        bench->filter->along_deep((const int32_t *)(const void *)bench->line[i].data, &lane->x,
                                  (uint16_t *)(void *)bench->along[i].data);
    if (group->weighted)
        alpha = (const uint16_t *)(const void *)bench->along[group->count - 1].data;
    for (uint32_t i = 0; i < group->count; i++)
        image_resample_undeepen((const uint16_t *)(const void *)bench->along[i].data,
                                i == group->count - 1 ? NULL : alpha, lane->x.outputs, bench->depth_bits,
                                image_resample_row(&lane->done[group->stage[i]], lane->done_rows));
}

/* Makes output row `output`, the rest of whose rows is in the piece. */
static void finish_row(struct image_resample_lane *lane, struct image_resample_bench *bench,
                       const struct image_resample_piece *piece, uint32_t output)
{
    const struct image_resample_group *group = &lane->group;
    uint32_t first = lane->y.first[output], end = first + lane->y.taps;
    uint32_t from = first > piece->top ? first : piece->top;

    for (uint32_t i = 0; i < group->count; i++) {
        uint8_t *to = image_resample_row(&lane->done[group->stage[i]], lane->done_rows);
        if (lane->copied) {
            assert(piece->plane[i] != NULL);
            memcpy(to,
                   piece->plane[i] + (from - piece->top) * piece->stride_bytes[i] +
                       (size_t)lane->x.first[0] * (bench->depth_bits / 8u),
                   (size_t)lane->x.outputs * (bench->depth_bits / 8u));
            continue;
        }
        sum_down(lane, bench, piece, output, from, end, i);
        if (!bench->deep)
            bench->filter->along((const int16_t *)(const void *)bench->line[0].data, &lane->x, to);
    }
    if (bench->deep && !lane->copied)
        finish_deep(lane, bench);
    lane->done_rows++;
}

enum rc image_resample_lane_advance(struct image_resample_lane *lane, struct image_resample_bench *bench,
                                    const struct image_resample_piece *piece, uint32_t most, struct err *err)
{
    while (lane->next < lane->y.outputs && lane->done_rows < most &&
           lane->y.first[lane->next] + lane->y.taps <= piece->bottom) {
        for (uint32_t i = 0; i < lane->group.count; i++) {
            struct image_resample_rows *done = &lane->done[lane->group.stage[i]];
            enum rc rc = RC_OK;
            if (done->data == NULL || done->capacity == lane->done_rows)
                rc = image_resample_rows_ensure(
                    done, ((size_t)lane->x.outputs + 8) * (bench->depth_bits / 8u),
                    done->data == NULL ? bench->rows_per_write >> lane->group.to_y_log2
                                       : lane->done_rows + IMAGE_RESAMPLE_MCU_ROWS,
                    lane->done_rows, err);
            if (rc != RC_OK)
                return rc;
        }
        finish_row(lane, bench, piece, lane->next++);
    }
    return RC_OK;
}

void image_resample_lane_leave(struct image_resample_lane *lane, struct image_resample_bench *bench,
                               const struct image_resample_piece *piece)
{
    for (uint32_t output = lane->next; output < lane->y.outputs && lane->y.first[output] < piece->bottom;
         output++) {
        uint32_t first = lane->y.first[output];
        for (uint32_t i = 0; i < lane->group.count; i++)
            sum_down(lane, bench, piece, output, first > piece->top ? first : piece->top, piece->bottom, i);
    }
}

void image_resample_lane_drop(struct image_resample_lane *lane, uint32_t count)
{
    for (uint32_t i = 0; i < lane->group.count && count < lane->done_rows; i++) {
        struct image_resample_rows *done = &lane->done[lane->group.stage[i]];
        memmove(done->data, image_resample_row(done, count), (lane->done_rows - count) * done->stride_bytes);
    }
    lane->done_rows -= count;
}
