#include "worker/iiif/size.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* A size before it is known to be one: products of two edges and percentages do not fit in 32 bits. */
struct wanted {
    uint64_t width, height;
};

/* a * b / c with halves rounded up, at least 1. The product of two 32-bit numbers fits. */
static uint64_t scaled(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t product = (uint64_t)a * b;
    uint64_t quotient = product / c, rest = product % c;
    quotient += rest >= c - rest;
    return quotient > 0 ? quotient : 1;
}

uint64_t iiif_size_height_for_width(struct image_size region, uint32_t width_px)
{
    return scaled(region.height_px, width_px, region.width_px);
}

bool iiif_size_within(struct image_size size, const struct iiif_limits *limits)
{
    return size.width_px <= limits->max_width_px && size.height_px <= limits->max_height_px &&
           image_size_area(size) <= limits->max_area_px;
}

/* The largest size of the region's shape within box. */
static struct image_size fit_box(struct image_size region, struct image_size box)
{
    if ((uint64_t)box.width_px * region.height_px <= (uint64_t)box.height_px * region.width_px)
        return (struct image_size){box.width_px,
                                   (uint32_t)scaled(region.height_px, box.width_px, region.width_px)};
    return (struct image_size){(uint32_t)scaled(region.width_px, box.height_px, region.height_px),
                               box.height_px};
}

static uint32_t floor_edge(double edge)
{
    if (edge < 1)
        return 1;
    return edge < UINT32_MAX ? (uint32_t)edge : UINT32_MAX;
}

/* The largest size of the region's shape within an area. Each edge is rooted by itself: that is exact where
 * the edges come out as whole numbers, which dividing by a common factor is not. */
