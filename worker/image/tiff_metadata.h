/* The metadata of a TIFF page. ICC, XMP and IPTC lie there as they are; EXIF is spread over the page's own
 * directory, an EXIF and a GPS directory, and is written anew as a small stream of its own.
 *
 * Of the page's own directory only what describes the picture goes in (maker, artist, description, …), not
 * how it is stored. Maker notes stay out: their offsets would point nowhere. Runs when a source is opened;
 * bytes are foreign. */
#ifndef WORKER_IMAGE_TIFF_METADATA_H
#define WORKER_IMAGE_TIFF_METADATA_H

#include "worker/image/metadata.h"
#include "worker/image/tiff_ifd.h"

/* Fills `metadata`. What is broken or too long is left out. Fails only with RC_NO_MEMORY and RC_IO. */
RC_MUST_USE enum rc image_tiff_metadata_read(const struct image_tiff_file *file,
                                             const struct image_tiff_ifd *ifd,
                                             struct image_metadata *metadata, struct err *err);

#endif
