#include "worker/image/resample.h"

#include "base/own.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <zimg.h>

/* Rows are resampled in stripes: the source rows of a stripe lie in memory, a graph of zimg makes the
 * stripe's output rows of them, the rows under the next stripe's kernel stay. zimg's own streaming (callbacks
 * per row) does not serve: it works off wide pictures in columns and wants the rows again for each. A tile is
 * one stripe.
 *
 * Every plane has a graph of its own kind (zimg's "grey"), so chroma needs no special sizes: plane 1 of 4:2:0
 * is a picture of half the size with a window of half the size. Only straight alpha makes planes depend on
 * each other. */

#define STRIPE_BYTES \
    ((uint64_t)4 << 20) /* source and output rows of a stripe, without the kernel's surround */
#define STRIPE_MAX_BYTES ((uint64_t)512 << 20)
#define ALIGN_BYTES      64u /* what zimg's widest instructions want of rows */
#define KERNEL_SUPPORT   2.0 /* source pixels to each side at scale 1: bicubic b = 0, c = 0.5 */
#define CHROMA_SUPPORT   1.0 /* bilinear: at 1:2 what every JPEG decoder does */

/* Rows of one plane in memory of our own. */
struct rows {
    uint8_t *data;
    size_t stride_bytes;
    uint64_t capacity;
};

/* Planes of the same geometry. */
struct group {
    uint32_t count;
    uint8_t source[IMAGE_MAX_PLANES]; /* index in the reader's format */
    uint8_t stage[IMAGE_MAX_PLANES];  /* index in the stage's format */
    uint8_t from_x_log2, from_y_log2, to_x_log2, to_y_log2;
    double support;
    bool weighted;            /* one graph over all planes, the last of which is straight alpha */
    bool copied;              /* nothing to do but to point at the right samples */
    zimg_filter_graph *graph; /* of the last stripe; fits the next one when its geometry is the same */
    struct image_size graph_from, graph_to;
    double graph_top;
    size_t scratch_bytes;
};

struct resampler {
    struct image_reader *reader;
    struct image_sink *sink;
    struct image_window window;
    bool (*cancelled)(void *context);
    void *context;

    struct image_format stage; /* what the groups yield: sink->format, or YCBCR 4:4:4 on its way to RGB */
    uint32_t group_count;
    struct group group[2];

    struct rows source[IMAGE_MAX_PLANES];
    uint32_t first_row,
        end_row;            /* rows of the reader's picture in `source`; first_row fits the subsampling */
    struct image_band band; /* the last one read: rows below end_row of it have been taken over */

    struct rows staged[IMAGE_MAX_PLANES];
    struct rows rgb[3];
    struct rows scratch;
};

/* ---- geometry ---- */

static double scaled(double value, int log2)
{
    return ldexp(value, log2);
}

static uint32_t shifted_up(uint32_t value, uint8_t log2)
{
    return (uint32_t)(((uint64_t)value + (1u << log2) - 1) >> log2);
}

/* One axis of a group: the window in the plane's own samples. `step` is source samples per output sample. */
struct axis {
    double start, step;
    uint32_t count;
};

static struct axis axis_of(double start_px, double extent_px, uint32_t wanted_px, uint8_t from_log2,
                           uint8_t to_log2)
{
    return (struct axis){
        .start = scaled(start_px, -(int)from_log2),
        .step = scaled(extent_px / wanted_px, (int)to_log2 - (int)from_log2),
        .count = shifted_up(wanted_px, to_log2),
    };
}

static struct axis axis_x(const struct group *group, const struct image_window *window, uint32_t wanted_px)
{
    return axis_of(window->x_px, window->width_px, wanted_px, group->from_x_log2, group->to_x_log2);
}

static struct axis axis_y(const struct group *group, const struct image_window *window, uint32_t wanted_px)
{
    return axis_of(window->y_px, window->height_px, wanted_px, group->from_y_log2, group->to_y_log2);
}

