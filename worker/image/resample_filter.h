/* The inner loops of resampling: weighted sums of rows, then of the samples within a row. Pure; any thread.
 *
 * All in whole numbers, so that every processor gives the same bytes: one set is plain C, another uses AVX2.
 * 8-bit samples become 16 bits in units of 1/64 between the two steps; "deep" ones, of 16 bits, become 32 in
 * units of 1/16. */
#ifndef WORKER_IMAGE_RESAMPLE_FILTER_H
#define WORKER_IMAGE_RESAMPLE_FILTER_H

#include "worker/image/resample_taps.h"

/* What is under one kernel may come in parts, from one band and the next: `begins` and `ends` tell the first
 * and the last of them. Between the parts `sum` holds what there is, image_resample_sums(width) numbers that
 * only the same function of the same set understands; it is not touched by a part that is the only one. */
struct image_resample_part {
    const uint8_t *const *rows; /* `count` rows, at least 1; of uint16_t where deep */
    const int16_t *weights;     /* one per row */
    uint32_t count, width;
    bool begins, ends;
    int32_t *sum;
};

struct image_resample_filter {
    /* Down the columns; `to` (written when the part ends) has room for `width` rounded up to 32. */
    void (*down)(const struct image_resample_part *part, int16_t *to);
    void (*down_deep)(const struct image_resample_part *part, int32_t *to);
    /* Along a row: x->outputs samples from what came down. `from` can be read x->stride beyond its last
     * sample, whatever stands there; `to` has room for the outputs rounded up to 8. */
    void (*along)(const int16_t *from, const struct image_resample_taps *x, uint8_t *to);
    void (*along_deep)(const int32_t *from, const struct image_resample_taps *x, uint16_t *to);
};

static inline size_t image_resample_sums(uint32_t width)
{
    return ((size_t)width + 31) & ~(size_t)31;
}

extern const struct image_resample_filter image_resample_filter_plain;

/* The fastest that this processor can run. */
const struct image_resample_filter *image_resample_filter_best(void);

#endif
