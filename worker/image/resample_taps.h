/* The weights of one axis: which source samples make an output sample, and in what shares. Made once per axis
 * and render, on its thread; freed with it. */
#ifndef WORKER_IMAGE_RESAMPLE_TAPS_H
#define WORKER_IMAGE_RESAMPLE_TAPS_H

#include "worker/image/resample_geometry.h"

#define IMAGE_RESAMPLE_ONE_LOG2   14                    /* a weight of 1 is 2^14 */
#define IMAGE_RESAMPLE_MOST_BYTES ((uint64_t)256 << 20) /* of anything that is held while resampling */

struct image_resample_taps {
    uint32_t outputs, taps; /* each output is made of `taps` neighbouring samples, all of which exist */
    uint32_t stride; /* places per output in `weight`: 4, or a multiple of 8; those behind the taps are 0 */
    uint32_t
        *first; /* each output's first sample; never falls. Up to 7 more entries repeat the last one. Owns
                         * the memory of both */
    int16_t *weight; /* those of one output add up to exactly 2^14; up to 7 more rows are 0 */
};

/* Shares of `extent` samples, beyond whose ends they are mirrored. The same place in the picture gives the
 * same weights, whatever window it is part of: places count in 1/65536 of a sample, which hides how `axis`
 * was rounded. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc image_resample_taps_make(const struct image_resample_axis *axis,
                                             enum image_resample_kernel kernel, uint32_t extent,
                                             struct image_resample_taps *ret_taps, struct err *err);
void image_resample_taps_done(struct image_resample_taps *taps);

#endif
