#include "worker/image/ycc_rgb.h"

#include <string.h>

#define CHUNK 32

static uint8_t clamped(int16_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* a * share / 65536, which vector units have as one instruction for 16 bits. */
static inline int16_t part(int16_t a, int16_t share)
{
    return (int16_t)((int32_t)a * share >> 16);
}

/* R = Y + 1.402 Cr, G = Y - 0.344 Cb - 0.714 Cr, B = Y + 1.772 Cb, to the bit what libjpeg makes of them,
 * the factors split so that what is left of them fits 16 bits. The trip count is a constant so that the
 * compiler vectorises at -O2. */
static void rgb_chunk(const uint8_t *restrict y, const uint8_t *restrict cb, const uint8_t *restrict cr,
                      uint8_t *restrict red, uint8_t *restrict green, uint8_t *restrict blue)
{
    for (int i = 0; i < CHUNK; i++) {
        int16_t c = (int16_t)((cr[i] - 128) * 128); /* in 1/128 */
        int16_t r = (int16_t)(part(c, 26345) + 64);
        int32_t g = (cr[i] - 128) * 18734 - (cb[i] - 128) * 22554 + 32768;
        int32_t l = 32768 - (cb[i] - 128) * 14942;
        red[i] = clamped((int16_t)(y[i] + (c >> 7) + (r >> 7)));
        green[i] = clamped((int16_t)(y[i] - (c >> 7) + (int16_t)(g >> 16)));
        blue[i] = clamped((int16_t)(y[i] + 2 * (cb[i] - 128) + (int16_t)(l >> 16)));
    }
}

void image_ycc_to_rgb(const uint8_t *const ycc[3], uint8_t *const rgb[3], uint32_t width_px)
{
    uint32_t whole = width_px / CHUNK * CHUNK, rest = width_px - whole;
    uint8_t tail[3][CHUNK] = {{0}}; /* what lies behind the row may not be there */

    for (uint32_t x = 0; x < whole; x += CHUNK)
        rgb_chunk(ycc[0] + x, ycc[1] + x, ycc[2] + x, rgb[0] + x, rgb[1] + x, rgb[2] + x);
    if (rest == 0)
        return;
    for (uint32_t i = 0; i < 3; i++)
        memcpy(tail[i], ycc[i] + whole, rest);
    rgb_chunk(tail[0], tail[1], tail[2], rgb[0] + whole, rgb[1] + whole, rgb[2] + whole);
}
