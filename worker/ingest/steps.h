/* Steps of a conversion's chain that serving has no use for: alpha onto a colour of choice, RGB into YCbCr.
 * Sinks, as in image/pixels.h: one thread, memory by the width. Each takes over `next`, also on failure.
 * RC_NO_MEMORY. */
#ifndef WORKER_INGEST_STEPS_H
#define WORKER_INGEST_STEPS_H

#include "worker/image/pixels.h"

/* Takes `from`, GRAY or RGB of 8 or 16 bits with alpha of either kind; `next` takes the same without alpha.
 * The background, 8 bits sRGB, is taken for the picture's own numbers; for gray its luma. */
RC_MUST_USE enum rc ingest_step_flatten(const struct image_format *from, const uint8_t background_rgb[3],
                                        struct image_sink *next, struct image_sink **ret_sink,
                                        struct err *err);

/* Takes RGB, or YCBCR 4:4:4 or 4:2:2; `next` takes YCBCR, 4:4:4 or 4:2:0 (chroma: the plain average). 8 bits,
 * no alpha. Returns `next` where that takes `from` as it is. */
RC_MUST_USE enum rc ingest_step_chroma(const struct image_format *from, struct image_sink *next,
                                       struct image_sink **ret_sink, struct err *err);

#endif
