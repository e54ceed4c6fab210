/* Metadata as the marker segments of a JPEG: EXIF and XMP (APP1), IPTC in Photoshop's resource (APP13), ICC
 * profile in pieces (APP2). For the encoder and for files that are put together without one. Pure. */
#ifndef WORKER_IMAGE_JPEG_METADATA_H
#define WORKER_IMAGE_JPEG_METADATA_H

#include "worker/image/encode.h"

/* Appends whole segments with what `options` has of metadata, for a picture of `size`. A payload that a JPEG
 * has no room for is left out. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_metadata_write(const struct image_encode_options *options,
                                              struct image_size size, struct bytes *out, struct err *err);

#endif
