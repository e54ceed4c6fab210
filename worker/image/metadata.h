/* What a file says about its picture besides the pixels: collecting it from the containers' different
 * wrappings.
 *
 * Payloads above 16 MiB and broken ones are left out, never an error: a picture is served without its
 * metadata rather than not at all. Pure memory work; owned by the source. */
#ifndef WORKER_IMAGE_METADATA_H
#define WORKER_IMAGE_METADATA_H

#include "worker/image/source.h"

#define IMAGE_METADATA_MAX_BYTES (16u << 20)

void image_metadata_done(struct image_metadata *metadata);

/* Finds the IPTC-IIM records among Photoshop image resources ("8BIM", resource 0x0404; the payload of JPEG's
 * APP13 after its signature) and appends them. Fails only with RC_NO_MEMORY. */
RC_MUST_USE enum rc image_metadata_photoshop_iptc(const uint8_t *resources, size_t length, struct bytes *iptc,
                                                  struct err *err);

#endif