static bool axis_is_plain(const struct axis *axis)
{
    return axis->step == 1 && axis->start == floor(axis->start);
}

/* The samples [*first, *end) that the outputs [from, to) of an axis look at, of a plane with `extent`
 * samples. */
static void axis_reach(const struct axis *axis, double support, uint32_t from, uint32_t to, uint32_t extent,
                       uint32_t *first, uint32_t *end)
{
    double margin = axis_is_plain(axis) ? 0 : ceil(support * fmax(axis->step, 1)) + 1;
    double low = floor(axis->start + from * axis->step - margin);
    double high = ceil(axis->start + to * axis->step + margin);
    *first = low <= 0 ? 0 : low >= extent ? extent - 1 : (uint32_t)low;
    *end = high >= extent ? extent : high <= *first ? *first + 1 : (uint32_t)high;
}

static uint32_t plane_end(uint32_t end, uint8_t log2, uint32_t extent_px)
{
    uint64_t pixels = (uint64_t)end << log2;
    return pixels < extent_px ? (uint32_t)pixels : extent_px;
}

/* Sorts the planes of `from` into groups that lead to `to`. */
static uint32_t groups_of(const struct image_format *from, const struct image_format *to,
                          struct image_format *stage, struct group group[2])
{
    bool chroma = from->model == IMAGE_YCBCR && to->model != IMAGE_GRAY;

    *stage = *to;
    if (chroma)
        stage->model = IMAGE_YCBCR;
    assert(from->alpha == to->alpha && (from->depth_bits >= to->depth_bits));
    assert(from->model == to->model ||
           (from->model == IMAGE_YCBCR && to->model != IMAGE_CMYK && to->model != IMAGE_LAB));

    group[0] = (struct group){.support = KERNEL_SUPPORT};
    group[1] = (struct group){.support = CHROMA_SUPPORT,
                              .from_x_log2 = from->sub_x_log2,
                              .from_y_log2 = from->sub_y_log2,
                              .to_x_log2 = stage->sub_x_log2,
                              .to_y_log2 = stage->sub_y_log2};
    uint32_t count = image_format_planes(stage);
    for (uint32_t plane = 0; plane < count; plane++) {
        bool alpha = stage->alpha != IMAGE_ALPHA_NONE && plane == count - 1;
        struct group *home = &group[chroma && (plane == 1 || plane == 2)];
        home->source[home->count] = (uint8_t)(alpha ? image_format_planes(from) - 1 : plane);
        home->stage[home->count++] = (uint8_t)plane;
    }
    group[0].weighted = stage->alpha == IMAGE_ALPHA_STRAIGHT && !chroma;
    return chroma ? 2 : 1;
}

/* Whether a group's samples are the reader's own. */
static bool group_copies(const struct group *group, const struct image_format *from,
                         const struct image_format *to, struct image_size picture,
                         const struct image_window *window, struct image_size wanted)
{
    struct axis x = axis_x(group, window, wanted.width_px), y = axis_y(group, window, wanted.height_px);

    return from->depth_bits == to->depth_bits && axis_is_plain(&x) && axis_is_plain(&y) && x.start >= 0 &&
           y.start >= 0 && x.start + x.count <= shifted_up(picture.width_px, group->from_x_log2) &&
           y.start + y.count <= shifted_up(picture.height_px, group->from_y_log2);
}

struct image_region image_resample_reads(const struct image_format *from, const struct image_format *to,
                                         struct image_size picture, const struct image_window *window,
                                         struct image_size wanted)
{
    struct image_format stage;
    struct group group[2];
    uint32_t count = groups_of(from, to, &stage, group);
    uint32_t x0 = picture.width_px, y0 = picture.height_px, x1 = 0, y1 = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct axis x = axis_x(&group[i], window, wanted.width_px),
                    y = axis_y(&group[i], window, wanted.height_px);
        uint32_t first, end;

