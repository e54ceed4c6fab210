/* A request and a pyramid → what exactly is to be made. Pure: no I/O, no allocation, no globals; any thread.
 *
 * The plan fixes the region and the size in whole pixels by the rules of the standard, then chooses the level
 * to read and the window of it. Scale factors s that the region and size fit by tile arithmetic (x and y
 * multiples of s, size = ceil(region / s)) are read on the grid of level s itself: no resampling, and a tile
 * is the crop of the whole. Where only one edge is given (`w,`), the other is rounded so that it fits, if it
 * can be. */
#ifndef WORKER_IIIF_PLAN_H
#define WORKER_IIIF_PLAN_H

#include "worker/iiif/size.h"

struct iiif_plan {
    enum iiif_version version;
    struct image_size full;     /* upright size of the picture */
    struct image_region region; /* upright, full resolution, cropped at the edge, never empty */
    struct image_size size; /* of the answer before mirroring and rotation; not empty, within the limits */
    bool size_is_max;       /* what `max` gives, or `^max` where also upscaled: how 3.0 writes it */
    bool size_is_upscaled;  /* larger than the region in at least one dimension */
    bool whole_picture;     /* region is the full picture: metadata goes along by default */
    bool mirror;
    double rotation_deg;
    enum iiif_quality quality; /* canonical: IIIF_DEFAULT where the quality equals the default's pixels */
    enum iiif_format format;

    /* The window of pyramid->level[level] in its upright pixels, before shrinking; worker/iiif/window.h says
     * what may overhang. Where `exact` is set one level pixel is one answer pixel and window_* are whole
     * numbers. */
    uint32_t level;
    bool exact;
    double window_x_px, window_y_px, window_width_px, window_height_px;
};

/* RC_BAD_REQUEST with a sentence naming region or size and the offending numbers; RC_UNSUPPORTED for a ^ form
 * of 3.0 that would enlarge where limits->allow_upscaling is off (501). The rules of size are in
 * worker/iiif/size.h. */
RC_MUST_USE enum rc iiif_plan_make(const struct iiif_request *request, const struct image_pyramid *pyramid,
                                   const struct iiif_limits *limits, struct iiif_plan *ret_plan,
                                   struct err *err);

#define IIIF_CANONICAL_BYTES 160u

/* "{region}/{size}/{rotation}/{quality}.{format}" in the canonical form of the plan's version (3.0 §4.7,
 * 2.1.1 §4.7). */
void iiif_plan_canonical(const struct iiif_plan *plan, char ret_text[IIIF_CANONICAL_BYTES]);

#endif
