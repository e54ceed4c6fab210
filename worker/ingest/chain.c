#include "worker/ingest/chain.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/resample.h"
#include "worker/ingest/smooth.h"
#include "worker/ingest/steps.h"
#include "worker/ingest/turn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void warn(struct ingest_result *result, const char *format, ...)
{
    if (result->warning_count == INGEST_MAX_WARNINGS)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->warning[result->warning_count++], sizeof result->warning[0], format, arguments);
    va_end(arguments);
}

/* ---- decisions ---- */

static bool holds_8_bits_only(enum ingest_compression compression)
{
    return compression == INGEST_JPEG || compression == INGEST_WEBP;
}

/* Numbers that are sRGB already pass untouched; with them their depth. */
static enum rc decide_colour(struct ingest_plan *plan, const struct image_source *source,
                             const struct ingest_options *options, struct ingest_result *result,
                             struct err *err)
{
    const char *note = NULL;
    bool lab = source->format.model == IMAGE_LAB;

    plan->coloured = source->format;
    if (options->profile == INGEST_KEEP_PROFILE && !lab)
        return RC_OK;
    if (options->profile == INGEST_KEEP_PROFILE)
        warn(result, "Lab pictures are converted to sRGB: few readers know Lab tiles");
    enum rc rc = image_colour_decide(&source->format, &source->metadata.icc, &plan->colour, &note, err);
    if (rc != RC_OK)
        return rc;
    if (note != NULL)
        warn(result, "%s: it is ignored", note);
    plan->profile_refused = note != NULL;
    if (image_colour_is_untouched(plan->colour)) {
        image_colour_free(&plan->colour);
        return RC_OK;
    }
    plan->coloured = image_colour_output(plan->colour);
    if (options->depth_bits == 16 && source->format.depth_bits == 16 &&
        !holds_8_bits_only(options->compression))
        warn(result, "16 bits become 8 where colours are converted");
    return RC_OK;
}

static void decide_alpha(struct ingest_plan *plan, const struct ingest_options *options,
                         struct ingest_result *result)
{
    plan->flat = plan->coloured;
    if (plan->coloured.alpha == IMAGE_ALPHA_NONE ||
        (options->alpha == INGEST_KEEP_ALPHA && options->compression != INGEST_JPEG))
        return;
    if (options->alpha == INGEST_KEEP_ALPHA)
        warn(result, "transparency is flattened: JPEG tiles hold none");
    plan->flat.alpha = IMAGE_ALPHA_NONE;
}

static enum rc decide_tiles(struct ingest_plan *plan, const struct ingest_options *options, struct err *err)
{
    static const enum image_tile_coding coding[] = {[INGEST_JPEG] = IMAGE_TILE_JPEG,
                                                    [INGEST_WEBP] = IMAGE_TILE_WEBP,
                                                    [INGEST_ZSTD] = IMAGE_TILE_ZSTD,
                                                    [INGEST_DEFLATE] = IMAGE_TILE_DEFLATE,
                                                    [INGEST_LZW] = IMAGE_TILE_LZW};
    struct image_format format = plan->flat;
    bool colours = format.model == IMAGE_RGB || format.model == IMAGE_YCBCR;

    format.sub_x_log2 = format.sub_y_log2 = 0;
    if (colours)
        format.model = options->compression == INGEST_JPEG && options->chroma != INGEST_RGB_444 ? IMAGE_YCBCR
                                                                                                : IMAGE_RGB;
    if (format.model == IMAGE_YCBCR && options->chroma == INGEST_420)
        format.sub_x_log2 = format.sub_y_log2 = 1;
    if (options->compression == INGEST_WEBP) {
        if (format.model == IMAGE_CMYK)
            return err_set(err, RC_BAD_REQUEST,
                           "WebP tiles cannot hold CMYK: convert to sRGB or choose another compression");
        format.model = IMAGE_RGB;
        if (format.alpha != IMAGE_ALPHA_NONE)
            format.alpha = IMAGE_ALPHA_STRAIGHT;
    }
    if (options->depth_bits == 8 || holds_8_bits_only(options->compression))
        format.depth_bits = 8;
    plan->tiles = (struct image_tile_options){.coding = coding[options->compression],
                                              .format = format,
                                              .tile_px = options->tile_px,
                                              .quality = options->quality,
                                              .restart_intervals = options->restart_intervals};
    return RC_OK;
}