        axis_reach(&x, group[i].support, 0, x.count, shifted_up(picture.width_px, group[i].from_x_log2),
                   &first, &end);
        if (first << group[i].from_x_log2 < x0)
            x0 = first << group[i].from_x_log2;
        end = plane_end(end, group[i].from_x_log2, picture.width_px);
        x1 = end > x1 ? end : x1;
        axis_reach(&y, group[i].support, 0, y.count, shifted_up(picture.height_px, group[i].from_y_log2),
                   &first, &end);
        if (first << group[i].from_y_log2 < y0)
            y0 = first << group[i].from_y_log2;
        end = plane_end(end, group[i].from_y_log2, picture.height_px);
        y1 = end > y1 ? end : y1;
    }
    x0 = x0 >> from->sub_x_log2 << from->sub_x_log2;
    y0 = y0 >> from->sub_y_log2 << from->sub_y_log2;
    return (struct image_region){x0, y0, x1 - x0, y1 - y0};
}

/* ---- memory ---- */

/* Rows of `row_bytes`, at least `count` of them; the first `kept` rows stay as they are. */
static enum rc rows_ensure(struct rows *rows, size_t row_bytes, uint64_t count, uint64_t kept,
                           struct err *err)
{
    size_t stride = (row_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;

    if (rows->data != NULL && rows->stride_bytes == stride && rows->capacity >= count)
        return RC_OK;
    if (count > STRIPE_MAX_BYTES / stride)
        return err_set(err, RC_TOO_LARGE,
                       "reducing the picture that far takes %llu rows of %zu bytes at a time",
                       (unsigned long long)count, stride);
    uint8_t *data = aligned_alloc(ALIGN_BYTES, stride * (size_t)count);
    if (data == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %llu rows of %zu bytes", (unsigned long long)count,
                       stride);
    if (kept > 0)
        memcpy(data, rows->data, (size_t)kept * stride);
    free(rows->data);
    *rows = (struct rows){.data = data, .stride_bytes = stride, .capacity = count};
    return RC_OK;
}

static void resampler_done(struct resampler *r)
{
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        free(r->source[i].data);
        free(r->staged[i].data);
    }
    for (uint32_t i = 0; i < 3; i++)
        free(r->rgb[i].data);
    free(r->scratch.data);
    for (uint32_t i = 0; i < 2; i++)
        zimg_filter_graph_free(r->group[i].graph);
}

/* ---- reading ---- */

static enum rc read_band(struct resampler *r, struct err *err)
{
    if (r->cancelled != NULL && r->cancelled(r->context))
        return err_set(err, RC_CANCELLED, "nobody waits for the picture any more");
    return r->reader->ops->read(r->reader, &r->band, err);
}

static size_t source_row_bytes(const struct resampler *r, uint32_t plane)
{
    return (size_t)image_plane_width(&r->reader->format, plane, r->reader->size.width_px) *
           (r->reader->format.depth_bits / 8);
}

/* Copies rows [end_row, until) out of the band; row 0 of `source` is first_row. */
static void take_rows(struct resampler *r, const struct group *group, uint32_t until)
{
    const uint8_t log2 = group->from_y_log2;
    uint32_t skip = (r->end_row - r->band.y_px) >> log2, to = (r->end_row - r->first_row) >> log2;
    uint32_t count = shifted_up(until - r->end_row, log2);

    for (uint32_t i = 0; i < group->count; i++) {
        uint32_t plane = group->source[i];
        struct rows *rows = &r->source[plane];
        size_t length = source_row_bytes(r, plane);
        for (uint32_t row = 0; row < count; row++)
            memcpy(rows->data + (size_t)(to + row) * rows->stride_bytes,
                   r->band.plane[plane] + (size_t)(skip + row) * r->band.stride_bytes[plane], length);
    }
}

/* Forgets rows above `first` and makes room for those up to `end`. */
static enum rc move_rows(struct resampler *r, uint32_t first, uint32_t end, struct err *err)
{
    uint32_t kept = r->end_row > first ? r->end_row - first : 0;

