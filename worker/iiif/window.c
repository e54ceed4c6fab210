#include "worker/iiif/window.h"

#include <assert.h>
#include <math.h>

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static struct image_size level_size(const struct image_pyramid *pyramid, uint32_t level)
{
    return image_size_upright(pyramid->level[level].size, pyramid->orientation);
}

/* An edge of a level is the full edge / factor, rounded down or up. */
static bool edge_is_regular(uint32_t full, uint32_t edge, uint32_t factor)
{
    return edge == ceil_div(full, factor) || edge == full / factor;
}

static bool level_is_regular(const struct image_pyramid *pyramid, uint32_t level)
{
    struct image_size full = level_size(pyramid, 0), size = level_size(pyramid, level);
    uint32_t factor = pyramid->level[level].scale_factor;
    return edge_is_regular(full.width_px, size.width_px, factor) &&
           edge_is_regular(full.height_px, size.height_px, factor);
}

/* ---- grids ---- */

/* The factors whose grid a request fits: those in [least, most] that divide `divisor` (0: all do). */
struct grids {
    uint32_t least, most, divisor;
};

/* The factors s with ceil(edge / s) == answer. False when there is none. */
static bool narrow(struct grids *grids, uint32_t edge, uint32_t answer)
{
    if (answer > edge)
        return false;
    uint32_t least = ceil_div(edge, answer);
    uint32_t most = answer == 1 ? UINT32_MAX : ceil_div(edge, answer - 1) - 1;
    if (least > grids->least)
        grids->least = least;
    if (most < grids->most)
        grids->most = most;
    return grids->least <= grids->most;
}

static bool find_grids(struct image_size full, struct image_region region, struct image_size size,
                       struct grids *ret_grids)
{
    struct grids grids = {.least = 1, .most = UINT32_MAX, .divisor = gcd(region.x_px, region.y_px)};
    if (!narrow(&grids, region.width_px, size.width_px) || !narrow(&grids, region.height_px, size.height_px))
        return false;
    if (region.width_px < full.width_px - region.x_px)
        grids.divisor = gcd(grids.divisor, region.width_px);
    if (region.height_px < full.height_px - region.y_px)
        grids.divisor = gcd(grids.divisor, region.height_px);
    *ret_grids = grids;
    return true;
}

static bool grids_hold(const struct grids *grids, uint32_t factor)
{
    return factor >= grids->least && factor <= grids->most && grids->divisor % factor == 0;
}

/* The smallest divisor of grids->divisor in the range, or 0. Divisors come in pairs around the root, so this
 * takes at most 2 * 65536 steps, and mostly a few: the range is as narrow as the answer is large. */
static uint32_t smallest_divisor(const struct grids *grids)
{
    uint32_t divisor = grids->divisor;
    if (divisor == 0)
        return grids->least;
    uint32_t root = (uint32_t)sqrt(divisor);
    for (uint32_t s = grids->least; s <= grids->most && s <= root; s++)
        if (divisor % s == 0)
            return s;
    uint32_t other = divisor / grids->least < root ? divisor / grids->least : root;
    for (; other > 0 && divisor / other <= grids->most; other--)
        if (divisor % other == 0)
            return divisor / other;
    return 0;
}

/* The factor to read a request by, or 0 when it fits no grid. Narrow corner tiles fit several: then the
 * smallest factor of a level, else the smallest power of two, for those are what viewers have been told
 * of. */
static uint32_t choose_factor(const struct image_pyramid *pyramid, struct image_region region,
                              struct image_size size)
{
    struct grids grids;
    if (!find_grids(level_size(pyramid, 0), region, size, &grids))
        return 0;
    for (uint32_t i = 0; i < pyramid->level_count; i++)
        if (level_is_regular(pyramid, i) && grids_hold(&grids, pyramid->level[i].scale_factor))
            return pyramid->level[i].scale_factor;
    /* Where the range has no end, a grid that reaches further than twice the region is chance and nobody's
     * intention. */
    if (grids.least <= UINT32_MAX / 2 && grids.most > 2 * grids.least - 1)
        grids.most = 2 * grids.least - 1;
    for (uint32_t s = 1; s != 0; s <<= 1)
        if (grids_hold(&grids, s))
            return s;
    return smallest_divisor(&grids);
}

/* ---- levels ---- */

/* Full pixels per level pixel. */
struct ratio {
    double x, y;
};

static struct ratio level_ratio(const struct image_pyramid *pyramid, uint32_t level)
{
    struct image_size full = level_size(pyramid, 0), size = level_size(pyramid, level);
    double factor = pyramid->level[level].scale_factor;
    if (level_is_regular(pyramid, level))
        return (struct ratio){factor, factor};
    return (struct ratio){(double)full.width_px / size.width_px, (double)full.height_px / size.height_px};
}

static struct iiif_window window_on(const struct image_pyramid *pyramid, uint32_t level,
                                    struct image_region region, struct image_size size, uint32_t factor)
{
    struct ratio ratio = level_ratio(pyramid, level);
    struct iiif_window window = {
        .level = level,
        .x_px = region.x_px / ratio.x,
        .y_px = region.y_px / ratio.y,
        .width_px = region.width_px / ratio.x,
        .height_px = region.height_px / ratio.y,
    };
    if (factor > 0) {
        window.width_px = (double)size.width_px * factor / ratio.x;
        window.height_px = (double)size.height_px * factor / ratio.y;
        window.exact = factor == pyramid->level[level].scale_factor && level_is_regular(pyramid, level);
    }
    return window;
}

/* A level asked for by its own size, as `sizes` lists it, is that level, whatever the grids say. */
static bool is_whole_level(const struct image_pyramid *pyramid, uint32_t level, struct image_region region,
                           struct image_size size)
{
    struct image_size full = level_size(pyramid, 0), own = level_size(pyramid, level);
    return region.width_px == full.width_px && region.height_px == full.height_px &&
           own.width_px == size.width_px && own.height_px == size.height_px;
}

struct iiif_window iiif_window_choose(const struct image_pyramid *pyramid, struct image_region region,
                                      struct image_size size)
{
    assert(pyramid->level_count >= 1 && pyramid->level_count <= IMAGE_MAX_LEVELS);
    assert(region.width_px > 0 && region.height_px > 0 && size.width_px > 0 && size.height_px > 0);
    for (uint32_t i = 0; i < pyramid->level_count; i++)
        if (is_whole_level(pyramid, i, region, size))
            return (struct iiif_window){
                .level = i, .exact = true, .width_px = size.width_px, .height_px = size.height_px};

    uint32_t factor = choose_factor(pyramid, region, size);
    struct ratio shrink = {(double)region.width_px / size.width_px,
                           (double)region.height_px / size.height_px};
    if (factor > 0)
        shrink = (struct ratio){factor, factor};
    uint32_t level = 0;
    for (uint32_t i = 1; i < pyramid->level_count; i++) {
        struct ratio ratio = level_ratio(pyramid, i);
        if (ratio.x <= shrink.x && ratio.y <= shrink.y)
            level = i;
    }
    return window_on(pyramid, level, region, size, factor);
}
