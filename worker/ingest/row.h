/* A row of a plane that lies in the blocks of a row of tiles, a piece in each; and what is done with it as a
 * whole. Pure.
 *
 * Tiles have even widths, of chroma too: no pair of samples lies in two of them. */
#ifndef WORKER_INGEST_ROW_H
#define WORKER_INGEST_ROW_H

#include "worker/ingest/blocks.h"
#include "worker/ingest/levels.h"

struct ingest_row {
    const struct ingest_blocks *blocks; /* their format and size */
    struct ingest_block *const *block;  /* one per tile, as many as hold all samples */
    unsigned plane;
    uint32_t row; /* of the plane, counted from the picture's top */
    const struct ingest_axis *across;
};

/* Samples as they are. */
void ingest_row_put(const struct ingest_row *row, const void *from);
/* Wide samples (levels.h): of 8-bit pictures rounded. */
void ingest_row_put_wide(const struct ingest_row *row, const uint16_t *from);
void ingest_row_wide(const struct ingest_row *row, uint16_t *to);

/* Halves the row with the one above it in the same blocks, or with itself where it is `alone`; of 8-bit
 * pictures. */
void ingest_row_halve(const struct ingest_row *row, bool alone, uint16_t *to);

#endif
