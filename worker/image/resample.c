#include "worker/image/resample.h"

#include "base/own.h"
#include "worker/image/resample_lane.h"
#include "worker/image/ycc_rgb.h"

/* Driven by what the reader lends: every row of a band is taken into account while the band is there, and
 * nothing of it is kept. So memory is a few rows, whatever the reduction, and the reader's own band.
 *
 * Each group of planes advances on its own: chroma of 4:2:0 is a picture of half the size with a window of
 * half the size. Finished rows wait until both groups have whole rows of MCUs. */

/* Written at a time where possible: as many rows of MCUs as are still in the cache then. */
#define MCU_ROWS IMAGE_RESAMPLE_MCU_ROWS
#define WRITE_PX 65536u

struct resampler {
    struct image_reader *reader;
    struct image_sink *sink;
    struct image_window window;
    bool (*cancelled)(void *context);
    void *context;

    struct image_format stage; /* what the lanes yield: sink->format, or YCBCR 4:4:4 on its way to RGB */
    uint32_t lane_count;
    struct image_resample_lane lane[2];
    struct image_resample_bench bench;
    struct image_band band; /* the last one read */
    uint32_t written_rows;
    struct image_resample_rows rgb[3];
};

static void resampler_done(struct resampler *r)
{
    for (uint32_t g = 0; g < 2; g++)
        image_resample_lane_done(&r->lane[g]);
    image_resample_bench_done(&r->bench);
    for (uint32_t i = 0; i < 3; i++)
        free(r->rgb[i].data);
}

static enum rc prepare(struct resampler *r, struct err *err)
{
    uint32_t rows = WRITE_PX / r->sink->size.width_px / MCU_ROWS * MCU_ROWS;
    uint32_t all = (r->sink->size.height_px + MCU_ROWS - 1) / MCU_ROWS * MCU_ROWS;
    enum rc rc = RC_OK;

    r->bench.rows_per_write = rows < MCU_ROWS ? MCU_ROWS : rows > all ? all : rows;
    for (uint32_t g = 0; rc == RC_OK && g < r->lane_count; g++)
        rc = image_resample_lane_prepare(&r->lane[g], &r->bench, &r->window, r->sink->size, err);
    return rc;
}

/* ---- output ---- */

static enum rc band_to_rgb(struct resampler *r, struct image_band *band, struct err *err)
{
    for (uint32_t i = 0; i < 3; i++) {
        enum rc rc = image_resample_rows_ensure(&r->rgb[i], r->sink->size.width_px, band->height_px, 0, err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t row = 0; row < band->height_px; row++) {
        const uint8_t *in[3];
        uint8_t *out[3];
        for (uint32_t i = 0; i < 3; i++) {
            in[i] = band->plane[i] + row * band->stride_bytes[i];
            out[i] = image_resample_row(&r->rgb[i], row);
        }
        image_ycc_to_rgb(in, out, r->sink->size.width_px);
    }
    for (uint32_t i = 0; i < 3; i++) {
        band->plane[i] = r->rgb[i].data;
        band->stride_bytes[i] = r->rgb[i].stride_bytes;
    }
    return RC_OK;
}

/* Writes what all lanes have finished, if that is enough or the end of the picture. */
static enum rc write_done(struct resampler *r, bool *ret_wrote, struct err *err)
{
    uint32_t left = r->sink->size.height_px - r->written_rows, ready = left;

    for (uint32_t g = 0; g < r->lane_count; g++) {
        uint64_t rows = (uint64_t)r->lane[g].done_rows << r->lane[g].group.to_y_log2;
        ready = rows < ready ? (uint32_t)rows : ready;
    }
    *ret_wrote = ready > 0 && (ready == left || ready >= r->bench.rows_per_write);
    if (!*ret_wrote)
        return RC_OK;
    if (ready != left)
        ready = ready / MCU_ROWS * MCU_ROWS;
    struct image_band band = {.y_px = r->written_rows, .height_px = ready};
    for (uint32_t i = 0; i < image_format_planes(&r->stage); i++)
        for (uint32_t g = 0; g < r->lane_count; g++)
            if (r->lane[g].done[i].data != NULL) {
                band.plane[i] = r->lane[g].done[i].data;
                band.stride_bytes[i] = r->lane[g].done[i].stride_bytes;
            }
    enum rc rc = r->stage.model != r->sink->format.model ? band_to_rgb(r, &band, err) : RC_OK;
    if (rc == RC_OK)
        rc = r->sink->ops->write(r->sink, &band, err);
    if (rc != RC_OK)
        return rc;
    for (uint32_t g = 0; g < r->lane_count; g++)
        image_resample_lane_drop(&r->lane[g], image_resample_samples(ready, r->lane[g].group.to_y_log2));
    r->written_rows += ready;
    return RC_OK;
}

/* ---- input ---- */

static enum rc read_band(struct resampler *r, struct err *err)
{
    if (r->cancelled != NULL && r->cancelled(r->context))
        return err_set(err, RC_CANCELLED, "nobody waits for the picture any more");
    return r->reader->ops->read(r->reader, &r->band, err);
}

/* Takes all there is to be had from one piece per lane, which are of the same rows. */
static enum rc take_pieces(struct resampler *r, const struct image_resample_piece piece[2], struct err *err)
{
    bool wrote = true;
    enum rc rc = RC_OK;

