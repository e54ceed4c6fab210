/* A stored WebP tile is a WebP file already: this tells whether it may leave as it is. Pure; the tile is
 * foreign. */
#ifndef WORKER_IMAGE_WEBP_STORED_H
#define WORKER_IMAGE_WEBP_STORED_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

/* RC_UNSUPPORTED when the bytes are not one still picture of `size`, transparent only where `has_alpha`, with
 * nothing else in the file: such a tile had better be decoded. */
RC_MUST_USE enum rc image_webp_stored_check(const uint8_t *data, size_t length, struct image_size size,
                                            bool has_alpha, struct err *err);

#endif
