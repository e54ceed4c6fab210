/* The tiles of a pyramid: from rows of blocks full of pixels, by the crew's threads, to encoded tiles in a
 * spool for each level.
 *
 * Of each level one row of tiles fills up at a time, in blocks that are lent here. A row that is full is cut
 * into tasks of a few tiles; the outcome of the tasks is put into the spools in their order, and there is
 * decided which tiles keep their restart intervals, so that the bytes do not depend on the number of threads.
 * Driven by the one thread that drives the pyramid. */
#ifndef WORKER_INGEST_TILES_H
#define WORKER_INGEST_TILES_H

#include "worker/image/tile_encode.h"
#include "worker/ingest/blocks.h"
#include "worker/ingest/checksum.h"
#include "worker/ingest/levels.h"
#include "worker/ingest/spool.h"

struct ingest_tiles;

/* Those of one level. */
struct ingest_tiles_level {
    struct image_size size;      /* in pixels */
    uint32_t across;             /* tiles in a row */
    uint32_t row;                /* which row of tiles fills up */
    struct ingest_block **block; /* its blocks; NULLs between two rows */
    /* What became of them. */
    struct ingest_spool spool; /* one behind the other, row by row */
    uint32_t tile_count;
    uint32_t *tile_bytes;
    struct ingest_checksum *sum;
    uint64_t checksum; /* XXH64 of all; after ingest_tiles_finish() */
};

/* `folder` (of the spools) is borrowed. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc ingest_tiles_open(const struct ingest_levels *levels,
                                      const struct image_tile_options *options, unsigned threads,
                                      const char *folder, struct ingest_tiles **ret_tiles, struct err *err);
void ingest_tiles_close(struct ingest_tiles **tiles); /* fits OWN() */

struct ingest_tiles_level *ingest_tiles_level(struct ingest_tiles *tiles, uint32_t number);
/* Format and size of all blocks. */
const struct ingest_blocks *ingest_tiles_blocks(const struct ingest_tiles *tiles);

/* Before the first row of pixels of a row of tiles: lends its blocks. The full size waits until part of what
 * came before is encoded: what is left keeps the other threads busy meanwhile, and makes no difference to
 * smaller levels, which begin behind it. RC_NO_MEMORY, and how tasks failed. */
RC_MUST_USE enum rc ingest_tiles_begin_row(struct ingest_tiles *tiles, struct ingest_tiles_level *level,
                                           struct err *err);
/* The blocks are full: takes them back to encode them. As above. */
RC_MUST_USE enum rc ingest_tiles_end_row(struct ingest_tiles *tiles, struct ingest_tiles_level *level,
                                         struct err *err);
/* Until the last tile is in its spool. As above. */
RC_MUST_USE enum rc ingest_tiles_finish(struct ingest_tiles *tiles, struct err *err);

#endif