    for (uint32_t g = 0; g < r->group_count; g++) {
        const struct group *group = &r->group[g];
        const uint8_t log2 = group->from_y_log2;
        for (uint32_t i = 0; i < group->count; i++) {
            struct rows *rows = &r->source[group->source[i]];
            if (kept > 0 && first > r->first_row)
                memmove(rows->data,
                        rows->data + (size_t)((first - r->first_row) >> log2) * rows->stride_bytes,
                        (size_t)shifted_up(kept, log2) * rows->stride_bytes);
            enum rc rc = rows_ensure(rows, source_row_bytes(r, group->source[i]),
                                     shifted_up(end - first, log2), shifted_up(kept, log2), err);
            if (rc != RC_OK)
                return rc;
        }
    }
    r->first_row = first;
    if (kept == 0)
        r->end_row = first;
    return RC_OK;
}

/* Brings the reader's rows [first, end) into `source`. Both grow from call to call. */
static enum rc fetch_rows(struct resampler *r, uint32_t first, uint32_t end, struct err *err)
{
    enum rc rc = move_rows(r, first, end, err);

    while (rc == RC_OK && r->end_row < end) {
        uint32_t band_end = r->band.y_px + r->band.height_px;
        if (band_end <= r->end_row) {
            rc = read_band(r, err);
            continue;
        }
        uint32_t until = band_end < end ? band_end : end;
        for (uint32_t g = 0; g < r->group_count; g++)
            take_rows(r, &r->group[g], until);
        r->end_row = until;
    }
    return rc;
}

/* ---- zimg ---- */

static enum rc zimg_failed(struct err *err)
{
    char text[160] = "";
    zimg_error_code_e code = zimg_get_last_error(text, sizeof text);

    zimg_clear_last_error();
    return err_set(err, code == ZIMG_ERROR_OUT_OF_MEMORY ? RC_NO_MEMORY : RC_UNSUPPORTED,
                   "the picture cannot be resampled: %s", text);
}

static zimg_image_format zimg_format(const struct group *group, uint8_t depth_bits, struct image_size size)
{
    zimg_image_format format;

    zimg_image_format_default(&format, ZIMG_API_VERSION);
    format.width = size.width_px;
    format.height = size.height_px;
    format.pixel_type = depth_bits == 16 ? ZIMG_PIXEL_WORD : ZIMG_PIXEL_BYTE;
    format.depth = depth_bits;
    format.pixel_range = ZIMG_RANGE_FULL;
    format.color_family = group->weighted && group->count == 4 ? ZIMG_COLOR_RGB : ZIMG_COLOR_GREY;
    if (format.color_family == ZIMG_COLOR_RGB)
        format.matrix_coefficients = ZIMG_MATRIX_RGB;
    format.alpha = group->weighted ? ZIMG_ALPHA_STRAIGHT : ZIMG_ALPHA_NONE;
    return format;
}

static enum rc graph_build(struct resampler *r, struct group *group, const zimg_image_format *from,
                           const zimg_image_format *to, struct err *err)
{
    zimg_graph_builder_params params;

    zimg_filter_graph_free(TAKE_PTR(group->graph));
    zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
    params.resample_filter = group->support == CHROMA_SUPPORT ? ZIMG_RESIZE_BILINEAR : ZIMG_RESIZE_BICUBIC;
    if (params.resample_filter == ZIMG_RESIZE_BICUBIC) {
        params.filter_param_a = 0;
        params.filter_param_b = 0.5;
    }
    params.dither_type = ZIMG_DITHER_NONE;
    params.cpu_type = ZIMG_CPU_AUTO;
    group->graph = zimg_filter_graph_build(from, to, &params);
    if (group->graph == NULL || zimg_filter_graph_get_tmp_size(group->graph, &group->scratch_bytes) != 0)
        return zimg_failed(err);
    /* Shared by the graphs of all groups, which outlive stripes: it only ever grows. */
    if (r->scratch.data != NULL && r->scratch.stride_bytes >= group->scratch_bytes)
        return RC_OK;
    return rows_ensure(&r->scratch, group->scratch_bytes + 1, 1, 0, err);
}

