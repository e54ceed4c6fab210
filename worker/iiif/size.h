/* The size of an answer: the size parameter applied to a region that is already cropped, under the limits.
 * 3.0 §4.2, 2.1.1 §4.2. Pure; any thread. Called by plan.c; info_json.c shares the limits.
 *
 * Above the limits: `max`, `^max`, `!w,h` and `^!w,h` are fitted, everything else is refused. Above the
 * region: 3.0 wants a caret, except for `!w,h`, which stops at the region; 2.1.1 enlarges without notation,
 * `!w,h` again stops. Halves round up; an edge that follows from the other one is at least 1 pixel, so that
 * thin strips can be asked for as `w,`. */
#ifndef WORKER_IIIF_SIZE_H
#define WORKER_IIIF_SIZE_H

#include "worker/iiif/request.h"

struct iiif_limits {
    uint32_t max_width_px, max_height_px; /* of the answer before rotation; never 0 */
    uint64_t max_area_px;                 /* never 0 */
    bool allow_upscaling;                 /* ^ forms, and 2.x sizes above the region */
    bool join_tiles; /* larger tiles are offered where stored ones can be joined by copying */
};

struct iiif_size {
    struct image_size size; /* never empty, within the limits */
    bool is_max;            /* the largest size without enlarging; where is_upscaled: the largest at all */
    bool is_upscaled;       /* larger than the region in at least one dimension */
};

/* RC_BAD_REQUEST names the size, and the limit or the region that it exceeds; RC_UNSUPPORTED: see plan.h. */
RC_MUST_USE enum rc iiif_size_resolve(const struct iiif_request *request, struct image_size region,
                                      const struct iiif_limits *limits, struct iiif_size *ret_size,
                                      struct err *err);

/* The height that `w,` gives for a region, with halves rounded up and at least 1: where an answer has it,
 * 2.1.1 writes the canonical size as `w,`. May lie above UINT32_MAX. */
uint64_t iiif_size_height_for_width(struct image_size region, uint32_t width_px);

/* A percentage of an edge in whole pixels, halves rounded up; 0 and absurdly much are possible. */
double iiif_size_percent_of(uint32_t edge_px, double percent);

bool iiif_size_within(struct image_size size, const struct iiif_limits *limits);

#endif
