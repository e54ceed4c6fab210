#include "worker/image/resample_taps.h"

#include "base/own.h"

#include <math.h>
#include <string.h>

#define ONE   (1 << IMAGE_RESAMPLE_ONE_LOG2)
#define SPARE 7u /* outputs are made eight at a time */

/* Shares are found so many at a time; a constant, so that the compiler vectorises at -O2. */
#define TOGETHER 8u

/* Kernels at `from`, from + step, ...; exact enough, and the same on every processor. */
static void bicubic(float from, float step, float *restrict share)
{
    for (uint32_t i = 0; i < TOGETHER; i++) {
        float x = fabsf(from + (float)(int32_t)i * step);
        float near = (1.5F * x - 2.5F) * x * x + 1, far = ((2.5F - 0.5F * x) * x - 4) * x + 2;
        far = x < 2 ? far : 0;
        share[i] = x < 1 ? near : far;
    }
}

static void bilinear(float from, float step, float *restrict share)
{
    for (uint32_t i = 0; i < TOGETHER; i++) {
        float x = 1 - fabsf(from + (float)(int32_t)i * step);
        share[i] = x > 0 ? x : 0;
    }
}

/* Places and lengths in 1/65536 of a sample. */
#define PLACE_LOG2 16

static int64_t place_of(double samples)
{
    double exact = samples * (1 << PLACE_LOG2) + 0.5;
    int64_t whole = (int64_t)exact;
    return whole - ((double)whole > exact);
}

/* The sample that stands at `place`, which may lie beyond the ends. */
static uint32_t mirrored(int64_t place, uint32_t extent)
{
    int64_t turn = 2 * (int64_t)extent, within = place % turn;

    if (within < 0)
        within += turn;
    return (uint32_t)(within < extent ? within : turn - 1 - within);
}

/* The shares of `count` samples, the first of which is `from` away from the middle of the kernel. */
static void find_shares(int64_t from, uint32_t count, int64_t stretch, enum image_resample_kernel kernel,
                        float *share)
{
    const float scale = 1 / (float)stretch, step = scale * (1 << PLACE_LOG2);

    for (uint32_t i = 0; i < count; i += TOGETHER, from += TOGETHER << PLACE_LOG2) {
        if (kernel == IMAGE_RESAMPLE_BICUBIC)
            bicubic((float)from * scale, step, share + i);
        else
            bilinear((float)from * scale, step, share + i);
    }
}

/* The kernel reaches beyond an end: adds what lies there to the samples that are mirrored there. */
static void fold_shares(const float *share, int64_t low, uint32_t count, uint32_t extent, uint32_t first,
                        uint32_t taps, float *folded)
{
    memset(folded, 0, taps * sizeof *folded);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = mirrored(low + i, extent);
        at = at < first ? first : at; /* a window may stand out by more than the kernel is wide */
        folded[at - first < taps ? at - first : taps - 1] += share[i];
    }
}

/* Rounds the running sum instead of each share: so they add up, and their errors do not. */
static void round_shares(const float *share, uint32_t taps, int16_t *weight)
{
    double sum = 0;
    for (uint32_t i = 0; i < taps; i++)
        sum += (double)share[i];
    double scale = ONE / sum, running = 0.5 + ONE; /* above 0, so that casting rounds down */
    int32_t before = ONE;
    for (uint32_t i = 0; i < taps; i++) {
        running += (double)share[i] * scale;
        int32_t now = i == taps - 1 ? 2 * ONE : (int32_t)running;
        weight[i] = (int16_t)(now - before);
        before = now;
    }
}

static bool is_plain(const struct image_resample_axis *axis)
{
    return axis->step == 1 && axis->start == floor(axis->start);
}

/* Where each output is nothing but a sample. */
static void fill_plain(struct image_resample_taps *taps, const struct image_resample_axis *axis,
                       uint32_t extent)
{
    for (uint32_t i = 0; i < axis->count; i++) {
        double place = axis->start + i;
        taps->first[i] = place < extent ? (uint32_t)place : extent - 1;
        taps->weight[(size_t)i * taps->stride] = ONE;
    }
}

static void fill(struct image_resample_taps *taps, const struct image_resample_axis *axis,
                 enum image_resample_kernel kernel, int64_t stretch, uint32_t places, uint32_t extent,
                 float *share)
{
    int64_t reach = kernel == IMAGE_RESAMPLE_BICUBIC ? 2 * stretch : stretch;
    int64_t last = (int64_t)extent - taps->taps; /* the last first sample */

    for (uint32_t i = 0; i < axis->count; i++) {
        int64_t centre = place_of(axis->start + (i + 0.5) * axis->step - 0.5);
        int64_t low = ((centre - reach) >> PLACE_LOG2) + 1;
        bool inside = low >= 0 && low + places <= extent;
        uint32_t first = (uint32_t)(low < 0 ? 0 : low > last ? last : low);
        float *used = inside ? share : share + places + TOGETHER;
        find_shares(low * (1 << PLACE_LOG2) - centre, places, stretch, kernel, share);
        if (!inside)
            fold_shares(share, low, places, extent, first, taps->taps, used);
        round_shares(used, taps->taps, taps->weight + (size_t)i * taps->stride);
        taps->first[i] = first;
    }
}

enum rc image_resample_taps_make(const struct image_resample_axis *axis, enum image_resample_kernel kernel,
                                 uint32_t extent, struct image_resample_taps *ret_taps, struct err *err)
{
    int64_t stretch = place_of(fmax(axis->step, 1)), whole = 1 << PLACE_LOG2;
    int64_t covered = is_plain(axis) ? whole : kernel == IMAGE_RESAMPLE_BICUBIC ? 4 * stretch : 2 * stretch;
    uint64_t places = (uint64_t)((covered + whole - 1) >> PLACE_LOG2);
    OWN(image_resample_taps_done)
    struct image_resample_taps taps = {.outputs = axis->count,
                                       .taps = places < extent ? (uint32_t)places : extent};
    uint64_t room = (uint64_t)axis->count + SPARE,
             stride = taps.taps <= 4 ? 4 : ((uint64_t)taps.taps + 7) & ~UINT64_C(7);

    if (places > IMAGE_RESAMPLE_MOST_BYTES / 16 ||
        stride > IMAGE_RESAMPLE_MOST_BYTES / sizeof *taps.weight / room)
        return err_set(err, RC_TOO_LARGE, "resampling to %u pixels takes too many weights", axis->count);
    /* The weights lie behind the first samples, and behind them one output's shares, plain and folded. */
    const size_t first_bytes = (size_t)room * sizeof *taps.first,
                 weight_bytes = (size_t)(room * stride) * sizeof *taps.weight;
    taps.first = calloc(1, first_bytes + weight_bytes + ((size_t)places * 2 + 2 * TOGETHER) * sizeof(float));
    if (taps.first == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the weights of %u pixels", axis->count);
    taps.stride = (uint32_t)stride;
    taps.weight = (int16_t *)(void *)((char *)taps.first + first_bytes);
    float *share = (float *)(void *)((char *)taps.weight + weight_bytes);
    if (is_plain(axis))
        fill_plain(&taps, axis, extent);
    else
        fill(&taps, axis, kernel, stretch, (uint32_t)places, extent, share);
    for (uint32_t i = 0; i < SPARE; i++)
        taps.first[axis->count + i] = taps.first[axis->count - 1];
    *ret_taps = taps;
    taps.first = NULL;
    return RC_OK;
}

void image_resample_taps_done(struct image_resample_taps *taps)
{
    free(taps->first);
    taps->first = NULL;
}