/* zimg's alpha is always its plane 3. */
static uint32_t zimg_slot(const struct group *group, uint32_t i)
{
    return group->weighted && i == group->count - 1 ? 3 : i;
}

static enum rc graph_run(struct resampler *r, const struct group *group, uint64_t skip_rows, struct err *err)
{
    uint32_t runs = group->weighted ? 1 : group->count, planes = group->count / runs;

    for (uint32_t run = 0; run < runs; run++) {
        zimg_image_buffer_const from = {.version = ZIMG_API_VERSION};
        zimg_image_buffer to = {.version = ZIMG_API_VERSION};
        for (uint32_t i = 0; i < planes; i++) {
            const struct rows *source = &r->source[group->source[run + i]],
                              *staged = &r->staged[group->stage[run + i]];
            uint32_t slot = zimg_slot(group, i);
            from.plane[slot].data = source->data + skip_rows * source->stride_bytes;
            from.plane[slot].stride = (ptrdiff_t)source->stride_bytes;
            from.plane[slot].mask = ZIMG_BUFFER_MAX;
            to.plane[slot].data = staged->data;
            to.plane[slot].stride = (ptrdiff_t)staged->stride_bytes;
            to.plane[slot].mask = ZIMG_BUFFER_MAX;
        }
        if (zimg_filter_graph_process(group->graph, &from, &to, r->scratch.data, NULL, NULL, NULL, NULL) != 0)
            return zimg_failed(err);
    }
    return RC_OK;
}

/* ---- stripes ---- */

/* Makes output rows [row, row + height) of the group's planes and points `band` at them. */
static enum rc group_stripe(struct resampler *r, struct group *group, uint32_t row, uint32_t height,
                            struct image_band *band, struct err *err)
{
    struct axis x = axis_x(group, &r->window, r->sink->size.width_px);
    struct axis y = axis_y(group, &r->window, r->sink->size.height_px);
    uint32_t from_row = row >> group->to_y_log2, rows = shifted_up(height, group->to_y_log2);
    uint32_t base = r->first_row >> group->from_y_log2;
    struct image_size from = {shifted_up(r->reader->size.width_px, group->from_x_log2), 0},
                      to = {x.count, rows};
    uint32_t first, end, sample_bytes = r->stage.depth_bits / 8u;

    if (group->copied) {
        uint64_t skip = (uint64_t)y.start + from_row - base;
        for (uint32_t i = 0; i < group->count; i++) {
            const struct rows *source = &r->source[group->source[i]];
            band->plane[group->stage[i]] = source->data + skip * source->stride_bytes +
                                           (size_t)x.start * sample_bytes;
            band->stride_bytes[group->stage[i]] = source->stride_bytes;
        }
        return RC_OK;
    }
    axis_reach(&y, group->support, from_row, from_row + rows,
               shifted_up(r->reader->size.height_px, group->from_y_log2), &first, &end);
    from.height_px = end - first;
    double top = y.start + from_row * y.step - first;

    if (group->graph == NULL || from.height_px != group->graph_from.height_px ||
        rows != group->graph_to.height_px || top != group->graph_top) {
        zimg_image_format source = zimg_format(group, r->reader->format.depth_bits, from);
        zimg_image_format target = zimg_format(group, r->stage.depth_bits, to);
        source.active_region.left = x.start;
        source.active_region.width = x.count * x.step;
        source.active_region.top = top;
        source.active_region.height = rows * y.step;
        enum rc rc = graph_build(r, group, &source, &target, err);
        if (rc != RC_OK)
            return rc;
        group->graph_from = from;
        group->graph_to = to;
        group->graph_top = top;
    }
    for (uint32_t i = 0; i < group->count; i++) {
        struct rows *staged = &r->staged[group->stage[i]];
        enum rc rc = rows_ensure(staged, (size_t)to.width_px * sample_bytes, rows, 0, err);
        if (rc != RC_OK)
            return rc;
        band->plane[group->stage[i]] = staged->data;
        band->stride_bytes[group->stage[i]] = staged->stride_bytes;
    }
    return graph_run(r, group, first - base, err);
}

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

