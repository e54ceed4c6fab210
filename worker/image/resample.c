#include "worker/image/resample.h"

#include "base/own.h"
#include "worker/image/resample_geometry.h"
#include "worker/image/ycc_rgb.h"

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

#define STRIPE_BYTES     ((uint64_t)4 << 20)   /* rows of a stripe, without the kernel's surround */
#define STRIPE_MAX_BYTES ((uint64_t)384 << 20) /* of the source, the kernel's surround included */
#define ALIGN_BYTES      64u                   /* what zimg's widest instructions want of rows */

/* Rows of one plane in memory of our own. */
struct rows {
    uint8_t *data;
    size_t stride_bytes;
    uint64_t capacity;
};

/* The planes of one geometry and what makes their output. */
struct step {
    struct image_resample_group group;
    bool copied;              /* nothing to do but to point at the right samples */
    zimg_filter_graph *graph; /* of the last stripe; fits the next one when its geometry is the same */
    uint32_t graph_from_rows, graph_to_rows;
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
    uint32_t step_count;
    struct step step[2];

    struct rows source[IMAGE_MAX_PLANES];
    uint32_t first_row, end_row; /* of the reader's picture in `source`; first_row fits the subsampling */
    struct image_band band;      /* the last one read: rows below end_row of it have been taken over */

    struct rows staged[IMAGE_MAX_PLANES];
    struct rows rgb[3];
    struct rows scratch;
};

/* ---- memory ---- */