    while (wrote) {
        for (uint32_t g = 0; rc == RC_OK && g < r->lane_count; g++)
            rc = image_resample_lane_advance(&r->lane[g], &r->bench, &piece[g],
                                             r->bench.rows_per_write >> r->lane[g].group.to_y_log2, err);
        if (rc == RC_OK)
            rc = write_done(r, &wrote, err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t g = 0; rc == RC_OK && g < r->lane_count; g++) {
        rc = image_resample_lane_advance(&r->lane[g], &r->bench, &piece[g], UINT32_MAX, err);
        if (rc == RC_OK && !r->lane[g].copied)
            image_resample_lane_leave(&r->lane[g], &r->bench, &piece[g]);
    }
    return rc == RC_OK ? write_done(r, &wrote, err) : rc;
}

static enum rc take_band(struct resampler *r, struct err *err)
{
    struct image_resample_piece piece[2] = {{.top = 0}};

    for (uint32_t g = 0; g < r->lane_count; g++) {
        const struct image_resample_group *group = &r->lane[g].group;
        piece[g].top = r->band.y_px >> group->from_y_log2;
        piece[g].bottom = image_resample_samples(r->band.y_px + r->band.height_px, group->from_y_log2);
        for (uint32_t i = 0; i < group->count; i++) {
            piece[g].plane[i] = r->band.plane[group->source[i]];
            piece[g].stride_bytes[i] = r->band.stride_bytes[group->source[i]];
        }
    }
    if (!r->bench.deep)
        return take_pieces(r, piece, err);
    for (uint32_t from = piece[0].top, until; from < piece[0].bottom; from = until) {
        until = piece[0].bottom - from < IMAGE_RESAMPLE_DEEP_ROWS ? piece[0].bottom
                                                                  : from + IMAGE_RESAMPLE_DEEP_ROWS;
        struct image_resample_piece deep[2] = {
            image_resample_lane_deepen(&r->lane[0], &r->bench, &piece[0], from, until), {.top = 0}};
        enum rc rc = take_pieces(r, deep, err);
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
        for (uint32_t g = 0; g < r->lane_count; g++)
            for (uint32_t i = 0; i < r->lane[g].group.count; i++) {
                const struct image_resample_group *group = &r->lane[g].group;
                uint32_t plane = group->source[i], to = group->stage[i];
                size_t stride = r->band.stride_bytes[plane];
                out.plane[to] = r->band.plane[plane] + ((low - top) >> group->from_y_log2) * stride +
                                (size_t)(x >> group->from_x_log2) * (from->depth_bits / 8u);
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
    r.lane_count = image_resample_groups(&reader->format, &sink->format, &r.stage, group);
    for (uint32_t g = 0; g < r.lane_count; g++) {
        r.lane[g].group = group[g];
        r.lane[g].copied = image_resample_copies(&group[g], &reader->format, &sink->format, reader->size,
                                                 window, sink->size);
        untouched = untouched && r.lane[g].copied;
    }
    if (untouched && r.stage.model == sink->format.model)
        return pass_bands(&r, err);
    r.bench = (struct image_resample_bench){
        .filter = image_resample_filter_best(),
        .from = reader->size,
        .from_depth_bits = reader->format.depth_bits,
        .depth_bits = r.stage.depth_bits,
        .deep = (reader->format.depth_bits == 16 || group[0].weighted) && !untouched,
    };
    enum rc rc = prepare(&r, err);
    while (rc == RC_OK && r.written_rows < sink->size.height_px) {
        rc = read_band(&r, err);
        if (rc == RC_OK)
            rc = take_band(&r, err);
    }
    return rc;
}
