/* From the samples as a TIFF stores them (after decompression, in native byte order) to the planes of a band.
 *
 * For the TIFF readers only. Pure memory work. */
#ifndef WORKER_IMAGE_TIFF_UNPACK_H
#define WORKER_IMAGE_TIFF_UNPACK_H

#include "worker/image/tiff_picture.h"

/* The part of a window that lies in one chunk, in the chunk's own coordinates, and where its left edge goes
 * in the window. */
struct image_tiff_part {
    uint32_t left_px, right_px, top_px, bottom_px;
    uint32_t to_x_px;
};

/* What `window` and the chunk of size `chunk` at this column and row have in common; they must touch. */
struct image_tiff_part image_tiff_part_of(const struct image_region *window, struct image_size chunk,
                                          uint32_t column, uint32_t row);

/* Bytes of a row of `width_px` pixels of one chunk, all its samples together; 0 when that overflows 32
 * bits. */
size_t image_tiff_row_bytes(const struct image_tiff_picture *picture, uint32_t width_px);

/* Writes `count` samples of plane `p`, from pixel `x_px` of `row` on. `row` is a row of a chunk that holds
 * all samples, or, when picture->separate, the plane's alone. */
void image_tiff_unpack_row(const struct image_tiff_picture *picture, unsigned p, const uint8_t *row,
                           uint32_t x_px, uint32_t count, uint8_t *to);

/* The same for subsampled YCbCr, where a chunk is stored in units: the block's Y samples, then Cb and Cr.
 * Writes `part` of all planes; band row 0 is the part's top. */
size_t image_tiff_unit_chunk_bytes(const struct image_tiff_picture *picture, uint32_t rows);
void image_tiff_unpack_units(const struct image_tiff_picture *picture, const uint8_t *chunk,
                             const struct image_tiff_part *part, uint8_t *const plane[IMAGE_MAX_PLANES],
                             const size_t stride_bytes[IMAGE_MAX_PLANES]);

#endif
