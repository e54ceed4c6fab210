/* A stored JPEG tile → a JPEG file, without decoding: SOI, JFIF or Adobe marker, the shared tables, the
 * tile's own segments.
 *
 * Pure. The tile is foreign: its segments are walked up to the scan and must be those of a
 * baseline or progressive 8-bit picture of the size expected; what follows is sent as it is. */
#ifndef WORKER_IMAGE_JPEG_STORED_H
#define WORKER_IMAGE_JPEG_STORED_H

#include "base/bytes.h"
#include "worker/image/jpeg_head.h"
#include "worker/image/source.h"

/* Where in the output the tile's bytes are to be read to, so that its head fits before them. */
size_t image_jpeg_stored_offset(const struct image_stored_tile *tile);

/* `out` has the tile at that offset, and nothing else yet: puts the head before it, which makes the file, and
 * sets out->length. `model` is what the tile's components mean (GRAY, YCBCR, RGB); RGB needs Adobe's marker,
 * or viewers take it for YCbCr. RC_UNSUPPORTED when the tile had better be decoded (another size, arithmetic
 * coding, 12 bits ...); the sentence says why, `out` is garbage then. */
RC_MUST_USE enum rc image_jpeg_stored_finish(const struct image_stored_tile *tile, enum image_model model,
                                             struct bytes *out, struct err *err);

/* The segment that tells viewers what the components mean: JFIF's, or Adobe's for RGB; none (length 0) where
 * the stream has one and `keep_own` is set. False when the stream says something else than `model`. */
bool image_jpeg_stored_marker(const struct image_jpeg_head *head, enum image_model model, bool keep_own,
                              struct image_jpeg_table *ret_marker);

#endif
