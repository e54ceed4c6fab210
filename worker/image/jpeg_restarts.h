/* Takes restart intervals out of a tile's JPEG stream, without decoding: its codes stay, in one interval. For
 * ingest, which finds out by it what intervals cost. Pure; one thread at a time per call. */
#ifndef WORKER_IMAGE_JPEG_RESTARTS_H
#define WORKER_IMAGE_JPEG_RESTARTS_H

#include "worker/image/jpeg_stitch.h"

/* Bytes that one restart can cost at most: its marker, bits that fill up a byte, and first differences at
 * their longest in each of three components. */
#define IMAGE_JPEG_RESTART_MOST_BYTES 12u

/* Appends to `out` the same tile without intervals. `tables` as in struct image_jpeg_grid. RC_UNSUPPORTED
 * when the tile is none of 8 bits in one sequential scan of one or three components, RC_NO_MEMORY; `out` may
 * then have grown. */
RC_MUST_USE enum rc image_jpeg_restarts_remove(const struct bytes *tables, enum image_model model,
                                               struct image_size size, const struct image_jpeg_tile *tile,
                                               struct bytes *out, struct err *err);

#endif
