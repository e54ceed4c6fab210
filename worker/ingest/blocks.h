/* Memory for the pixels of tiles, a block for each, taken when a row of tiles begins and put back when the
 * tile is encoded.
 *
 * Blocks of all levels are the same, and what was put back last is taken first: a conversion has as many of
 * them as it once needed at the same time. One thread, the pyramid's. */
#ifndef WORKER_INGEST_BLOCKS_H
#define WORKER_INGEST_BLOCKS_H

#include "worker/image/planes.h"

struct ingest_block {
    uint8_t *memory;
    struct image_band band; /* rows of a tile's width, also where the tile overhangs the picture */
    struct ingest_block *next;
};

struct ingest_blocks {
    struct image_format format;
    struct image_size size;
    struct ingest_block *spare;
};

/* RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_blocks_take(struct ingest_blocks *blocks, struct ingest_block **ret_block,
                                       struct err *err);
void ingest_blocks_put(struct ingest_blocks *blocks, struct ingest_block *block);
/* Frees those that were put back. */
void ingest_blocks_done(struct ingest_blocks *blocks);

#endif
