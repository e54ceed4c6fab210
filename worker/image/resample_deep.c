#include "worker/image/resample_deep.h"

static uint32_t sample_at(const uint8_t *row, uint8_t depth_bits, size_t x)
{
    return depth_bits == 16 ? ((const uint16_t *)(const void *)row)[x] : row[x] * 257u;
}

void image_resample_deepen(const uint8_t *from, const uint8_t *alpha, uint32_t width, uint8_t depth_bits,
                           uint16_t *to)
{
    for (size_t x = 0; x < width; x++) {
        uint32_t value = sample_at(from, depth_bits, x);
        if (alpha != NULL)
            value = (value * sample_at(alpha, depth_bits, x) + 32767) / 65535;
        to[x] = (uint16_t)value;
    }
}

void image_resample_undeepen(const uint16_t *from, const uint16_t *alpha, uint32_t width, uint8_t depth_bits,
                             uint8_t *to)
{
    for (size_t x = 0; x < width; x++) {
        uint32_t value = from[x];
        if (alpha != NULL) {
            value = alpha[x] == 0 ? 0 : (value * 65535u + alpha[x] / 2u) / alpha[x];
            value = value > 65535 ? 65535 : value;
        }
        if (depth_bits == 16)
            ((uint16_t *)(void *)to)[x] = (uint16_t)value;
        else
            to[x] = (uint8_t)((value + 128) / 257);
    }
}
