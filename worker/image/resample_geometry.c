#include "worker/image/resample_geometry.h"

#include <assert.h>
#include <math.h>

static double scaled(double value, int log2)
{
    return ldexp(value, log2);
}

uint32_t image_resample_samples(uint32_t value, uint8_t log2)
{
    return (uint32_t)(((uint64_t)value + (1u << log2) - 1) >> log2);
}

static struct image_resample_axis axis_of(double start_px, double extent_px, uint32_t wanted_px,
                                          uint8_t from_log2, uint8_t to_log2)
{
    return (struct image_resample_axis){
        .start = scaled(start_px, -(int)from_log2),
        .step = scaled(extent_px / wanted_px, (int)to_log2 - (int)from_log2),
        .count = image_resample_samples(wanted_px, to_log2),
    };
}

struct image_resample_axis image_resample_axis_x(const struct image_resample_group *group,
                                                 const struct image_window *window, uint32_t wanted_px)
{
    return axis_of(window->x_px, window->width_px, wanted_px, group->from_x_log2, group->to_x_log2);
}

struct image_resample_axis image_resample_axis_y(const struct image_resample_group *group,
                                                 const struct image_window *window, uint32_t wanted_px)
{
    return axis_of(window->y_px, window->height_px, wanted_px, group->from_y_log2, group->to_y_log2);
}

static bool axis_is_plain(const struct image_resample_axis *axis)
{
    return axis->step == 1 && axis->start == floor(axis->start);
}

/* The samples [*first, *end) that the outputs [from, to) of an axis look at, of a plane with `extent`
 * samples. */
static void reach(const struct image_resample_axis *axis, const struct image_resample_group *group,
                  uint32_t from, uint32_t to, uint32_t extent, uint32_t *first, uint32_t *end)
{
    double support = group->kernel == IMAGE_RESAMPLE_BILINEAR ? 1 : 2;
    double margin = axis_is_plain(axis) ? 0 : ceil(support * fmax(axis->step, 1)) + 1;
    double low = floor(axis->start + from * axis->step - margin);
    double high = ceil(axis->start + to * axis->step + margin);
    *first = low <= 0 ? 0 : low >= extent ? extent - 1 : (uint32_t)low;
    *end = high >= extent ? extent : high <= *first ? *first + 1 : (uint32_t)high;
}

/* The pixels that so many samples stand for, at most all. */
static uint32_t pixels_of(uint32_t end, uint8_t log2, uint32_t extent_px)
{
    uint64_t pixels = (uint64_t)end << log2;
    return pixels < extent_px ? (uint32_t)pixels : extent_px;
}

uint32_t image_resample_groups(const struct image_format *from, const struct image_format *to,
                               struct image_format *stage, struct image_resample_group group[2])
{
    bool chroma = from->model == IMAGE_YCBCR && to->model != IMAGE_GRAY;

    *stage = *to;
    if (chroma)
        stage->model = IMAGE_YCBCR;
    assert(from->alpha == to->alpha && (from->depth_bits >= to->depth_bits));
    assert(from->model == to->model ||
           (from->model == IMAGE_YCBCR && to->model != IMAGE_CMYK && to->model != IMAGE_LAB));

    group[0] = (struct image_resample_group){.kernel = IMAGE_RESAMPLE_BICUBIC};
    group[1] = (struct image_resample_group){.kernel = IMAGE_RESAMPLE_BILINEAR,
                                             .from_x_log2 = from->sub_x_log2,
                                             .from_y_log2 = from->sub_y_log2,
                                             .to_x_log2 = stage->sub_x_log2,
                                             .to_y_log2 = stage->sub_y_log2};
    uint32_t count = image_format_planes(stage);
    for (uint32_t plane = 0; plane < count; plane++) {
        bool alpha = stage->alpha != IMAGE_ALPHA_NONE && plane == count - 1;
        struct image_resample_group *home = &group[chroma && (plane == 1 || plane == 2)];
        home->source[home->count] = (uint8_t)(alpha ? image_format_planes(from) - 1 : plane);
        home->stage[home->count++] = (uint8_t)plane;
    }
    group[0].weighted = stage->alpha == IMAGE_ALPHA_STRAIGHT && !chroma;
    return chroma ? 2 : 1;
}

bool image_resample_copies(const struct image_resample_group *group, const struct image_format *from,
                           const struct image_format *to, struct image_size picture,
                           const struct image_window *window, struct image_size wanted)
{
    struct image_resample_axis x = image_resample_axis_x(group, window, wanted.width_px),
                               y = image_resample_axis_y(group, window, wanted.height_px);

    return from->depth_bits == to->depth_bits && axis_is_plain(&x) && axis_is_plain(&y) && x.start >= 0 &&
           y.start >= 0 &&
           x.start + x.count <= image_resample_samples(picture.width_px, group->from_x_log2) &&
           y.start + y.count <= image_resample_samples(picture.height_px, group->from_y_log2);
}

struct image_region image_resample_reads(const struct image_format *from, const struct image_format *to,
                                         struct image_size picture, const struct image_window *window,
                                         struct image_size wanted)
{
    struct image_format stage;
    struct image_resample_group group[2];
    uint32_t count = image_resample_groups(from, to, &stage, group);
    uint32_t x0 = picture.width_px, y0 = picture.height_px, x1 = 0, y1 = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct image_resample_group *g = &group[i];
        struct image_resample_axis x = image_resample_axis_x(g, window, wanted.width_px);
        struct image_resample_axis y = image_resample_axis_y(g, window, wanted.height_px);
        uint32_t first, end;

        reach(&x, g, 0, x.count, image_resample_samples(picture.width_px, g->from_x_log2), &first, &end);
        x0 = first << g->from_x_log2 < x0 ? first << g->from_x_log2 : x0;
        end = pixels_of(end, g->from_x_log2, picture.width_px);
        x1 = end > x1 ? end : x1;
        reach(&y, g, 0, y.count, image_resample_samples(picture.height_px, g->from_y_log2), &first, &end);
        y0 = first << g->from_y_log2 < y0 ? first << g->from_y_log2 : y0;
        end = pixels_of(end, g->from_y_log2, picture.height_px);
        y1 = end > y1 ? end : y1;
    }
    x0 = x0 >> from->sub_x_log2 << from->sub_x_log2;
    y0 = y0 >> from->sub_y_log2 << from->sub_y_log2;
    return (struct image_region){x0, y0, x1 - x0, y1 - y0};
}
