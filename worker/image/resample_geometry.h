/* Which samples make which: the arithmetic of resample.c, without pixels. Pure.
 *
 * Planes of one layout form a group, with a window of its own in its own samples: luma and alpha are one,
 * subsampled chroma another. A chroma sample sits in the middle of the pixels it stands for, so a window of
 * chroma is the window of luma divided by the subsampling, nothing more. */
#ifndef WORKER_IMAGE_RESAMPLE_GEOMETRY_H
#define WORKER_IMAGE_RESAMPLE_GEOMETRY_H

#include "worker/image/resample.h"

enum image_resample_kernel {
    IMAGE_RESAMPLE_BICUBIC,  /* b = 0, c = 0.5, two samples to each side: of the usual kernels, widened on
                              * reduction, the one nearest to the exact average of the area (53 dB at 2:1, 39
                              * dB at 10:1; Lanczos 42 and 35, bilinear 38 and 36) */
    IMAGE_RESAMPLE_BILINEAR, /* one sample to each side; for chroma: at 1:2 what every JPEG decoder does */
};

struct image_resample_group {
    uint32_t count;
    uint8_t source[IMAGE_MAX_PLANES]; /* index in the reader's format */
    uint8_t stage[IMAGE_MAX_PLANES];  /* index in the stage's format */
    uint8_t from_x_log2, from_y_log2, to_x_log2, to_y_log2;
    enum image_resample_kernel kernel;
    bool weighted; /* all planes in one go; the last is straight alpha and weighs the others */
};

/* One axis of a group: the window in the plane's own samples. `step` is source samples per output sample. */
struct image_resample_axis {
    double start, step;
    uint32_t count;
};

/* Sorts the planes of `from` into one or two groups that lead to *ret_stage: that is `to`, or YCBCR 4:4:4 on
 * its way to RGB. Returns their number. Asserts that there is a way (resample.h). */
uint32_t image_resample_groups(const struct image_format *from, const struct image_format *to,
                               struct image_format *ret_stage, struct image_resample_group ret_group[2]);

struct image_resample_axis image_resample_axis_x(const struct image_resample_group *group,
                                                 const struct image_window *window, uint32_t wanted_px);
struct image_resample_axis image_resample_axis_y(const struct image_resample_group *group,
                                                 const struct image_window *window, uint32_t wanted_px);

/* Whether a group's samples are the reader's own, all of which exist. */
bool image_resample_copies(const struct image_resample_group *group, const struct image_format *from,
                           const struct image_format *to, struct image_size picture,
                           const struct image_window *window, struct image_size wanted);

/* How many samples stand for so many pixels, rounded up. */
uint32_t image_resample_samples(uint32_t pixels, uint8_t log2);

#endif
