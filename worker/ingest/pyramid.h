/* The end of the chain: rows of the full size come in, encoded tiles of every level pile up in spools
 * (worker/ingest/tiles.h).
 *
 * Each row is halved with its neighbour into a row of the next level as soon as both are there, and so on
 * down; a row of tiles that is complete is encoded by the crew's threads while the next one fills up. The
 * memory it takes is a row of tiles of each level, and half a row of the full size (or four tiles per thread,
 * if that is more) that is still being encoded when the next one begins. Driven by one thread, which does the
 * settling, and encodes itself when it is ahead. */
#ifndef WORKER_INGEST_PYRAMID_H
#define WORKER_INGEST_PYRAMID_H

#include "worker/image/pixels.h"
#include "worker/ingest/tiles.h"

struct ingest_pyramid;

/* `levels` and `folder` (of the spools) are borrowed. *ret_sink takes the rows: pixels of tiles->format in
 * the first level's size; its close() does nothing, closing the pyramid does. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc ingest_pyramid_open(const struct ingest_levels *levels,
                                        const struct image_tile_options *tiles, unsigned threads,
                                        const char *folder, struct ingest_pyramid **ret_pyramid,
                                        struct image_sink **ret_sink, struct err *err);
void ingest_pyramid_close(struct ingest_pyramid **pyramid); /* fits OWN() */

/* What became of one level; lives with the pyramid. */
const struct ingest_tiles_level *ingest_pyramid_level(const struct ingest_pyramid *pyramid, uint32_t level);

#endif
