/* Drives pixels from a reader into a sink and on the way makes them the size, the chroma layout and the depth
 * the sink wants.
 *
 * Area-true: on reduction the kernel is widened, so nothing aliases. Region-invariant: the caller reads what
 * image_resample_reads() names, which is the window and, where the picture has one, a margin around it; so a
 * tile's pixels are those of the whole picture's crop. At the picture's edges the kernel sees the edge
 * mirrored. One render thread per call. Holds a few rows, whatever the reduction: what the reader lends is
 * used where it lies. */
#ifndef WORKER_IMAGE_RESAMPLE_H
#define WORKER_IMAGE_RESAMPLE_H

#include "worker/image/pixels.h"

/* The wanted part of a picture, in its pixels; fractions allowed. It may reach beyond the right and lower
 * edges by about a pixel (the partly covered column that a smaller level has lost): those samples repeat the
 * edge. */
struct image_window {
    double x_px, y_px, width_px, height_px;
};

/* The whole pixels of a picture that have a say in `window` when it becomes `wanted` pixels of format `to`:
 * what to open the reader with. Corners are multiples of `from`'s subsampling; nothing around the window is
 * asked for where it is copied unchanged. What image_resample_run() then wants is the window less the corner
 * of this region. */
struct image_region image_resample_reads(const struct image_format *from, const struct image_format *to,
                                         struct image_size picture, const struct image_window *window,
                                         struct image_size wanted);

/* Reads `reader` as far as needed and writes sink->size pixels of sink->format, made of `window` in the
 * reader's pixels; does not call finish(). Model conversions done here: YCBCR → RGB, YCBCR → GRAY (its Y), 16
 * → 8 bits, chroma layouts; others are image/colour's, and alpha stays as it is. Alpha STRAIGHT weighs its
 * GRAY or RGB while resizing. Where nothing changes, bands pass untouched and uncopied. RC_CANCELLED when
 * `cancelled` (may be NULL) becomes true; it is looked at once per band read. RC_TOO_LARGE when a
 * single row fills more memory than a render may take. Other codes are the reader's and the sink's. */
RC_MUST_USE enum rc image_resample_run(struct image_reader *reader, const struct image_window *window,
                                       struct image_sink *sink, bool (*cancelled)(void *context),
                                       void *context, struct err *err);

#endif
