/* Part of a grid of JPEG tiles → one JPEG file, without decoding pixels: no loss, and a fraction of the time.
 *
 * Two ways, the same pixels. By bytes, where all tiles restart alike and often enough: intervals are
 * independent of each other, so they are copied in their new order and only their markers are numbered anew.
 * Else by codes (jpeg_recode.c): the Huffman codes of the MCUs in the window are moved over, with the first
 * coefficients' differences made anew at the seams. libjpeg could do that too (jpeg_read_coefficients), but
 * unpacks every coefficient and holds all of them: several times as slow as moving the codes.
 *
 * Work goes on in three steps, so that a large window needs no more memory than one row of its tiles:
 *     look at the head of every tile  →  begin (now it is certain that it will do)  →  each row of tiles  →  end
 * Pure, one thread at a time. Tiles are foreign bytes. RC_UNSUPPORTED everywhere: these have to be decoded;
 * the sentence says why. */
#ifndef WORKER_IMAGE_JPEG_STITCH_H
#define WORKER_IMAGE_JPEG_STITCH_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

struct image_jpeg_grid {
    struct image_size tile; /* of each tile, in pixels */
    struct image_region
        window;             /* in pixels, from the upper left corner of the first tile, which it begins in */
    enum image_model model; /* GRAY, YCBCR or RGB */
    const struct bytes
        *tables; /* a tables-only stream that belongs before every tile; may be empty. Borrowed */
};

struct image_jpeg_tile {
    const uint8_t *data;
    size_t length;
};

struct image_jpeg_stitch;

static inline uint32_t image_jpeg_grid_columns(const struct image_jpeg_grid *grid)
{
    return (grid->window.x_px + grid->window.width_px - 1) / grid->tile.width_px + 1;
}

static inline uint32_t image_jpeg_grid_rows(const struct image_jpeg_grid *grid)
{
    return (grid->window.y_px + grid->window.height_px - 1) / grid->tile.height_px + 1;
}

/* RC_UNSUPPORTED, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_stitch_new(const struct image_jpeg_grid *grid,
                                          struct image_jpeg_stitch **ret_stitch, struct err *err);
void image_jpeg_stitch_free(struct image_jpeg_stitch **stitch);

/* Once for each tile that the window touches, in any order: `tile` need only reach beyond its head.
 * RC_UNSUPPORTED, also where it does not go with the others, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_stitch_look(struct image_jpeg_stitch *stitch,
                                           const struct image_jpeg_tile *tile, struct err *err);
/* After the last look: whether it goes by bytes, at the speed of copying. */
bool image_jpeg_stitch_is_copy(const struct image_jpeg_stitch *stitch);

/* Appends the file's head to `out`. `segments` (may be empty) are whole marker segments that belong in it. */
RC_MUST_USE enum rc image_jpeg_stitch_begin(struct image_jpeg_stitch *stitch, const struct bytes *segments,
                                            struct bytes *out, struct err *err);
/* Appends the next row of tiles, each of them whole. Between calls `out` may be emptied. */
RC_MUST_USE enum rc image_jpeg_stitch_row(struct image_jpeg_stitch *stitch,
                                          const struct image_jpeg_tile *tiles, struct bytes *out,
                                          struct err *err);
RC_MUST_USE enum rc image_jpeg_stitch_end(struct image_jpeg_stitch *stitch, struct bytes *out,
                                          struct err *err);

#endif
