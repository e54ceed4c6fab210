#include "worker/render/render.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/image/resample.h"
#include "worker/image/rotate.h"
#include "worker/render/ahead.h"
#include "worker/render/stitch.h"
#include "worker/render/tap.h"

#include <math.h>

enum image_file_type render_file_type(enum iiif_format format)
{
    static const enum image_file_type type[IIIF_FORMATS] = {
        [IIIF_JPG] = IMAGE_JPEG, [IIIF_PNG] = IMAGE_PNG, [IIIF_WEBP] = IMAGE_WEBP,
        [IIIF_TIF] = IMAGE_TIFF, [IIIF_GIF] = IMAGE_GIF, [IIIF_AVIF] = IMAGE_AVIF,
    };
    return type[format];
}

/* ---- what to read ---- */

/* Where to read: a window in the stored pixels of a level, after the decoder has shrunk it. */
struct reading {
    uint32_t level, shrink_log2;
    struct image_size level_size; /* stored, after shrinking */
    struct image_window window;   /* wanted, stored orientation */
    struct image_size wanted;     /* the answer's size, stored orientation */
};

static bool is_free_angle(const struct iiif_plan *plan)
{
    return fmod(plan->rotation_deg, 90.0) != 0.0;
}

/* The window's place before `symmetry` turned a picture of `upright` size. */
static struct image_window window_before(struct image_symmetry symmetry, double upright_width_px,
                                         double upright_height_px, struct image_window w)
{
    for (uint8_t turn = 0; turn < symmetry.quarter_turns; turn++) { /* undo one clockwise quarter */
        w = (struct image_window){.x_px = w.y_px,
                                  .y_px = upright_width_px - w.x_px - w.width_px,
                                  .width_px = w.height_px,
                                  .height_px = w.width_px};
        double swap = upright_width_px;
        upright_width_px = upright_height_px;
        upright_height_px = swap;
    }
    if (symmetry.mirror)
        w.x_px = upright_width_px - w.x_px - w.width_px;
    return w;
}

static void choose_reading(const struct image_source *source, const struct iiif_plan *plan,
                           struct reading *ret)
{
    const struct image_pyramid *pyramid = &source->pyramid;
    const struct image_level *level = &pyramid->level[plan->level];
    struct image_symmetry upright = image_symmetry_of_orientation(pyramid->orientation);
    struct image_size level_upright = image_size_upright(level->size, pyramid->orientation);
    struct image_window window = {plan->window_x_px, plan->window_y_px, plan->window_width_px,
                                  plan->window_height_px};
    struct reading r = {.level = plan->level};

    window = window_before(upright, level_upright.width_px, level_upright.height_px, window);
    r.wanted = image_orientation_swaps(pyramid->orientation)
                   ? (struct image_size){plan->size.height_px, plan->size.width_px}
                   : plan->size;
    if (source->shrinks && !plan->exact)
        while (r.shrink_log2 < 3 && window.width_px / (2u << r.shrink_log2) >= r.wanted.width_px &&
               window.height_px / (2u << r.shrink_log2) >= r.wanted.height_px)
            r.shrink_log2++;
    uint32_t shrink = 1u << r.shrink_log2;
    r.window = (struct image_window){window.x_px / shrink, window.y_px / shrink, window.width_px / shrink,
                                     window.height_px / shrink};
    r.level_size = image_source_shrunk_size(level->size, r.shrink_log2);
    *ret = r;
}

/* The same part of the level in stored pixels. */
static struct image_region before_shrinking(const struct image_region *region, uint32_t shrink_log2,
                                            struct image_size level)
{
    uint64_t right = ((uint64_t)region->x_px + region->width_px) << shrink_log2,
             bottom = ((uint64_t)region->y_px + region->height_px) << shrink_log2;
    struct image_region whole = {.x_px = region->x_px << shrink_log2, .y_px = region->y_px << shrink_log2};
    whole.width_px = (uint32_t)(right < level.width_px ? right : level.width_px) - whole.x_px;
    whole.height_px = (uint32_t)(bottom < level.height_px ? bottom : level.height_px) - whole.y_px;
    return whole;
}

/* ---- what to make of it ---- */

/* The chain, from its end: each step takes over what stands in `sink` and puts itself there. */
struct chain {
    struct image_sink *sink;
    struct image_encode_options encode; /* lent to the encoder */
    const struct render_output *output;
    struct render_spent *spent;
};

static void chain_close(struct chain *chain)
{
    image_sink_close(&chain->sink);
}

/* The pixels an encoder can be offered: what colour makes of the source, without colour where the quality has
 * none. */