/* JFIF's equations, within 0.51 of exact: R = Y + 1.402 Cr, G = Y - 0.344 Cb - 0.714 Cr, B = Y + 1.772 Cb,
 * the factors split so that what is left of them fits 16 bits. The trip count is a constant so that the
 * compiler vectorises at -O2. */
static void rgb_chunk(const uint8_t *restrict y, const uint8_t *restrict cb, const uint8_t *restrict cr,
                      uint8_t *restrict red, uint8_t *restrict green, uint8_t *restrict blue)
{
    for (int i = 0; i < CHUNK; i++) {
        int16_t b = (int16_t)((cb[i] - 128) * 128), c = (int16_t)((cr[i] - 128) * 128); /* in 1/128 */
        int16_t r = (int16_t)(part(c, 26345) + 64), g = (int16_t)(part(c, 18734) - part(b, 22554) + 64);
        int16_t l = (int16_t)(64 - part(b, 14942));
        red[i] = clamped((int16_t)(y[i] + (c >> 7) + (r >> 7)));
        green[i] = clamped((int16_t)(y[i] - (c >> 7) + (g >> 7)));
        blue[i] = clamped((int16_t)(y[i] + (b >> 6) + (l >> 7)));
    }
}

static enum rc stripe_to_rgb(struct resampler *r, uint32_t height, struct image_band *band, struct err *err)
{
    uint32_t width = r->sink->size.width_px, whole = width / CHUNK * CHUNK, rest = width - whole;

