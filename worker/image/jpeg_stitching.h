/* What jpeg_stitch.c shares with the two ways it has to move a row of tiles, jpeg_copy.c and jpeg_recode.c;
 * jpeg_restarts.c moves a tile by the second. For these only. */
#ifndef WORKER_IMAGE_JPEG_STITCHING_H
#define WORKER_IMAGE_JPEG_STITCHING_H

#include "worker/image/jpeg_bits.h"
#include "worker/image/jpeg_stitch.h"

#define IMAGE_JPEG_MAX_MCU_BLOCKS 10u /* ITU-T T.81 B.2.3 */

/* Half-open, in MCUs. */
struct image_jpeg_range {
    uint32_t from, to;
};

/* By class and component. */
struct image_jpeg_decoders {
    const struct image_jpeg_decoder *of[2][3];
    struct image_jpeg_decoder *own; /* where the tables are not the standard's: room for six */
};

struct image_jpeg_lane; /* jpeg_recode.c: one column of tiles while a row is read */

struct image_jpeg_stitch {
    struct image_jpeg_grid grid;
    uint32_t columns, next_row;           /* of tiles */
    struct image_size tile_mcus;          /* MCUs of a tile across and down */
    struct image_jpeg_range across, down; /* of the window, counted from the first tile */
    struct bytes first_start;             /* the first tile's head, kept for `first` to point into */
    struct image_jpeg_head first;         /* components 0: no tile has been looked at */
    bool restarts_differ, tables_differ;

    /* By bytes. */
    uint64_t intervals; /* how many have been written */
    uint32_t cut_bits;  /* of the last byte of the interval cut last: how many low ones are not wanted */

    /* By codes; the decoders also to cut intervals. */
    const struct image_jpeg_standard *standard;
    struct image_jpeg_decoders decoders; /* of the first tile; of all unless tables_differ */
    struct image_jpeg_lane *lane;
    bool translates;      /* codes become those of the standard's tables */
    int32_t predicted[3]; /* what the next first coefficients are differences to */
    uint64_t bits;        /* the low ones that do not make a byte yet */
    uint32_t bit_count;
    struct image_jpeg_encoder encoder[2][3];
};

/* Which of the standard's tables a component takes. */
static inline uint8_t image_jpeg_standard_number(const struct image_jpeg_stitch *stitch, unsigned component)
{
    return stitch->grid.model == IMAGE_YCBCR && component > 0;
}

/* The MCUs of a column (row) of tiles that lie in the window, counted within the tile. */
static inline struct image_jpeg_range image_jpeg_range_in(struct image_jpeg_range whole, uint32_t tile_mcus,
                                                          uint32_t tile)
{
    uint64_t start = (uint64_t)tile * tile_mcus;
    uint64_t from = whole.from > start ? whole.from - start : 0;
    uint64_t to = whole.to - start < tile_mcus ? whole.to - start : tile_mcus;
    return (struct image_jpeg_range){(uint32_t)from, (uint32_t)to};
}

/* Moves a row of tiles whose heads are known to fit. RC_UNSUPPORTED when one's data are not what its head
 * says. */
RC_MUST_USE enum rc image_jpeg_copy_row(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles,
                                        struct bytes *out, struct err *err);
RC_MUST_USE enum rc image_jpeg_recode_row(struct image_jpeg_stitch *stitch,
                                          const struct image_jpeg_tile *tiles, struct bytes *out,
                                          struct err *err);
/* Decides `translates` and makes the tables for image_jpeg_recode_row(). RC_UNSUPPORTED, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_recode_prepare(struct image_jpeg_stitch *stitch, struct err *err);
RC_MUST_USE enum rc image_jpeg_recode_end(struct image_jpeg_stitch *stitch, struct bytes *out,
                                          struct err *err);

/* For cutting by bytes: only reads codes. RC_UNSUPPORTED, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_recode_prepare_cuts(struct image_jpeg_stitch *stitch, struct err *err);
/* How many of an interval's bytes its first `mcus` MCUs take, and in stitch->cut_bits how many bits of the
 * last are not theirs. 0: the interval is broken. */
size_t image_jpeg_recode_reach(struct image_jpeg_stitch *stitch, const uint8_t *interval, size_t length,
                               uint32_t mcus);

void image_jpeg_recode_done(struct image_jpeg_stitch *stitch);

#endif
