/* Drives pixels from a reader into a sink and on the way makes them the size, the chroma layout and the depth the sink
 * wants. The only user of libzimg.
 *
 * Area-true: on reduction the kernel is widened, so nothing aliases. Region-invariant: the reader supplies a margin around
 * the wanted window where the picture has one, so a tile's pixels are those of the whole picture's crop.
 * One render thread per call; holds some rows of the window, never all of it. */
#ifndef WORKER_IMAGE_RESAMPLE_H
#define WORKER_IMAGE_RESAMPLE_H

#include "worker/image/pixels.h"

/* The wanted part of the reader's picture, in its pixels; fractions allowed. It may reach beyond the reader's edges by
 * less than a pixel (the picture's last, partly covered column): those samples repeat the edge. */
struct image_window {
    double x_px, y_px, width_px, height_px;
};

/* How many pixels of margin around a window the kernel looks at, when `source_px` become `wanted_px` along an axis.
 * 0 when they are equal. */
uint32_t image_resample_margin_px(double source_px, uint32_t wanted_px);

/* Reads all of `reader` and writes sink->size pixels of sink->format; does not call finish(). Model conversions done
 * here: YCBCR → RGB, YCBCR → GRAY (its Y), 16 → 8 bits, chroma layouts; others are image/colour's. Alpha STRAIGHT is
 * weighted properly while resizing. Where nothing changes, bands pass untouched and uncopied.
 * RC_CANCELLED when `cancelled` (may be NULL) becomes true; it is looked at once per band. Other codes are the reader's and the sink's. */
RC_MUST_USE enum rc image_resample_run(struct image_reader *reader, const struct image_window *window,
                                       struct image_sink *sink, bool (*cancelled)(void *context), void *context,
                                       struct err *err);

#endif
