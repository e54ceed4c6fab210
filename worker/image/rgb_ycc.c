#include "worker/image/rgb_ycc.h"

#include <string.h>

#define CHUNK 16u /* constant trip counts, so that the compiler vectorises at -O2 */

/* a * share / 65536, which vector units have as one instruction for 16 bits. */
static inline int16_t part(int16_t a, int16_t share)
{
    return (int16_t)((int32_t)a * share >> 16);
}

/* All samples here in 1/128. Y = 0.299 R + 0.587 G + 0.114 B; what part() cuts off is made up for by the
 * 1. */
static inline uint8_t luma_of(int16_t r, int16_t g, int16_t b)
{
    return (uint8_t)((int16_t)(part(r, 19595) + (g >> 1) + part(g, 5702) + part(b, 7471) + 64 + 1) >> 7);
}

/* Cb = -0.1687 R - 0.3313 G + 0.5 B, Cr = 0.5 R - 0.4187 G - 0.0813 B: `half` is the colour of the half.
 * 127.5 would round to 128, for which there is no room. */
static inline uint8_t chroma_of(int16_t half, int16_t one, int16_t one_share, int16_t other,
                                int16_t other_share)
{
    int16_t value = (int16_t)((half >> 1) - part(one, one_share) - part(other, other_share) + 63);
    return (uint8_t)((value >> 7) + 128);
}

static inline uint8_t blue_of(int16_t r, int16_t g, int16_t b)
{
    return chroma_of(b, r, 11059, g, 21709);
}

static inline uint8_t red_of(int16_t r, int16_t g, int16_t b)
{
    return chroma_of(r, g, 27439, b, 5329);
}

static void luma_chunk(const uint8_t *r, const uint8_t *g, const uint8_t *b, uint8_t *restrict y)
{
    for (unsigned i = 0; i < CHUNK; i++)
        y[i] = luma_of((int16_t)(r[i] << 7), (int16_t)(g[i] << 7), (int16_t)(b[i] << 7));
}

static void chroma_chunk(const uint8_t *r, const uint8_t *g, const uint8_t *b, uint8_t *restrict cb,
                         uint8_t *restrict cr)
{
    for (unsigned i = 0; i < CHUNK; i++) {
        int16_t red = (int16_t)(r[i] << 7), green = (int16_t)(g[i] << 7), blue = (int16_t)(b[i] << 7);
        cb[i] = blue_of(red, green, blue);
        cr[i] = red_of(red, green, blue);
    }
}

/* Sums of two by two, in 1/128 of their average. Pairs are loaded as one number whose halves are added:
 * whichever is first. */
static void sum_chunk(const uint8_t *above, const uint8_t *below, int16_t *restrict to)
{
    uint16_t a[CHUNK], b[CHUNK];

    memcpy(a, above, sizeof a);
    memcpy(b, below, sizeof b);
    for (unsigned i = 0; i < CHUNK; i++)
        to[i] = (int16_t)(((a[i] & 255) + (a[i] >> 8) + (b[i] & 255) + (b[i] >> 8)) << 5);
}

static void halved_chunk(const uint8_t *const above[3], const uint8_t *const below[3], size_t at,
                         uint8_t *restrict cb, uint8_t *restrict cr)
{
    int16_t sum[3][CHUNK];

    for (unsigned c = 0; c < 3; c++)
        sum_chunk(above[c] + at, below[c] + at, sum[c]);
    for (unsigned i = 0; i < CHUNK; i++) {
        cb[i] = blue_of(sum[0][i], sum[1][i], sum[2][i]);
        cr[i] = red_of(sum[0][i], sum[1][i], sum[2][i]);
    }
}

/* The rest of rows whose length is no multiple of the chunk goes through copies that are. */
struct rest {
    uint8_t in[2][3][2 * CHUNK], out[2][CHUNK];
};

void image_rgb_to_luma(const uint8_t *const rgb[3], uint8_t *luma, uint32_t width_px)
{
    struct rest rest = {0};
    uint32_t x = 0;

    for (; x + CHUNK <= width_px; x += CHUNK)
        luma_chunk(rgb[0] + x, rgb[1] + x, rgb[2] + x, luma + x);
    for (unsigned c = 0; c < 3; c++)
        memcpy(rest.in[0][c], rgb[c] + x, width_px - x);
    luma_chunk(rest.in[0][0], rest.in[0][1], rest.in[0][2], rest.out[0]);
    memcpy(luma + x, rest.out[0], width_px - x);
}

void image_rgb_to_chroma(const uint8_t *const rgb[3], uint8_t *const chroma[2], uint32_t width_px)
{
    struct rest rest = {0};
    uint32_t x = 0;

    for (; x + CHUNK <= width_px; x += CHUNK)
        chroma_chunk(rgb[0] + x, rgb[1] + x, rgb[2] + x, chroma[0] + x, chroma[1] + x);
    for (unsigned c = 0; c < 3; c++)
        memcpy(rest.in[0][c], rgb[c] + x, width_px - x);
    chroma_chunk(rest.in[0][0], rest.in[0][1], rest.in[0][2], rest.out[0], rest.out[1]);
    for (unsigned c = 0; c < 2; c++)
        memcpy(chroma[c] + x, rest.out[c], width_px - x);
}

void image_rgb_to_halved_chroma(const uint8_t *const above[3], const uint8_t *const below[3],
                                uint8_t *const chroma[2], uint32_t width_px)
{
    struct rest rest = {0};
    uint32_t x = 0, left;

    for (; x + 2 * CHUNK <= width_px; x += 2 * CHUNK)
        halved_chunk(above, below, x, chroma[0] + x / 2, chroma[1] + x / 2);
    left = width_px - x;
    for (unsigned c = 0; left > 0 && c < 3; c++) {
        memcpy(rest.in[0][c], above[c] + x, left);
        memcpy(rest.in[1][c], below[c] + x, left);
        for (unsigned row = 0; left % 2 == 1 && row < 2; row++)
            rest.in[row][c][left] = rest.in[row][c][left - 1];
    }
    const uint8_t *const in_above[3] = {rest.in[0][0], rest.in[0][1], rest.in[0][2]};
    const uint8_t *const in_below[3] = {rest.in[1][0], rest.in[1][1], rest.in[1][2]};
    halved_chunk(in_above, in_below, 0, rest.out[0], rest.out[1]);
    for (unsigned c = 0; c < 2; c++)
        memcpy(chroma[c] + x / 2, rest.out[c], (left + 1) / 2);
}