/* Whether the master's chroma comes as it is, to become 4:2:0 by plain averages: nothing turns it on the
 * way. */
static bool averages_chroma(const struct ingest_plan *plan, const struct image_source *source)
{
    return plan->upright.quarter_turns == 0 && !plan->upright.mirror && plan->tiles.format.sub_y_log2 == 1 &&
           source->format.sub_y_log2 == 0 && source->format.sub_x_log2 <= 1;
}

/* With the end known, what the steps before it are best given: the source's own planes as long as they will
 * do. */
static void decide_steps(struct ingest_plan *plan, const struct image_source *source)
{
    const struct image_format *end = &plan->tiles.format;
    struct image_format *steps[] = {&plan->coloured, &plan->flat};

    for (unsigned i = 0; i < 2; i++) {
        struct image_format *format = steps[i];
        format->depth_bits = end->depth_bits;
        format->sub_x_log2 = format->sub_y_log2 = 0;
        if (format->model == IMAGE_YCBCR && end->model != IMAGE_YCBCR)
            format->model = IMAGE_RGB;
        if (format->model == IMAGE_YCBCR) {
            format->sub_x_log2 = end->sub_x_log2;
            format->sub_y_log2 = end->sub_y_log2;
            *format = image_symmetry_format(plan->upright, source->pyramid.level[0].size, format);
            if (averages_chroma(plan, source)) {
                format->sub_x_log2 = source->format.sub_x_log2;
                format->sub_y_log2 = 0;
            }
        }
    }
    plan->read = plan->colour != NULL ? image_colour_input(plan->colour) : plan->coloured;
}

/* ---- metadata ---- */

/* XMP may repeat the Orientation of EXIF; the pixels are upright now. A digit takes a digit's place. */
static void upright_xmp(struct bytes *xmp)
{
    static const char *const before[] = {"tiff:Orientation=\"", "tiff:Orientation='", "<tiff:Orientation>"};

    for (unsigned i = 0; i < sizeof before / sizeof before[0]; i++) {
        size_t length = strlen(before[i]);
        uint8_t *at = xmp->data, *end = xmp->data + xmp->length;
        while (at != NULL && (at = memmem(at, (size_t)(end - at), before[i], length)) != NULL) {
            at += length;
            if (at < end && *at >= '1' && *at <= '8')
                *at = '1';
        }
    }
}

static enum rc decide_metadata(struct ingest_plan *plan, const struct image_source *source, struct err *err)
{
    const struct image_metadata *from = &source->metadata;
    struct image_metadata *to = &plan->metadata;
    bool gray = plan->tiles.format.model == IMAGE_GRAY;
    bool grew = source->format.model == IMAGE_GRAY && !gray; /* WebP: a gray profile no longer fits */

    if (plan->colour != NULL || (grew && from->icc.length > 0))
        to->icc = *image_colour_output_profile(gray);
    else if (!plan->profile_refused)
        to->icc = from->icc;
    to->iptc = from->iptc;
    enum rc rc = image_exif_copy(&from->exif, plan->size, &to->exif, err);
    if (rc == RC_OK)
        rc = bytes_append(&to->xmp, from->xmp.data, from->xmp.length, err);
    if (rc == RC_OK && to->xmp.length > 0)
        upright_xmp(&to->xmp);
    return rc;
}

static void describe(const struct ingest_plan *plan, const struct image_source *source,
                     struct ingest_result *result)
{
    static const char *const model[] = {[IMAGE_GRAY] = "gray",
                                        [IMAGE_RGB] = "rgb",
                                        [IMAGE_YCBCR] = "ycbcr",
                                        [IMAGE_CMYK] = "cmyk",
                                        [IMAGE_LAB] = "lab"};
    result->size = plan->size;
    result->page_count = source->pyramid.page_count;
    result->depth_bits = plan->tiles.format.depth_bits;
    snprintf(result->model, sizeof result->model, "%s", model[plan->tiles.format.model]);
    image_colour_profile_name(&source->metadata.icc, result->source_profile, sizeof result->source_profile);
    image_colour_profile_name(&plan->metadata.icc, result->profile, sizeof result->profile);
}

