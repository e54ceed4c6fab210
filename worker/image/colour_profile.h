/* What a colour profile demands of one kind of pixels: found out once per process, remembered for the
 * profiles used last. For colour.c only. Behind one mutex; verdicts are immutable and counted, their
 * transforms used by many threads at a time. Profiles are foreign bytes and lcms2 is who reads them. */
#ifndef WORKER_IMAGE_COLOUR_PROFILE_H
#define WORKER_IMAGE_COLOUR_PROFILE_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

#include <lcms2.h>

struct image_colour_verdict {
    unsigned references; /* the mutex guards it; everything else is immutable */
    uint64_t hash;
    struct bytes icc; /* a copy: hashes alone can be forged */
    enum image_model model;
    uint8_t depth_bits;
    cmsHTRANSFORM
        transform;    /* NULL: nothing to do. Rows of planes, one behind the other, to such rows of 8 bits */
    const char *note; /* why the profile was ignored, or NULL; static */
};

/* `model` is not YCBCR. For LAB `icc` is empty and the transform that of CIE. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_colour_verdict_find(enum image_model model, uint8_t depth_bits,
                                              const struct bytes *icc, struct image_colour_verdict **ret,
                                              struct err *err);
void image_colour_verdict_release(struct image_colour_verdict *verdict);

/* The depth at which transforms of `model` lose nothing. */
uint8_t image_colour_transform_depth(enum image_model model, uint8_t depth_bits);

#endif