/* Rows of `row_bytes`, at least `count` of them; the first `kept` rows stay as they are. */
static enum rc rows_ensure(struct rows *rows, size_t row_bytes, uint64_t count, uint64_t kept,
                           struct err *err)
{
    size_t stride = (row_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;

    if (rows->data != NULL && rows->stride_bytes == stride && rows->capacity >= count)
        return RC_OK;
    /* Sides are below 2^32 and a sample has at most two bytes. */
    uint8_t *data = count <= SIZE_MAX / stride ? aligned_alloc(ALIGN_BYTES, stride * (size_t)count) : NULL;
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
        zimg_filter_graph_free(r->step[i].graph);
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
static void take_rows(struct resampler *r, const struct image_resample_group *group, uint32_t until)
{
    const uint8_t log2 = group->from_y_log2;
    uint32_t skip = (r->end_row - r->band.y_px) >> log2, to = (r->end_row - r->first_row) >> log2;
    uint32_t count = image_resample_samples(until - r->end_row, log2);

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
    uint64_t row_bytes = 0;

    for (uint32_t g = 0; g < r->step_count; g++)
        for (uint32_t i = 0; i < r->step[g].group.count; i++)
            row_bytes += source_row_bytes(r, r->step[g].group.source[i]) >> r->step[g].group.from_y_log2;
    if (end - first > STRIPE_MAX_BYTES / (row_bytes + 1))
        return err_set(err, RC_TOO_LARGE,
                       "reducing the picture that far takes %u rows of %llu bytes at a time", end - first,
                       (unsigned long long)row_bytes);

    for (uint32_t g = 0; g < r->step_count; g++) {
        const struct image_resample_group *group = &r->step[g].group;
        const uint8_t log2 = group->from_y_log2;
        for (uint32_t i = 0; i < group->count; i++) {
            struct rows *rows = &r->source[group->source[i]];
            if (kept > 0 && first > r->first_row)
                memmove(rows->data,
                        rows->data + (size_t)((first - r->first_row) >> log2) * rows->stride_bytes,
                        (size_t)image_resample_samples(kept, log2) * rows->stride_bytes);
            enum rc rc = rows_ensure(rows, source_row_bytes(r, group->source[i]),
                                     image_resample_samples(end - first, log2),
                                     image_resample_samples(kept, log2), err);
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
        for (uint32_t g = 0; g < r->step_count; g++)
            take_rows(r, &r->step[g].group, until);
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

static zimg_image_format zimg_format(const struct image_resample_group *group, uint8_t depth_bits,
                                     struct image_size size)
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

static enum rc graph_build(struct resampler *r, struct step *step, const zimg_image_format *from,
                           const zimg_image_format *to, struct err *err)
{
    zimg_graph_builder_params params;

    zimg_filter_graph_free(TAKE_PTR(step->graph));
    zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
    params.resample_filter = step->group.kernel == IMAGE_RESAMPLE_BILINEAR ? ZIMG_RESIZE_BILINEAR
                                                                           : ZIMG_RESIZE_BICUBIC;
    if (params.resample_filter == ZIMG_RESIZE_BICUBIC) {
        params.filter_param_a = 0;
        params.filter_param_b = 0.5;
    }
    params.dither_type = ZIMG_DITHER_NONE;
    params.cpu_type = ZIMG_CPU_AUTO;
    step->graph = zimg_filter_graph_build(from, to, &params);
    if (step->graph == NULL || zimg_filter_graph_get_tmp_size(step->graph, &step->scratch_bytes) != 0)
        return zimg_failed(err);
    /* Shared by the graphs of all groups, which outlive stripes: it only ever grows. */
    if (r->scratch.data != NULL && r->scratch.stride_bytes >= step->scratch_bytes)
        return RC_OK;
    return rows_ensure(&r->scratch, step->scratch_bytes + 1, 1, 0, err);
}

/* zimg's alpha is always its plane 3. */
static uint32_t zimg_slot(const struct image_resample_group *group, uint32_t i)
{
    return group->weighted && i == group->count - 1 ? 3 : i;
}

static enum rc graph_run(struct resampler *r, const struct step *step, uint64_t skip_rows, struct err *err)
{
    const struct image_resample_group *group = &step->group;
    uint32_t runs = group->weighted ? 1 : group->count, planes = group->weighted ? group->count : 1;

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
        if (zimg_filter_graph_process(step->graph, &from, &to, r->scratch.data, NULL, NULL, NULL, NULL) != 0)
            return zimg_failed(err);
    }
    return RC_OK;
}

/* ---- stripes ---- */

/* Points `band` at the samples of output rows from `row` on, which are the reader's own. */
static void step_copy(const struct resampler *r, const struct step *step, uint32_t row,
                      struct image_band *band)
{
    const struct image_resample_group *group = &step->group;
    struct image_resample_axis x = image_resample_axis_x(group, &r->window, r->sink->size.width_px);
    struct image_resample_axis y = image_resample_axis_y(group, &r->window, r->sink->size.height_px);
    uint64_t skip = (uint64_t)y.start + (row >> group->to_y_log2) - (r->first_row >> group->from_y_log2);

    for (uint32_t i = 0; i < group->count; i++) {
        const struct rows *source = &r->source[group->source[i]];
        band->plane[group->stage[i]] = source->data + skip * source->stride_bytes +
                                       (size_t)x.start * (r->stage.depth_bits / 8u);
        band->stride_bytes[group->stage[i]] = source->stride_bytes;
    }
}

/* The graph for output rows [row, row + rows) of the group out of its source rows [first, end). */
static enum rc step_graph(struct resampler *r, struct step *step, uint32_t row, uint32_t rows, uint32_t first,
                          uint32_t end, struct err *err)
{
    const struct image_resample_group *group = &step->group;
    struct image_resample_axis x = image_resample_axis_x(group, &r->window, r->sink->size.width_px);
    struct image_resample_axis y = image_resample_axis_y(group, &r->window, r->sink->size.height_px);
    uint32_t width = image_resample_samples(r->reader->size.width_px, group->from_x_log2);
    double top = y.start + row * y.step - first;

    if (step->graph != NULL && end - first == step->graph_from_rows && rows == step->graph_to_rows &&
        top == step->graph_top)
        return RC_OK;
    zimg_image_format from = zimg_format(group, r->reader->format.depth_bits,
                                         (struct image_size){width, end - first});
    zimg_image_format to = zimg_format(group, r->stage.depth_bits, (struct image_size){x.count, rows});
    from.active_region.left = x.start;
    from.active_region.width = x.count * x.step;
    from.active_region.top = top;
    from.active_region.height = rows * y.step;
    step->graph_from_rows = end - first;
    step->graph_to_rows = rows;
    step->graph_top = top;
    return graph_build(r, step, &from, &to, err);
}

/* Makes output rows [row, row + height) of the step's planes and points `band` at them. */
static enum rc step_stripe(struct resampler *r, struct step *step, uint32_t row, uint32_t height,
                           struct image_band *band, struct err *err)
{
    const struct image_resample_group *group = &step->group;
    struct image_resample_axis y = image_resample_axis_y(group, &r->window, r->sink->size.height_px);
    uint32_t from_row = row >> group->to_y_log2, rows = image_resample_samples(height, group->to_y_log2);
    uint32_t width = image_resample_samples(r->sink->size.width_px, group->to_x_log2), first, end;

    image_resample_reach(&y, group, from_row, from_row + rows,
                         image_resample_samples(r->reader->size.height_px, group->from_y_log2), &first, &end);
    enum rc rc = step_graph(r, step, from_row, rows, first, end, err);
    for (uint32_t i = 0; rc == RC_OK && i < group->count; i++) {
        struct rows *staged = &r->staged[group->stage[i]];
        rc = rows_ensure(staged, (size_t)width * (r->stage.depth_bits / 8u), rows, 0, err);
        band->plane[group->stage[i]] = staged->data;
        band->stride_bytes[group->stage[i]] = staged->stride_bytes;
    }
    return rc == RC_OK ? graph_run(r, step, first - (r->first_row >> group->from_y_log2), err) : rc;
}

static enum rc stripe_to_rgb(struct resampler *r, uint32_t height, struct image_band *band, struct err *err)
{
    for (uint32_t i = 0; i < 3; i++) {
        enum rc rc = rows_ensure(&r->rgb[i], r->sink->size.width_px, height, 0, err);
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
        image_ycc_to_rgb(in, out, r->sink->size.width_px);
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

    for (uint32_t g = 0; g < r->step_count; g++)
        for (uint32_t i = 0; i < r->step[g].group.count; i++) {
            from += source_row_bytes(r, r->step[g].group.source[i]) >> r->step[g].group.from_y_log2;
            to += image_plane_width(&r->stage, r->step[g].group.stage[i], r->sink->size.width_px) *
                  (uint64_t)2;
        }
    double row_bytes = (double)to + (double)from * r->window.height_px / r->sink->size.height_px;
    uint32_t least = 1u << r->stage.sub_y_log2, height = r->sink->size.height_px;
    double fit = (double)STRIPE_BYTES / row_bytes;

    if (fit >= height)
        return height;
    uint32_t rows = (uint32_t)fit, step = rows >= 16 ? 16 : least;
    return rows < least ? least : rows / step * step;
}

/* The reader's rows [*first, *end) that output rows [row, row + count) are made of; whole chroma rows. */
static void stripe_reach(const struct resampler *r, uint32_t row, uint32_t count, uint32_t *first,
                         uint32_t *end)
{
    uint32_t all = r->reader->size.height_px;
    uint8_t log2 = r->step_count > 1 ? r->step[1].group.from_y_log2 : 0;

    *first = all;
    *end = 0;
    for (uint32_t g = 0; g < r->step_count; g++) {
        const struct image_resample_group *group = &r->step[g].group;
        struct image_resample_axis y = image_resample_axis_y(group, &r->window, r->sink->size.height_px);
        uint32_t low, high, from_row = row >> group->to_y_log2;
        image_resample_reach(&y, group, from_row, from_row + image_resample_samples(count, group->to_y_log2),
                             image_resample_samples(all, group->from_y_log2), &low, &high);
        low <<= group->from_y_log2;
        high = image_resample_pixels(high, group->from_y_log2, all);
        *first = low < *first ? low : *first;
        *end = high > *end ? high : *end;
    }
    *first = *first >> log2 << log2;
    *end = image_resample_pixels(image_resample_samples(*end, log2), log2, all);
}

static enum rc run_stripes(struct resampler *r, struct err *err)
{
    uint32_t height = r->sink->size.height_px, most = stripe_rows(r);

    for (uint32_t row = 0, count; row < height; row += count) {
        struct image_band band = {.y_px = row};
        uint32_t first, end;

        count = height - row < most ? height - row : most;
        band.height_px = count;
        stripe_reach(r, row, count, &first, &end);
        enum rc rc = fetch_rows(r, first, end, err);
        for (uint32_t g = 0; rc == RC_OK && g < r->step_count; g++) {
            if (r->step[g].copied)
                step_copy(r, &r->step[g], row, &band);
            else
                rc = step_stripe(r, &r->step[g], row, count, &band, err);
        }
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
        for (uint32_t g = 0; g < r->step_count; g++)
            for (uint32_t i = 0; i < r->step[g].group.count; i++) {
                uint32_t plane = r->step[g].group.source[i], to = r->step[g].group.stage[i];
                size_t stride = r->band.stride_bytes[plane];
                out.plane[to] = r->band.plane[plane] +
                                ((low - top) >> r->step[g].group.from_y_log2) * stride +
                                (size_t)(x >> r->step[g].group.from_x_log2) * (from->depth_bits / 8u);
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

    struct image_resample_group group[2];
    r.step_count = image_resample_groups(&reader->format, &sink->format, &r.stage, group);
    for (uint32_t g = 0; g < r.step_count; g++) {
        r.step[g].group = group[g];
        r.step[g].copied = image_resample_copies(&group[g], &reader->format, &sink->format, reader->size,
                                                 window, sink->size);
        untouched = untouched && r.step[g].copied;
    }
    if (untouched && r.stage.model == sink->format.model)
        return pass_bands(&r, err);
    return run_stripes(&r, err);
}
