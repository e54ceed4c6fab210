/* JFIF's YCbCr to RGB, a row at a time. Pure. */
#ifndef WORKER_IMAGE_YCC_RGB_H
#define WORKER_IMAGE_YCC_RGB_H

#include <stdint.h>

/* `ycc` and `rgb` are three planes' rows; the rows of `rgb` have room for `width_px` rounded up to 32. Within
 * 0.51 of the exact values. */
void image_ycc_to_rgb(const uint8_t *const ycc[3], uint8_t *const rgb[3], uint32_t width_px);

#endif
