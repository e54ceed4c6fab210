/* The arithmetic of a pyramid: how large its levels are, and how two rows of one level become a row of the
 * next. Pure.
 *
 * Each level's size is half of the one before, rounded up, down to the first that fits into one tile. A
 * sample of level n stands for the 2^n × 2^n pixels of level 0 above it, as far as they lie inside the
 * picture, and is their plain average: a last column or row that stands for fewer pixels counts for fewer.
 * Between levels samples are kept in 16 bits (8-bit pictures: the average times 256), so that rounding does
 * not add up. */
#ifndef WORKER_INGEST_LEVELS_H
#define WORKER_INGEST_LEVELS_H

#include "worker/image/geometry.h"

#include <stddef.h>

struct ingest_levels {
    uint32_t count;
    struct image_size size[IMAGE_MAX_LEVELS];
};

/* `size` is not empty, `tile_px` at least 64. */
void ingest_levels_init(struct ingest_levels *levels, struct image_size size, uint32_t tile_px);

/* Tiles across or down. */
static inline uint32_t ingest_levels_tiles(uint32_t extent_px, uint32_t tile_px)
{
    return (uint32_t)(((uint64_t)extent_px + tile_px - 1) / tile_px);
}

/* How many pixels of the picture one sample of an axis stands for. */
struct ingest_axis {
    uint32_t count; /* samples */
    uint64_t full;  /* pixels of each but the last */
    uint64_t last;  /* pixels of the last: 1 to `full` */
};

/* The samples of 2^log2 pixels of an axis of `extent_px` pixels. */
struct ingest_axis ingest_axis_init(uint32_t extent_px, unsigned log2);

/* Narrow rows are bytes of level 0 of an 8-bit picture; wide ones uint16_t, native byte order. `to` is always
 * wide, has (axis->count + 1) / 2 samples. `above` and `below` are rows of axis->count samples; the same row
 * twice where a last row is alone. */
void ingest_halve_narrow(const uint8_t *above, const uint8_t *below, const struct ingest_axis *axis,
                         uint16_t *to);
void ingest_halve_wide(const uint16_t *above, const uint16_t *below, const struct ingest_axis *axis,
                       uint16_t *to);

/* The average of two rows that weigh differently, wide; for a last row that stands for less than the one
 * above it. */
void ingest_blend_rows(uint16_t *above, const uint16_t *below, uint32_t count, uint64_t above_weight,
                       uint64_t below_weight);

/* Bytes become wide samples, and wide samples bytes, rounded. */
void ingest_widen(const uint8_t *from, uint32_t count, uint16_t *to);
void ingest_narrow(const uint16_t *from, uint32_t count, uint8_t *to);

/* The same halving where a pixel's colour counts only as much as it covers (alpha that the colours are not
 * multiplied with). All rows wide; alpha has the colours' axis; weights of the rows as above. */
void ingest_halve_covered(const uint16_t *above, const uint16_t *below, const uint16_t *alpha_above,
                          const uint16_t *alpha_below, uint64_t above_weight, uint64_t below_weight,
                          const struct ingest_axis *axis, uint16_t *to);

#endif
