/* A reader that lets idle processors decode what comes next.
 *
 * Tiles are decoded independently of each other, so each row of tiles can be read by a reader of its own, on
 * any thread, to the same samples. While the render's own thread resamples and encodes one row of tiles,
 * helpers decode the next ones: jobs of the pool that run only where a place is free, and leave after the row
 * at hand as soon as anybody waits for one. Without helpers the rows are read one after the other, as if this
 * were not here.
 *
 * Owned by the render's thread. Helpers are gone when it is closed. */
#ifndef WORKER_RENDER_AHEAD_H
#define WORKER_RENDER_AHEAD_H

#include "worker/image/source.h"
#include "worker/render/render.h"

/* Whether splitting is possible and worth it: a tiled level and several large rows of tiles. Pure. */
bool render_ahead_suits(const struct image_source *source, uint32_t level, uint32_t shrink_log2,
                        const struct image_region *region);

/* The same rows as image_source_read() gives. `help` and `spent` are borrowed until it is closed; helpers'
 * CPU time is added to spent->helped_ns. The codes of image_source_read(). */
RC_MUST_USE enum rc render_ahead_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                                      const struct image_region *region, const struct render_help *help,
                                      struct render_spent *spent, struct image_reader **ret_reader,
                                      struct err *err);

#endif
