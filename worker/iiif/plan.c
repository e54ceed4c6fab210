#include "worker/iiif/plan.h"

#include "base/digits.h"
#include "worker/iiif/window.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- region ---- */

/* One axis of a region, in whole pixels that need not fit in 32 bits → what of it lies in the picture. */
static enum rc crop_axis(double start, double length, uint32_t full, const char *start_name,
                         const char *edge_name, uint32_t *ret_start, uint32_t *ret_length, struct err *err)
{
    if (start >= full)
        return err_set(err, RC_BAD_REQUEST,
                       "the region begins at %s = %.0f px, but the picture has a %s of %" PRIu32 " px",
                       start_name, start, edge_name, full);
    if (length < 1)
        return err_set(err, RC_BAD_REQUEST, "the region has a %s of 0 pixels", edge_name);
    *ret_start = (uint32_t)start;
    *ret_length = length < full - start ? (uint32_t)length : full - *ret_start;
    return RC_OK;
}

static struct image_region square_of(struct image_size full)
{
    uint32_t side = full.width_px < full.height_px ? full.width_px : full.height_px;
    return (struct image_region){(full.width_px - side) / 2, (full.height_px - side) / 2, side, side};
}

static enum rc make_region(const struct iiif_request *request, struct image_size full,
                           struct image_region *ret_region, struct err *err)
{
    struct image_region region = {0, 0, full.width_px, full.height_px};
    if (request->region_form == IIIF_REGION_SQUARE)
        region = square_of(full);
    if (request->region_form == IIIF_REGION_PIXELS || request->region_form == IIIF_REGION_PERCENT) {
        double part[4];
        for (int i = 0; i < 4; i++) {
            uint32_t edge = i % 2 == 0 ? full.width_px : full.height_px;
            part[i] = request->region_form == IIIF_REGION_PIXELS
                          ? request->region[i]
                          : iiif_size_percent_of(edge, request->region[i]);
        }
        enum rc rc = crop_axis(part[0], part[2], full.width_px, "x", "width", &region.x_px, &region.width_px,
                               err);
        if (rc == RC_OK)
            rc = crop_axis(part[1], part[3], full.height_px, "y", "height", &region.y_px, &region.height_px,
                           err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_region = region;
    return RC_OK;
}

/* ---- plan ---- */

/* The default quality is colour for a colour picture and gray for a gray one, and `color` of a gray one is
 * gray. */
static enum iiif_quality canonical_quality(enum iiif_quality quality, bool has_colour)
{
    bool is_default = quality == IIIF_COLOR || (quality == IIIF_GRAY && !has_colour);
    return is_default ? IIIF_DEFAULT : quality;
}

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static bool within_one(uint32_t a, uint32_t b)
{
    return (a > b ? a - b : b - a) <= 1;
}

/* The other edge of `w,` and `,h` is ours to round. Viewers that ask for tiles in this way mean tile
 * arithmetic, which rounds up: where that fits the grid of a level, the answer is that part of the level,
 * pixel for pixel. */
static struct iiif_window choose_window(const struct iiif_request *request,
                                        const struct image_pyramid *pyramid, const struct iiif_limits *limits,
                                        struct image_region region, struct image_size *size)
{
    struct iiif_window window = iiif_window_choose(pyramid, region, *size);
    bool by_width = request->size_form == IIIF_SIZE_WIDTH, by_height = request->size_form == IIIF_SIZE_HEIGHT;
    for (uint32_t i = 1; !window.exact && (by_width || by_height) && i < pyramid->level_count; i++) {
        uint32_t factor = pyramid->level[i].scale_factor;
        struct image_size tile = {ceil_div(region.width_px, factor), ceil_div(region.height_px, factor)};
        struct iiif_window fitting = {.exact = false};
        if (by_width ? tile.width_px == size->width_px && within_one(tile.height_px, size->height_px)
                     : tile.height_px == size->height_px && within_one(tile.width_px, size->width_px))
            fitting = iiif_window_choose(pyramid, region, tile);
        if (!fitting.exact || !iiif_size_within(tile, limits))
            continue;
        *size = tile;
        return fitting;
    }
    return window;
}

enum rc iiif_plan_make(const struct iiif_request *request, const struct image_pyramid *pyramid,
                       const struct iiif_limits *limits, struct iiif_plan *ret_plan, struct err *err)
{
    assert(request->what == IIIF_IMAGE && pyramid->level_count >= 1);
    struct image_size full = image_size_upright(pyramid->level[0].size, pyramid->orientation);
    struct image_region region;
    struct iiif_size size;
    enum rc rc = make_region(request, full, &region, err);
    if (rc == RC_OK)
        rc = iiif_size_resolve(request, (struct image_size){region.width_px, region.height_px}, limits, &size,
                               err);
    if (rc != RC_OK)
        return rc;
    struct iiif_window window = choose_window(request, pyramid, limits, region, &size.size);
    *ret_plan = (struct iiif_plan){
        .version = request->version,
        .full = full,
        .region = region,
        .size = size.size,
        .size_is_max = size.is_max,
        .size_is_upscaled = size.is_upscaled,
        .whole_picture = region.width_px == full.width_px && region.height_px == full.height_px,
        .mirror = request->mirror,
        .rotation_deg = request->rotation_deg,
        .quality = canonical_quality(request->quality, pyramid->has_colour),
        .format = request->format,
        .level = window.level,
        .exact = window.exact,
        .window_x_px = window.x_px,
        .window_y_px = window.y_px,
        .window_width_px = window.width_px,
        .window_height_px = window.height_px,
    };
    return RC_OK;
}

/* ---- canonical form ---- */

/* What is written fits, as static_assert says. */
static char *put_pair(char *to, uint32_t one, uint32_t other)
{
    return digits_decimal(stpcpy(digits_decimal(to, one), ","), other);
}

static char *put_region(char *to, const struct iiif_plan *plan)
{
    if (plan->whole_picture)
        return stpcpy(to, "full");
    to = stpcpy(put_pair(to, plan->region.x_px, plan->region.y_px), ",");
    return put_pair(to, plan->region.width_px, plan->region.height_px);
}

static char *put_size_2(char *to, const struct iiif_plan *plan)
{
    struct image_size region = {plan->region.width_px, plan->region.height_px};
    if (plan->size.width_px == region.width_px && plan->size.height_px == region.height_px)
        return stpcpy(to, "full");
    if (iiif_size_height_for_width(region, plan->size.width_px) == plan->size.height_px)
        return stpcpy(digits_decimal(to, plan->size.width_px), ",");
    return put_pair(to, plan->size.width_px, plan->size.height_px);
}

static char *put_size_3(char *to, const struct iiif_plan *plan)
{
    to = stpcpy(to, plan->size_is_upscaled ? "^" : "");
    return plan->size_is_max ? stpcpy(to, "max") : put_pair(to, plan->size.width_px, plan->size.height_px);
}

static char *put_rotation(char *to, const struct iiif_plan *plan)
{
    /* In whole units, so that no locale has a say in the decimal point. */
    uint64_t units = (uint64_t)llround(plan->rotation_deg * IIIF_ROTATION_UNITS);
    uint64_t unit = (uint64_t)IIIF_ROTATION_UNITS, fraction = units % unit;
    int decimals = 10;
    to = digits_decimal(stpcpy(to, plan->mirror ? "!" : ""), (uint32_t)(units / unit));
    if (fraction == 0)
        return to;
    for (; fraction % 10 == 0; decimals--)
        fraction /= 10;
    return to + sprintf(to, ".%0*" PRIu64, decimals, fraction);
}

/* Four numbers of a region, two of a size, the rotation, the longest quality and format, and what stands
 * between them. */
static_assert(IIIF_CANONICAL_BYTES >= 4 * 11 + 1 + 2 * 11 + 1 + 3 + 12 + 1 + 7 + 1 + 4 + 1,
              "the longest form fits");

void iiif_plan_canonical(const struct iiif_plan *plan, char ret_text[IIIF_CANONICAL_BYTES])
{
    char *to = stpcpy(put_region(ret_text, plan), "/");
    to = stpcpy(plan->version == IIIF_3 ? put_size_3(to, plan) : put_size_2(to, plan), "/");
    to = stpcpy(put_rotation(to, plan), "/");
    to = stpcpy(stpcpy(to, iiif_quality_name(plan->quality)), ".");
    stpcpy(to, iiif_format_name(plan->format));
}
