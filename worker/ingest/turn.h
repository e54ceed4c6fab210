/* Turning a picture of any size upright: what is turned by a quarter or a half, or mirrored top to bottom,
 * cannot begin before its last row has come. It waits in a file without a name in the destination's folder,
 * in blocks that are cheap to read in the other order, so that memory follows the picture's edges and not its
 * area. One thread; a crash leaves nothing. */
#ifndef WORKER_INGEST_TURN_H
#define WORKER_INGEST_TURN_H

#include "worker/image/rotate.h"

/* As image_rotate_by_symmetry() (image/rotate.h), for 8 and 16 bits; chroma, where there is any, subsampled
 * alike both ways. `folder` is borrowed. Takes over `next`, also on failure; returns it for the identity.
 * RC_NO_MEMORY, RC_IO. */
RC_MUST_USE enum rc ingest_turn(struct image_symmetry symmetry, struct image_size size, const char *folder,
                                struct image_sink *next, struct image_sink **ret_sink, struct err *err);

#endif
