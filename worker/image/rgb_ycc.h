/* RGB to JFIF's YCbCr, a row or two at a time. Pure. Within 0.52 of the exact values. */
#ifndef WORKER_IMAGE_RGB_YCC_H
#define WORKER_IMAGE_RGB_YCC_H

#include <stddef.h>
#include <stdint.h>

/* Three planes' rows in, luma out; and the two chroma rows of the same resolution. */
void image_rgb_to_luma(const uint8_t *const rgb[3], uint8_t *luma, uint32_t width_px);
void image_rgb_to_chroma(const uint8_t *const rgb[3], uint8_t *const chroma[2], uint32_t width_px);

/* Chroma of half the resolution both ways, (width_px + 1) / 2 samples: the average of two by two pixels of
 * rows `above` and `below` (the same row twice at an odd end), of two pixels in an odd last column. */
void image_rgb_to_halved_chroma(const uint8_t *const above[3], const uint8_t *const below[3],
                                uint8_t *const chroma[2], uint32_t width_px);

#endif