    for (uint32_t i = 0; i < 3; i++) {
        enum rc rc = rows_ensure(&r->rgb[i], width, height, 0, err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t row = 0; row < height; row++) {
        const uint8_t *in[3];
        uint8_t *out[3];
        for (uint32_t i = 0; i < 3; i++) {
            in[i] = band->plane[i] + row * band->stride_bytes[i];
            out[i] = r->rgb[i].data + row * r->rgb[i].stride_bytes;
        }
        for (uint32_t x = 0; x < whole; x += CHUNK)
            rgb_chunk(in[0] + x, in[1] + x, in[2] + x, out[0] + x, out[1] + x, out[2] + x);
        if (rest > 0) {
            uint8_t tail[3][CHUNK] = {
                {0}}; /* what lies behind the row may not be ours; our own rows are padded */
            for (uint32_t i = 0; i < 3; i++)
                memcpy(tail[i], in[i] + whole, rest);
            rgb_chunk(tail[0], tail[1], tail[2], out[0] + whole, out[1] + whole, out[2] + whole);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        band->plane[i] = r->rgb[i].data;
        band->stride_bytes[i] = r->rgb[i].stride_bytes;
    }
    return RC_OK;
}

/* Output rows per stripe: as many as fit the memory meant for it; whole MCU rows of a JPEG where possible. */
static uint32_t stripe_rows(const struct resampler *r)
{
    uint64_t from = 0, to = 0;

    for (uint32_t g = 0; g < r->group_count; g++)
        for (uint32_t i = 0; i < r->group[g].count; i++) {
            from += source_row_bytes(r, r->group[g].source[i]) >> r->group[g].from_y_log2;
            to += image_plane_width(&r->stage, r->group[g].stage[i], r->sink->size.width_px) * (uint64_t)2;
        }
    double row_bytes = (double)to + (double)from * r->window.height_px / r->sink->size.height_px;
    uint32_t least = 1u << r->stage.sub_y_log2, height = r->sink->size.height_px;
    double fit = (double)STRIPE_BYTES / row_bytes;

    if (fit >= height)
        return height;
    uint32_t rows = (uint32_t)fit, step = rows >= 16 ? 16 : least;
    return rows < least ? least : rows / step * step;
}

static enum rc run_stripes(struct resampler *r, struct err *err)
{
    uint32_t height = r->sink->size.height_px, step = stripe_rows(r);

    for (uint32_t row = 0, count; row < height; row += count) {
        struct image_band band = {.y_px = row};
        uint32_t first_px = r->reader->size.height_px, end_px = 0;

        count = height - row < step ? height - row : step;
        band.height_px = count;
        for (uint32_t g = 0; g < r->group_count; g++) {
            const struct group *group = &r->group[g];
            struct axis y = axis_y(group, &r->window, height);
            uint32_t first, end, from_row = row >> group->to_y_log2;
            axis_reach(&y, group->support, from_row, from_row + shifted_up(count, group->to_y_log2),
                       shifted_up(r->reader->size.height_px, group->from_y_log2), &first, &end);
            first <<= group->from_y_log2;
            end = plane_end(end, group->from_y_log2, r->reader->size.height_px);
            first_px = first < first_px ? first : first_px;
            end_px = end > end_px ? end : end_px;
        }
        uint8_t log2 = r->group_count > 1 ? r->group[1].from_y_log2 : 0;
        end_px = plane_end(shifted_up(end_px, log2), log2,
                           r->reader->size.height_px); /* chroma rows are whole */
        enum rc rc = fetch_rows(r, first_px >> log2 << log2, end_px, err);
        for (uint32_t g = 0; rc == RC_OK && g < r->group_count; g++)
            rc = group_stripe(r, &r->group[g], row, count, &band, err);
        if (rc == RC_OK && r->stage.model != r->sink->format.model)
            rc = stripe_to_rgb(r, count, &band, err);
        if (rc == RC_OK)
            rc = r->sink->ops->write(r->sink, &band, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* Nothing changes: hands on the reader's bands, cropped by moving pointers. */
static enum rc pass_bands(struct resampler *r, struct err *err)
{
    const struct image_format *from = &r->reader->format;
    uint32_t x = (uint32_t)r->window.x_px, y = (uint32_t)r->window.y_px, end = y + r->sink->size.height_px;

    do {
        enum rc rc = read_band(r, err);
        if (rc != RC_OK)
            return rc;
        uint32_t top = r->band.y_px, bottom = top + r->band.height_px;
        uint32_t low = top > y ? top : y, high = bottom < end ? bottom : end;
        if (low >= high)
            continue;
        struct image_band out = {.y_px = low - y, .height_px = high - low};
        for (uint32_t g = 0; g < r->group_count; g++)
            for (uint32_t i = 0; i < r->group[g].count; i++) {
                uint32_t plane = r->group[g].source[i], to = r->group[g].stage[i];
                size_t stride = r->band.stride_bytes[plane];
                out.plane[to] = r->band.plane[plane] + ((low - top) >> r->group[g].from_y_log2) * stride +
                                (size_t)(x >> r->group[g].from_x_log2) * (from->depth_bits / 8u);
                out.stride_bytes[to] = stride;
            }
        rc = r->sink->ops->write(r->sink, &out, err);
        if (rc != RC_OK)
            return rc;
    } while (r->band.y_px + r->band.height_px < end);
    return RC_OK;
}

enum rc image_resample_run(struct image_reader *reader, const struct image_window *window,
                           struct image_sink *sink, bool (*cancelled)(void *context), void *context,
                           struct err *err)
{
    OWN(resampler_done)
    struct resampler r = {
        .reader = reader,
        .sink = sink,
        .window = *window,
        .cancelled = cancelled,
        .context = context,
    };
    bool untouched = true;

    r.group_count = groups_of(&reader->format, &sink->format, &r.stage, r.group);
    for (uint32_t g = 0; g < r.group_count; g++) {
        r.group[g].copied = group_copies(&r.group[g], &reader->format, &sink->format, reader->size, window,
                                         sink->size);
        untouched = untouched && r.group[g].copied;
    }
    if (untouched && r.stage.model == sink->format.model)
        return pass_bands(&r, err);
    return run_stripes(&r, err);
}
