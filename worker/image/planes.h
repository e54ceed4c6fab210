/* Memory for a band's planes, and interleaved pixels taken apart: for readers whose library does not yield
 * planes. */
#ifndef WORKER_IMAGE_PLANES_H
#define WORKER_IMAGE_PLANES_H

#include "worker/image/pixels.h"

/* Allocates planes for `size` pixels of `format` and lays `band` out over them. The caller frees *ret_buffer.
 * RC_TOO_LARGE above `most_bytes`, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_planes_alloc(const struct image_format *format, struct image_size size,
                                       uint64_t most_bytes, uint8_t **ret_buffer, struct image_band *ret_band,
                                       struct err *err);

/* Row `row` of plane `plane` in memory that image_planes_alloc() laid out. */
uint8_t *image_planes_row(const struct image_band *band, unsigned plane, uint32_t row);

/* Spreads `width_px` interleaved pixels of `channels` samples (native byte order when deep) over row `row` of
 * the first planes of `band`: channel 0 to plane 0, and so on. */
void image_planes_split(const uint8_t *pixels, unsigned channels, const struct image_format *format,
                        uint32_t width_px, uint32_t row, const struct image_band *band);

#endif