enum rc ingest_plan_init(struct ingest_plan *plan, const struct image_source *source,
                         const struct ingest_options *options, struct ingest_result *result, struct err *err)
{
    OWN(ingest_plan_done) struct ingest_plan made = {.colour = NULL};

    made.upright = image_symmetry_of_orientation(source->pyramid.orientation);
    made.size = image_symmetry_size(made.upright, source->pyramid.level[0].size);
    enum rc rc = decide_colour(&made, source, options, result, err);
    if (rc == RC_OK) {
        decide_alpha(&made, options, result);
        rc = decide_tiles(&made, options, err);
    }
    if (rc == RC_OK) {
        decide_steps(&made, source);
        rc = decide_metadata(&made, source, err);
    }
    if (rc != RC_OK)
        return rc;
    describe(&made, source, result);
    *plan = made;
    made = (struct ingest_plan){.colour = NULL};
    return RC_OK;
}

void ingest_plan_done(struct ingest_plan *plan)
{
    image_colour_free(&plan->colour);
    bytes_done(&plan->metadata.exif);
    bytes_done(&plan->metadata.xmp);
}

/* ---- the chain ---- */

/* From the end: each step takes over what stands in *sink and puts itself there. */
static enum rc build(const struct ingest_plan *plan, const struct image_source *source,
                     const struct ingest_options *options, const char *folder, struct image_sink **sink,
                     struct err *err)
{
    const struct image_format *end = &plan->tiles.format;
    const struct image_format *from = &source->format;
    const struct image_size stored = source->pyramid.level[0].size;
    struct image_format flat = plan->flat;
    enum rc rc = RC_OK;

    if (end->model == IMAGE_YCBCR && flat.model != IMAGE_GRAY)
        rc = ingest_step_chroma(&flat, TAKE_PTR(*sink), sink, err);
    else if (flat.model != IMAGE_CMYK)
        rc = image_colour_to_layout(&flat, TAKE_PTR(*sink), sink, err);
    if (rc == RC_OK)
        rc = ingest_turn(plan->upright, stored, folder, TAKE_PTR(*sink), sink, err);
    if (rc == RC_OK && plan->coloured.alpha != flat.alpha)
        rc = ingest_step_flatten(&plan->coloured, options->background_rgb, TAKE_PTR(*sink), sink, err);
    if (rc == RC_OK && plan->colour != NULL)
        rc = image_colour_sink(plan->colour, TAKE_PTR(*sink), sink, err);
    if (rc == RC_OK && from->model == IMAGE_YCBCR && plan->read.model == IMAGE_RGB && from->sub_x_log2 <= 1 &&
        from->sub_y_log2 <= 1)
        rc = ingest_smooth(from, TAKE_PTR(*sink), sink, err);
    return rc;
}

/* The reader, with somebody listening. */
struct listened {
    struct image_reader reader;
    struct image_reader *inner;
    ingest_progress *progress;
    void *context;
};

static enum rc listened_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct listened *l = (struct listened *)(void *)reader;
    enum rc rc = l->inner->ops->read(l->inner, ret_band, err);

    if (rc == RC_OK && l->progress != NULL &&
        !l->progress(l->context, reader->size, ret_band->y_px + ret_band->height_px))
        rc = err_set(err, RC_CANCELLED, "the conversion was cancelled");
    return rc;
}

static void listened_close(struct image_reader *reader)
{
    (void)reader; /* the inner one has an owner */
}

enum rc ingest_chain_run(const struct ingest_plan *plan, struct image_source *source,
                         const struct ingest_options *options, const char *folder, struct image_sink *end,
                         ingest_progress *progress, void *context, struct err *err)
{
    static const struct image_reader_ops ops = {listened_read, listened_close};
    OWN(image_sink_close) struct image_sink *sink = end;
    OWN(image_reader_close) struct image_reader *inner = NULL;
    struct image_size stored = source->pyramid.level[0].size;
    const struct image_region all = {0, 0, stored.width_px, stored.height_px};
    const struct image_window window = {0, 0, stored.width_px, stored.height_px};

    enum rc rc = build(plan, source, options, folder, &sink, err);
    if (rc == RC_OK)
        rc = image_source_read(source, 0, 0, &all, &inner, err);
    if (rc != RC_OK)
        return rc;
    struct listened listened = {.reader = {.ops = &ops, .format = inner->format, .size = inner->size},
                                .inner = inner,
                                .progress = progress,
                                .context = context};
    rc = image_resample_run(&listened.reader, &window, sink, NULL, NULL, err);
    return rc == RC_OK ? sink->ops->finish(sink, err) : rc;
}