static struct image_size fit_area(struct image_size region, uint64_t max_area)
{
    double shape = (double)region.width_px / region.height_px, area = (double)max_area;
    struct image_size size = {floor_edge(sqrt(area * shape)), floor_edge(sqrt(area / shape))};
    /* Only for strips, whose short edge could not go below 1, and for what the root rounded up. */
    if (image_size_area(size) > max_area) {
        if (size.width_px >= size.height_px)
            size.width_px = (uint32_t)(max_area / size.height_px);
        else
            size.height_px = (uint32_t)(max_area / size.width_px);
    }
    return size;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The largest size of the region's shape within the box and the limits. Without `enlarge` the region bounds
 * it too. */
static struct image_size fit(struct image_size region, struct image_size box,
                             const struct iiif_limits *limits, bool enlarge)
{
    box.width_px = least(box.width_px, limits->max_width_px);
    box.height_px = least(box.height_px, limits->max_height_px);
    if (!enlarge) {
        box.width_px = least(box.width_px, region.width_px);
        box.height_px = least(box.height_px, region.height_px);
    }
    struct image_size size = fit_box(region, box);
    if (image_size_area(size) <= limits->max_area_px)
        return size;
    struct image_size by_area = fit_area(region, limits->max_area_px);
    /* Both roundings differ by a pixel at most; the box must hold either way. */
    return (struct image_size){least(by_area.width_px, size.width_px),
                               least(by_area.height_px, size.height_px)};
}

double iiif_size_percent_of(uint32_t edge_px, double percent)
{
    /* Decimal halves are seldom exact in binary: what is a half on paper has to round up. */
    return floor(edge_px * percent / 100 + 0.5 + 1e-9);
}

static uint64_t percent_edge(uint32_t edge_px, double percent)
{
    double edge = iiif_size_percent_of(edge_px, percent);
    return edge < 1e18 ? (uint64_t)edge : (uint64_t)1e18;
}

/* As the URL says it, for sentences. */
static void size_text(const struct iiif_request *request, char ret_text[48])
{
    const char *caret = request->upscale ? "^" : "";
    switch (request->size_form) {
    case IIIF_SIZE_FULL:
        snprintf(ret_text, 48, "full");
        break;
    case IIIF_SIZE_MAX:
        snprintf(ret_text, 48, "%smax", caret);
        break;
    case IIIF_SIZE_WIDTH:
        snprintf(ret_text, 48, "%s%" PRIu32 ",", caret, request->width_px);
        break;
    case IIIF_SIZE_HEIGHT:
        snprintf(ret_text, 48, "%s,%" PRIu32, caret, request->height_px);
        break;
    case IIIF_SIZE_PERCENT:
        snprintf(ret_text, 48, "%spct:%.15g", caret, request->size_percent);
        break;
    case IIIF_SIZE_EXACT:
    case IIIF_SIZE_CONFINED:
        snprintf(ret_text, 48, "%s%s%" PRIu32 ",%" PRIu32, caret,
                 request->size_form == IIIF_SIZE_CONFINED ? "!" : "", request->width_px, request->height_px);
        break;
    }
}

static enum rc check_limits(const struct iiif_request *request, struct wanted wanted,
                            const struct iiif_limits *limits, struct err *err)
{
    char text[48];
    const char *advice = request->size_form == IIIF_SIZE_FULL ? ", max gives the largest allowed" : "";
    if (wanted.width <= limits->max_width_px && wanted.height <= limits->max_height_px &&
        wanted.width * wanted.height <= limits->max_area_px)
        return RC_OK;
    size_text(request, text);
    if (wanted.width > limits->max_width_px)
        return err_set(err, RC_BAD_REQUEST,
                       "size '%s': a width of %" PRIu64 " px is above maxWidth, %" PRIu32 " px%s", text,
                       wanted.width, limits->max_width_px, advice);
    if (wanted.height > limits->max_height_px)
        return err_set(err, RC_BAD_REQUEST,
                       "size '%s': a height of %" PRIu64 " px is above maxHeight, %" PRIu32 " px%s", text,
                       wanted.height, limits->max_height_px, advice);
    return err_set(err, RC_BAD_REQUEST,
                   "size '%s': %" PRIu64 " x %" PRIu64 " px is above maxArea, %" PRIu64 " px%s", text,
                   wanted.width, wanted.height, limits->max_area_px, advice);
}

static enum rc check_enlarging(const struct iiif_request *request, struct image_size region,
                               struct wanted wanted, const struct iiif_limits *limits, struct err *err)
{
    char text[48];
    bool too_many_percent = request->size_form == IIIF_SIZE_PERCENT && request->size_percent > 100;
    if (wanted.width <= region.width_px && wanted.height <= region.height_px && !too_many_percent)
        return RC_OK;
    if (limits->allow_upscaling && (request->version == IIIF_2 || request->upscale))
        return RC_OK;
    size_text(request, text);
    if (request->upscale)
        return err_set(err, RC_UNSUPPORTED,
                       "size '%s' is larger than the region of %" PRIu32 " x %" PRIu32
                       " px, and this server does not enlarge",
                       text, region.width_px, region.height_px);
    return err_set(err, RC_BAD_REQUEST,
                   "size '%s' is larger than the region of %" PRIu32 " x %" PRIu32 " px%s", text,
                   region.width_px, region.height_px,
                   !limits->allow_upscaling ? ", and this server does not enlarge"
                                            : ", only sizes that begin with ^ enlarge");
}

/* The forms that name what they want, before any check. */
static enum rc want(const struct iiif_request *request, struct image_size region, struct wanted *ret_wanted,
                    struct err *err)
{
    struct wanted wanted = {region.width_px, region.height_px};
    char text[48];
    switch (request->size_form) {
    case IIIF_SIZE_WIDTH:
        wanted.width = request->width_px;
        wanted.height = iiif_size_height_for_width(region, request->width_px);
        break;
    case IIIF_SIZE_HEIGHT:
        wanted.width = scaled(region.width_px, request->height_px, region.height_px);
        wanted.height = request->height_px;
        break;
    case IIIF_SIZE_EXACT:
        wanted.width = request->width_px;
        wanted.height = request->height_px;
        break;
    case IIIF_SIZE_PERCENT:
        wanted.width = percent_edge(region.width_px, request->size_percent);
        wanted.height = percent_edge(region.height_px, request->size_percent);
        break;
    default:
        assert(request->size_form == IIIF_SIZE_FULL);
    }
    if (wanted.width == 0 || wanted.height == 0) {
        size_text(request, text);
        return err_set(err, RC_BAD_REQUEST,
                       "size '%s' of a region of %" PRIu32 " x %" PRIu32 " px leaves no pixel", text,
                       region.width_px, region.height_px);
    }
    *ret_wanted = wanted;
    return RC_OK;
}

enum rc iiif_size_resolve(const struct iiif_request *request, struct image_size region,
                          const struct iiif_limits *limits, struct iiif_size *ret_size, struct err *err)
{
    assert(region.width_px > 0 && region.height_px > 0);
    assert(limits->max_width_px > 0 && limits->max_height_px > 0 && limits->max_area_px > 0);
    const struct image_size anything = {UINT32_MAX, UINT32_MAX};
    struct image_size size;
    bool fitted = request->size_form == IIIF_SIZE_MAX || request->size_form == IIIF_SIZE_CONFINED;
    struct wanted wanted = {0};
    if (fitted) {
        struct image_size box = request->size_form == IIIF_SIZE_MAX
                                    ? anything
                                    : (struct image_size){request->width_px, request->height_px};
        size = fit(region, box, limits, request->upscale);
        wanted = (struct wanted){size.width_px, size.height_px};
    } else {
        enum rc rc = want(request, region, &wanted, err);
        if (rc != RC_OK)
            return rc;
    }
    enum rc rc = check_enlarging(request, region, wanted, limits, err);
    if (rc == RC_OK)
        rc = check_limits(request, wanted, limits, err);
    if (rc != RC_OK)
        return rc;

    size = (struct image_size){(uint32_t)wanted.width, (uint32_t)wanted.height};
    bool upscaled = size.width_px > region.width_px || size.height_px > region.height_px;
    struct image_size largest = fit(region, anything, limits, upscaled);
    *ret_size = (struct iiif_size){
        .size = size,
        .is_max = size.width_px == largest.width_px && size.height_px == largest.height_px,
        .is_upscaled = upscaled,
    };
    return RC_OK;
}
