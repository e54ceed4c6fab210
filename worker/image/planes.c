#include "worker/image/planes.h"

#include <stdlib.h>

enum rc image_planes_alloc(const struct image_format *format, struct image_size size, uint64_t most_bytes,
                           uint8_t **ret_buffer, struct image_band *ret_band, struct err *err)
{
    unsigned planes = image_format_planes(format);
    struct image_band band = {.height_px = size.height_px};
    uint64_t total = 0, start[IMAGE_MAX_PLANES] = {0};
    for (unsigned p = 0; p < planes; p++) {
        start[p] = total;
        band.stride_bytes[p] = (size_t)image_plane_width(format, p, size.width_px) *
                               (format->depth_bits / 8u);
        total += (uint64_t)band.stride_bytes[p] * image_plane_height(format, p, size.height_px);
    }
    if (total > most_bytes)
        return err_set(err, RC_TOO_LARGE, "%u rows of the picture would take %llu bytes of memory",
                       size.height_px, (unsigned long long)total);
    uint8_t *buffer = malloc((size_t)total);
    if (buffer == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u rows of pixels", size.height_px);
    for (unsigned p = 0; p < planes; p++)
        band.plane[p] = buffer + start[p];
    *ret_buffer = buffer;
    *ret_band = band;
    return RC_OK;
}

uint8_t *image_planes_row(const struct image_band *band, unsigned plane, uint32_t row)
{
    /* A band is const for those who are lent it; here its memory's owner writes. */
    uintptr_t start = (uintptr_t)band->plane[plane];
    return (uint8_t *)(start + row * band->stride_bytes[plane]);
}

void image_planes_split(const uint8_t *pixels, unsigned channels, const struct image_format *format,
                        uint32_t width_px, uint32_t row, const struct image_band *band)
{
    for (unsigned c = 0; c < image_format_planes(format); c++) {
        uint8_t *to = image_planes_row(band, c, row);
        if (format->depth_bits == 16) {
            const uint16_t *from = (const uint16_t *)(const void *)pixels + c;
            uint16_t *to16 = (uint16_t *)(void *)to;
            for (size_t x = 0; x < width_px; x++)
                to16[x] = from[x * channels];
        } else {
            for (size_t x = 0; x < width_px; x++)
                to[x] = pixels[x * channels + c];
        }
    }
}
