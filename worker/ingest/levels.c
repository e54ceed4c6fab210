#include "worker/ingest/levels.h"

#include <assert.h>
#include <string.h>

#define CHUNK 16u /* constant trip counts, so that the compiler vectorises at -O2 */

void ingest_levels_init(struct ingest_levels *levels, struct image_size size, uint32_t tile_px)
{
    assert(size.width_px > 0 && size.height_px > 0 && tile_px >= 64);
    levels->count = 0;
    for (;;) {
        levels->size[levels->count++] = size;
        if (size.width_px <= tile_px && size.height_px <= tile_px)
            return;
        size = (struct image_size){size.width_px / 2 + size.width_px % 2,
                                   size.height_px / 2 + size.height_px % 2};
    }
}

struct ingest_axis ingest_axis_init(uint32_t extent_px, unsigned log2)
{
    struct ingest_axis axis = {.full = (uint64_t)1 << log2};
    axis.count = (uint32_t)((extent_px + axis.full - 1) >> log2);
    axis.last = extent_px - (axis.count - 1) * axis.full;
    return axis;
}

/* ---- pairs of samples ----
 * A pair is loaded as one number of twice the width, whose two halves are added: whichever is the first, no shuffling. */

static void halve_narrow_chunk(const uint8_t *above, const uint8_t *below, uint16_t *restrict to)
{
    uint16_t a[CHUNK], b[CHUNK];

    memcpy(a, above, sizeof a);
    memcpy(b, below, sizeof b);
    for (unsigned i = 0; i < CHUNK; i++)
        to[i] = (uint16_t)(((a[i] & 255u) + (a[i] >> 8) + (b[i] & 255u) + (b[i] >> 8)) << 6);
}

static void halve_wide_chunk(const uint16_t *above, const uint16_t *below, uint16_t *restrict to)
{
    uint32_t a[CHUNK], b[CHUNK];

    memcpy(a, above, sizeof a);
    memcpy(b, below, sizeof b);
    for (unsigned i = 0; i < CHUNK; i++)
        to[i] = (uint16_t)(((a[i] & 65535u) + (a[i] >> 16) + (b[i] & 65535u) + (b[i] >> 16) + 2) >> 2);
}

static uint16_t weighted(uint64_t a, uint64_t a_weight, uint64_t b, uint64_t b_weight)
{
    return (uint16_t)((a * a_weight + b * b_weight + (a_weight + b_weight) / 2) / (a_weight + b_weight));
}

/* The same for sums of two samples. */
static uint16_t weighted_sums(uint64_t a, uint64_t a_weight, uint64_t b, uint64_t b_weight)
{
    uint64_t weights = 2 * (a_weight + b_weight);
    return (uint16_t)((a * a_weight + b * b_weight + weights / 2) / weights);
}

void ingest_halve_narrow(const uint8_t *above, const uint8_t *below, const struct ingest_axis *axis,
                         uint16_t *to)
{
    uint32_t pairs = axis->count / 2, x = 0;

    for (; x + CHUNK <= pairs; x += CHUNK)
        halve_narrow_chunk(above + 2 * (size_t)x, below + 2 * (size_t)x, to + x);
    for (; x < pairs; x++) {
        size_t at = 2 * (size_t)x;
        to[x] = (uint16_t)((above[at] + above[at + 1] + below[at] + below[at + 1]) << 6);
    }
    size_t last = axis->count - 1;
    if (axis->count % 2 == 1)
        to[pairs] = (uint16_t)((above[last] + below[last]) << 7);
    else if (axis->last < axis->full)
        to[pairs - 1] = weighted((uint64_t)(above[last - 1] + below[last - 1]) << 7, axis->full,
                                 (uint64_t)(above[last] + below[last]) << 7, axis->last);
}

void ingest_halve_wide(const uint16_t *above, const uint16_t *below, const struct ingest_axis *axis,
                       uint16_t *to)
{
    uint32_t pairs = axis->count / 2, x = 0;

    for (; x + CHUNK <= pairs; x += CHUNK)
        halve_wide_chunk(above + 2 * (size_t)x, below + 2 * (size_t)x, to + x);
    for (; x < pairs; x++) {
        size_t at = 2 * (size_t)x;
        to[x] = (uint16_t)((above[at] + above[at + 1] + below[at] + below[at + 1] + 2) >> 2);
    }
    size_t last = axis->count - 1;
    if (axis->count % 2 == 1)
        to[pairs] = (uint16_t)((above[last] + below[last] + 1) >> 1);
    else if (axis->last < axis->full)
        to[pairs - 1] = weighted_sums((uint64_t)above[last - 1] + below[last - 1], axis->full,
                                      (uint64_t)above[last] + below[last], axis->last);
}

void ingest_blend_rows(uint16_t *above, const uint16_t *below, uint32_t count, uint64_t above_weight,
                       uint64_t below_weight)
{
    for (uint32_t x = 0; x < count; x++)
        above[x] = weighted(above[x], above_weight, below[x], below_weight);
}

void ingest_widen(const uint8_t *from, uint32_t count, uint16_t *to)
{
    for (uint32_t x = 0; x < count; x++)
        to[x] = (uint16_t)(from[x] << 8);
}

/* What lies midway, as every eighth average of four does, is rounded down and up in turns: the mean stays. */
static void narrow_chunk(const uint16_t *from, uint8_t *restrict to)
{
    for (unsigned i = 0; i < CHUNK; i++)
        to[i] = (uint8_t)((from[i] + 127u + i % 2) >> 8);
}

/* A wide sample of an 8-bit picture is at most 255 * 256: rounding does not overflow. */
void ingest_narrow(const uint16_t *from, uint32_t count, uint8_t *to)
{
    uint32_t x = 0;

    for (; x + CHUNK <= count; x += CHUNK)
        narrow_chunk(from + x, to + x);
    for (; x < count; x++)
        to[x] = (uint8_t)((from[x] + 127u + x % 2) >> 8);
}

/* ---- colours that count as much as they cover ---- */

struct corner {
    uint64_t colour, cover; /* cover: alpha times the pixels that the sample stands for */
    uint64_t weight;
};

static uint16_t cover_average(const struct corner *corner, unsigned count)
{
    double sum = 0, covers = 0, plain = 0, weights = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += (double)corner[i].colour * (double)corner[i].cover;
        covers += (double)corner[i].cover;
        plain += (double)corner[i].colour * (double)corner[i].weight;
        weights += (double)corner[i].weight;
    }
    /* What covers nothing keeps a colour, in case somebody looks at it. */
    return (uint16_t)((covers > 0 ? sum / covers : plain / weights) + 0.5);
}

void ingest_halve_covered(const uint16_t *above, const uint16_t *below, const uint16_t *alpha_above,
                          const uint16_t *alpha_below, uint64_t above_weight, uint64_t below_weight,
                          const struct ingest_axis *axis, uint16_t *to)
{
    for (uint32_t x = 0; x < axis->count; x += 2) {
        struct corner corner[4];
        unsigned count = 0;
        for (uint32_t at = x; at < axis->count && at < x + 2; at++) {
            uint64_t across = at == axis->count - 1 ? axis->last : axis->full;
            corner[count++] = (struct corner){above[at], alpha_above[at] * across * above_weight,
                                              across * above_weight};
            corner[count++] = (struct corner){below[at], alpha_below[at] * across * below_weight,
                                              across * below_weight};
        }
        to[x / 2] = cover_average(corner, count);
    }
}
