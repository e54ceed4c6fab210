/* For the fuzzers of sources: what a reader has lent is read, all of it. */
#ifndef TESTS_FUZZ_TOUCH_H
#define TESTS_FUZZ_TOUCH_H

#include "worker/image/pixels.h"

/* Touches every sample, so that the sanitizer sees what the band promises. */
static void touch_band(const struct image_reader *reader, const struct image_band *band)
{
    unsigned sum = 0;
    for (uint32_t p = 0; p < image_format_planes(&reader->format); p++) {
        size_t length = (size_t)image_plane_width(&reader->format, p, reader->size.width_px) *
                        (reader->format.depth_bits / 8u);
        for (uint32_t y = 0; y < image_plane_height(&reader->format, p, band->height_px); y++)
            for (size_t x = 0; x < length; x++)
                sum += band->plane[p][y * band->stride_bytes[p] + x];
    }
    volatile unsigned kept = sum;
    (void)kept;
}

#endif