static struct image_format offered_format(const struct picture *picture, const struct iiif_plan *plan)
{
    struct image_format format = image_colour_output(picture->colour);
    bool gray = plan->quality == IIIF_GRAY || plan->quality == IIIF_BITONAL;
    if (gray)
        format.model = IMAGE_GRAY;
    else if (is_free_angle(plan) && format.model == IMAGE_YCBCR)
        format.model = IMAGE_RGB;
    if (format.model != IMAGE_YCBCR)
        format.sub_x_log2 = format.sub_y_log2 = 0;
    if (is_free_angle(plan) && format.alpha == IMAGE_ALPHA_NONE &&
        image_encode_has_alpha(render_file_type(plan->format)))
        format.alpha = IMAGE_ALPHA_STRAIGHT;
    return format;
}

bool render_carries_metadata(const struct picture *picture, const struct iiif_plan *plan,
                             const struct render_options *options)
{
    const struct image_source *source = picture->source;
    if (source->metadata.icc.length == 0 && !source->has_metadata)
        return false;
    return options->metadata == RENDER_METADATA_ALWAYS ||
           (options->metadata == RENDER_METADATA_FULL_IMAGE && plan->whole_picture);
}

enum rc render_choose_metadata(const struct picture *picture, const struct iiif_plan *plan,
                               const struct render_options *options, bool gray,
                               struct image_encode_options *encode, struct err *err)
{
    const struct image_metadata *metadata = NULL;
    if (!render_carries_metadata(picture, plan, options))
        return RC_OK;
    enum rc rc = image_source_metadata(picture->source, &metadata, err);
    if (rc != RC_OK)
        return rc;
    if (metadata->icc.length > 0)
        encode->icc = image_colour_output_profile(gray);
    encode->exif = &metadata->exif;
    encode->xmp = &metadata->xmp;
    encode->iptc = &metadata->iptc;
    return RC_OK;
}

/* The encoder and the turning: everything behind the finished, upright-or-not pixels of size `wanted`. */
static enum rc chain_end(const struct picture *picture, const struct iiif_plan *plan,
                         const struct reading *reading, const struct render_options *options,
                         struct chain *chain, struct err *err)
{
    enum image_file_type type = render_file_type(plan->format);
    struct image_symmetry symmetry = image_symmetry_then(
        image_symmetry_of_orientation(picture->source->pyramid.orientation),
        (struct image_symmetry){.mirror = plan->mirror,
                                .quarter_turns = is_free_angle(plan) ? 0
                                                                     : (uint8_t)(plan->rotation_deg / 90.0)});
    struct image_size turned = image_symmetry_size(symmetry, reading->wanted);
    struct image_size canvas = is_free_angle(plan) ? image_rotate_canvas(turned, plan->rotation_deg) : turned;
    uint32_t edge_px = canvas.width_px > canvas.height_px ? canvas.width_px : canvas.height_px;
    if (edge_px > image_encode_max_edge_px(type))
        return err_set(err, RC_BAD_REQUEST,
                       "format '%s' holds at most %u pixels along an edge, the answer has %u",
                       iiif_format_name(plan->format), image_encode_max_edge_px(type), edge_px);

    struct image_format offered = offered_format(picture, plan);
    struct image_format format = image_encode_input(type, &offered);
    format = image_symmetry_format(symmetry, reading->wanted, &format);
    chain->encode = (struct image_encode_options){.jpeg_quality = options->jpeg_quality,
                                                  .webp_quality = options->webp_quality,
                                                  .avif_quality = options->avif_quality,
                                                  .bitonal = plan->quality == IIIF_BITONAL &&
                                                             !is_free_angle(plan)};
    enum rc rc = render_choose_metadata(picture, plan, options, format.model == IMAGE_GRAY, &chain->encode,
                                        err);
    if (rc == RC_OK)
        rc = image_encode_open(type, &format, canvas, &chain->encode, chain->output->bytes, &chain->sink,
                               err);
    if (rc == RC_OK)
        rc = render_tap_open(TAKE_PTR(chain->sink), chain->output, image_encode_streams(type), chain->spent,
                             &chain->sink, err);
    if (rc == RC_OK && is_free_angle(plan))
        rc = image_rotate_by_degrees(plan->rotation_deg, turned, &format, TAKE_PTR(chain->sink), &chain->sink,
                                     err);
    if (rc == RC_OK)
        rc = image_rotate_by_symmetry(symmetry, reading->wanted, TAKE_PTR(chain->sink), &chain->sink, err);
    return rc;
}

/* The colour: from what the resampler can deliver to what the end of the chain wants. */
static enum rc chain_colour(const struct picture *picture, const struct iiif_plan *plan, struct chain *chain,
                            struct err *err)
{
    enum rc rc = RC_OK;
    if (plan->quality == IIIF_BITONAL)
        rc = image_colour_threshold(TAKE_PTR(chain->sink), &chain->sink, err);
    if (rc != RC_OK)
        return rc;
    struct image_format from = image_colour_output(picture->colour);
    if (from.model == IMAGE_YCBCR) { /* untouched by colour: the resampler itself makes it what is wanted */
        const struct image_format *wanted = &chain->sink->format;
        from.model = wanted->model;
        from.sub_x_log2 = wanted->sub_x_log2;
        from.sub_y_log2 = wanted->sub_y_log2;
    }
    rc = image_colour_to_layout(&from, TAKE_PTR(chain->sink), &chain->sink, err);
    if (rc == RC_OK)
        rc = image_colour_sink(picture->colour, TAKE_PTR(chain->sink), &chain->sink, err);
    return rc;
}

