/* One lane of a resampling: planes of the same geometry, from rows of the source to finished rows of the
 * output.
 *
 * A lane is given pieces of the source, top to bottom. An output row whose samples all lie in one piece is
 * summed from it directly, first down the columns, then along the row; one that needs the next piece too
 * leaves its sums behind. For resample.c only; what the lanes of one call share is its bench, at which one
 * works at a time. */
#ifndef WORKER_IMAGE_RESAMPLE_LANE_H
#define WORKER_IMAGE_RESAMPLE_LANE_H

#include "worker/image/resample_filter.h"
#include "worker/image/resample_geometry.h"
#include "worker/image/resample_taps.h"

#define IMAGE_RESAMPLE_MCU_ROWS  16u
#define IMAGE_RESAMPLE_DEEP_ROWS 16u /* made deep at a time */

/* Rows of one plane in memory of our own. */
struct image_resample_rows {
    uint8_t *data;
    size_t stride_bytes;
    uint64_t capacity;
};

static inline uint8_t *image_resample_row(const struct image_resample_rows *rows, uint64_t row)
{
    return rows->data + row * rows->stride_bytes;
}

/* Rows of `row_bytes`, at least `count` of them; the first `kept` rows stay as they are. RC_NO_MEMORY,
 * RC_TOO_LARGE. */
RC_MUST_USE enum rc image_resample_rows_ensure(struct image_resample_rows *rows, size_t row_bytes,
                                               uint64_t count, uint64_t kept, struct err *err);

struct image_resample_bench {
    const struct image_resample_filter *filter;
    struct image_size from; /* the source's */
    uint8_t from_depth_bits, depth_bits;
    bool deep; /* 16 bits, or straight alpha: then there is one lane */
    uint32_t rows_per_write;
    struct image_resample_rows pointers; /* to the rows under one kernel */
    struct image_resample_rows
        line[IMAGE_MAX_PLANES]; /* one row that has come down; deep: one of each plane */
    struct image_resample_rows along[IMAGE_MAX_PLANES];    /* deep: one finished row */
    struct image_resample_rows deepened[IMAGE_MAX_PLANES]; /* deep: some source rows, colours times alpha */
};
void image_resample_bench_done(struct image_resample_bench *bench);

/* Row numbers are of the group's own samples. */
struct image_resample_lane {
    struct image_resample_group group;
    bool copied;    /* nothing to do but to take the right samples */
    uint32_t width; /* of the source's rows */
    struct image_resample_taps x, y;
    uint32_t slots;                                    /* output rows that can be unfinished at a time */
    struct image_resample_rows sums;                   /* row slot * group.count + i: those of plane i */
    uint32_t next;                                     /* output row that is not finished */
    struct image_resample_rows done[IMAGE_MAX_PLANES]; /* finished, not written yet, by index in the stage */
    uint32_t done_rows;
};

/* Source rows that can be read, of one lane's planes in the order of its group. */
struct image_resample_piece {
    uint32_t top, bottom;
    const uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

/* `group` and `copied` are set, and all of the bench but its rows. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc image_resample_lane_prepare(struct image_resample_lane *lane,
                                                struct image_resample_bench *bench,
                                                const struct image_window *window, struct image_size wanted,
                                                struct err *err);
void image_resample_lane_done(struct image_resample_lane *lane);

/* Rows [from, until) of a piece as 16 bits, at most DEEP_ROWS. Straight alpha: the colours times alpha. */
struct image_resample_piece image_resample_lane_deepen(const struct image_resample_lane *lane,
                                                       struct image_resample_bench *bench,
                                                       const struct image_resample_piece *piece,
                                                       uint32_t from, uint32_t until);
/* Makes the output rows that the piece completes, until `most` wait. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc image_resample_lane_advance(struct image_resample_lane *lane,
                                                struct image_resample_bench *bench,
                                                const struct image_resample_piece *piece, uint32_t most,
                                                struct err *err);
/* Takes what the piece has for output rows that end below it. */
void image_resample_lane_leave(struct image_resample_lane *lane, struct image_resample_bench *bench,
                               const struct image_resample_piece *piece);
/* The first `count` finished rows are written. */
void image_resample_lane_drop(struct image_resample_lane *lane, uint32_t count);

#endif
