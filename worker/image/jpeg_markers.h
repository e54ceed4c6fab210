/* The metadata segments of a JPEG file: EXIF and XMP (APP1), ICC profile in pieces (APP2), IPTC among
 * Photoshop's resources (APP13). Read with pread() up to the first scan, bounded, so that a file of nothing
 * but segments costs no memory. Extended XMP (the part beyond 64 KiB) is left out. */
#ifndef WORKER_IMAGE_JPEG_MARKERS_H
#define WORKER_IMAGE_JPEG_MARKERS_H

#include "worker/image/source.h"

/* Fills `metadata`. Broken segments end the search, they are no error. Fails only with RC_IO and
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_markers_read(struct image_blob *blob, struct image_metadata *metadata,
                                            struct err *err);

#endif