static enum rc run(const struct picture *picture, const struct iiif_plan *plan,
                   const struct render_options *options, const struct render_output *output,
                   struct render_spent *spent, struct err *err)
{
    struct reading reading;
    choose_reading(picture->source, plan, &reading);
    OWN(chain_close) struct chain chain = {.output = output, .spent = spent};
    enum rc rc = chain_end(picture, plan, &reading, options, &chain, err);
    if (rc == RC_OK)
        rc = chain_colour(picture, plan, &chain, err);
    if (rc != RC_OK)
        return rc;
    struct image_region region = image_resample_reads(&picture->source->format, &chain.sink->format,
                                                      reading.level_size, &reading.window, reading.wanted);
    reading.window.x_px -= region.x_px;
    reading.window.y_px -= region.y_px;
    OWN(image_reader_close) struct image_reader *reader = NULL;
    const struct image_region whole = before_shrinking(&region, reading.shrink_log2,
                                                       picture->source->pyramid.level[reading.level].size);
    rc = image_source_want(picture->source, reading.level, &whole, err);
    if (rc == RC_OK && output->help != NULL &&
        render_ahead_suits(picture->source, reading.level, reading.shrink_log2, &region))
        rc = render_ahead_read(picture->source, reading.level, reading.shrink_log2, &region, output->help,
                               spent, &reader, err);
    else if (rc == RC_OK)
        rc = image_source_read(picture->source, reading.level, reading.shrink_log2, &region, &reader, err);
    if (rc == RC_OK)
        rc = render_tap_read(TAKE_PTR(reader), spent, &reader, err);
    if (rc == RC_OK)
        rc = image_resample_run(reader, &reading.window, chain.sink, output->cancelled, output->context, err);
    if (rc == RC_OK)
        rc = chain.sink->ops->finish(chain.sink, err);
    return rc;
}

enum rc render_want(const struct picture *picture, const struct iiif_plan *plan, struct err *err)
{
    struct image_source *source = picture->source;
    struct reading reading;
    if (source->blob->ops->want == NULL)
        return RC_OK;
    choose_reading(source, plan, &reading);
    const struct image_format *format = &source->format;
    struct image_region region = image_resample_reads(format, format, reading.level_size, &reading.window,
                                                      reading.wanted);
    region = before_shrinking(&region, reading.shrink_log2, source->pyramid.level[reading.level].size);
    return image_source_want(source, reading.level, &region, err);
}

enum rc render_picture(const struct picture *picture, const struct iiif_plan *plan,
                       const struct render_options *options, const struct render_output *output,
                       struct render_spent *ret_spent, struct err *err)
{
    int64_t begun_ns = clock_thread_cpu_ns();
    struct render_spent spent = {0};
    enum rc rc = render_stitch(picture, plan, options, output, err);
    spent.joined = rc == RC_OK;
    if (rc == RC_UNSUPPORTED)
        rc = run(picture, plan, options, output, &spent, err);
    spent.decode_ns += spent.helped_ns;
    spent.total_ns = clock_thread_cpu_ns() - begun_ns + spent.helped_ns;
    *ret_spent = spent;
    return rc;
}

#define MOST_UNSENT_BYTES ((uint64_t)8 << 20) /* of an answer that leaves while it is made */

uint64_t render_memory_bytes(const struct picture *picture, const struct iiif_plan *plan)
{
    const struct image_source *source = picture->source;
    struct reading reading;
    choose_reading(source, plan, &reading);
    uint64_t sample_bytes = (uint64_t)image_format_planes(&source->format) * (source->format.depth_bits / 8);
    uint32_t band_px = source->pyramid.level[plan->level].tile.height_px;
    if (band_px == 0)
        band_px = 64;
    double rows_px = reading.window.height_px < band_px ? reading.window.height_px : band_px;
    /* What is read, what the resampler keeps of it, and what helpers have read ahead. */
    uint64_t bytes = (uint64_t)(reading.window.width_px * rows_px) * sample_bytes * 3;
    /* A compressed answer takes less, but the formats and turns that hold the picture take it whole. */
    bool leaves_early = image_encode_streams(render_file_type(plan->format)) && plan->rotation_deg == 0.0 &&
                        !image_orientation_swaps(source->pyramid.orientation);
    uint64_t area = image_size_area(plan->size);
    bytes += leaves_early && area > MOST_UNSENT_BYTES ? MOST_UNSENT_BYTES : area * (leaves_early ? 1 : 4);
    return bytes;
}
