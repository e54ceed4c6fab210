/* A plan → the bytes of the answer: chooses how to read the level, puts the chain of image steps together and runs it.
 *
 *     reader of the level's window → resample → colour → layout → bitonal → symmetry → free angle → encoder
 *
 * Steps that have nothing to do are not in the chain. On a render thread; owns nothing beyond the call. */
#ifndef WORKER_RENDER_RENDER_H
#define WORKER_RENDER_RENDER_H

#include "cache/pictures.h"
#include "worker/iiif/plan.h"
#include "worker/image/encode.h"

enum render_metadata { RENDER_METADATA_FULL_IMAGE, RENDER_METADATA_ALWAYS, RENDER_METADATA_NEVER };

struct render_options {
    uint8_t jpeg_quality, webp_quality, avif_quality;
    enum render_metadata metadata;
    bool passthrough; /* stored tiles may leave as they are */
};

/* Roughly how much pixel memory the plan holds at its peak; what the pool's budget is claimed with. Pure. */
uint64_t render_memory_bytes(const struct picture *picture, const struct iiif_plan *plan);

/* The largest edge the format can hold is kept, with RC_BAD_REQUEST; otherwise the codes of reader and encoder.
 * RC_CANCELLED when `cancelled` said so. `out` is empty on entry and garbage after a failure; the caller owns it. */
RC_MUST_USE enum rc render_picture(const struct picture *picture, const struct iiif_plan *plan,
                                   const struct render_options *options, bool (*cancelled)(void *context),
                                   void *context, struct bytes *out, struct err *err);

/* Whether the answer is to carry the picture's metadata, and there is some. */
bool render_carries_metadata(const struct picture *picture, const struct iiif_plan *plan,
                             const struct render_options *options);

enum image_file_type render_file_type(enum iiif_format format);

#endif
