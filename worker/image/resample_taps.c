#include "worker/image/resample_taps.h"

#include "base/own.h"

#include <assert.h>
#include <math.h>

#define ONE   (1 << IMAGE_RESAMPLE_ONE_LOG2)
#define SPARE 7u /* outputs are made eight at a time */

static double bicubic(double x)
{
    double near = (1.5 * x - 2.5) * x * x + 1, far = ((2.5 - 0.5 * x) * x - 4) * x + 2;
    return x < 1 ? near : x < 2 ? far : 0;
}

static double bilinear(double x)
{
    return x < 1 ? 1 - x : 0;
}

static double snapped(double value)
{
    return floor(value * 65536 + 0.5) / 65536;
}

/* The sample that stands at `place`, which may lie beyond the ends. */
static uint32_t mirrored(int64_t place, uint32_t extent)
{
    int64_t turn = 2 * (int64_t)extent, within = place % turn;

    if (within < 0)
        within += turn;
    return (uint32_t)(within < extent ? within : turn - 1 - within);
}

/* One output's shares in `share`, taps of them from sample *ret_first on; returns their sum. */
static double find_shares(double centre, double reach, double stretch, enum image_resample_kernel kernel,
                          uint32_t extent, uint32_t taps, double *share, uint32_t *ret_first)
{
    int64_t low = (int64_t)floor(centre - reach) + 1, high = (int64_t)ceil(centre + reach) - 1;
    int64_t first = low, all = extent;

    if (high >= all && 2 * all - 1 - high < first)
        first = 2 * all - 1 - high;
    if (first > all - taps)
        first = all - taps;
    if (low < 0 || first < 0)
        first = 0;
    for (uint32_t i = 0; i < taps; i++)
        share[i] = 0;
    double sum = 0, inverse = 1 / stretch;
    for (int64_t place = low; place <= high; place++) {
        double x = fabs((double)place - centre) * inverse;
        double weight = kernel == IMAGE_RESAMPLE_BICUBIC ? bicubic(x) : bilinear(x);
        uint32_t at = place >= 0 && place < all ? (uint32_t)place : mirrored(place, extent);
        assert(at >= first && at - first < taps);
        share[at - first] += weight;
        sum += weight;
    }
    *ret_first = (uint32_t)first;
    return sum;
}

/* Rounds the running sum instead of each share: so they add up, and their errors do not. */
static void round_shares(const double *share, double sum, uint32_t taps, int16_t *weight)
{
    double scale = ONE / sum, running = 0.5 + ONE; /* above 0, so that casting rounds down */
    int32_t before = ONE;

    for (uint32_t i = 0; i < taps; i++) {
        running += share[i] * scale;
        int32_t now = i == taps - 1 ? 2 * ONE : (int32_t)running;
        weight[i] = (int16_t)(now - before);
        before = now;
    }
}

static bool is_plain(const struct image_resample_axis *axis)
{
    return axis->step == 1 && axis->start == floor(axis->start);
}

enum rc image_resample_taps_make(const struct image_resample_axis *axis, enum image_resample_kernel kernel,
                                 uint32_t extent, struct image_resample_taps *ret_taps, struct err *err)
{
    double stretch = snapped(fmax(axis->step, 1));
    double reach = kernel == IMAGE_RESAMPLE_BICUBIC ? 2 * stretch : stretch;
    double most = is_plain(axis) ? 1 : ceil(2 * reach);
    OWN_FREE double *share = NULL;
    OWN(image_resample_taps_done)
    struct image_resample_taps taps = {.outputs = axis->count,
                                       .taps = most < extent ? (uint32_t)most : extent};
    size_t room = (size_t)axis->count + SPARE,
           stride = taps.taps <= 4 ? 4 : ((size_t)taps.taps + 7) & ~(size_t)7;

    if (is_plain(axis))
        reach = 1;
    if (stride > IMAGE_RESAMPLE_MOST_BYTES / sizeof *share / room)
        return err_set(err, RC_TOO_LARGE, "making %u pixels of %u takes too many weights", axis->count,
                       extent);
    taps.stride = (uint32_t)stride;
    share = calloc(taps.taps, sizeof *share);
    taps.first = calloc(room, sizeof *taps.first);
    taps.weight = calloc(room * taps.stride, sizeof *taps.weight);
    if (share == NULL || taps.first == NULL || taps.weight == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the weights of %u pixels", axis->count);
    for (uint32_t i = 0; i < axis->count; i++) {
        double centre = snapped(axis->start + (i + 0.5) * axis->step - 0.5);
        if (is_plain(axis) && centre >= extent)
            centre = extent - 1;
        double sum = find_shares(centre, reach, stretch, kernel, extent, taps.taps, share, &taps.first[i]);
        round_shares(share, sum, taps.taps, taps.weight + (size_t)i * taps.stride);
    }
    for (uint32_t i = 0; i < SPARE; i++)
        taps.first[axis->count + i] = taps.first[axis->count - 1];
    *ret_taps = taps;
    taps.first = NULL;
    taps.weight = NULL;
    return RC_OK;
}

void image_resample_taps_done(struct image_resample_taps *taps)
{
    free(taps->first);
    free(taps->weight);
    taps->first = NULL;
    taps->weight = NULL;
}
