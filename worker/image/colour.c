#include "worker/image/colour.h"

#include "base/own.h"
#include "worker/image/colour_profile.h"

#include <assert.h>
#include <string.h>

#define CHUNK_ROWS  16u
#define PROFILE_MAX ((size_t)8 << 20)

struct image_colour {
    struct image_format input, output;
    struct image_colour_verdict *verdict;
    bool formula; /* CMYK without a usable profile */
};

enum rc image_colour_decide(const struct image_format *format, const struct bytes *icc,
                            struct image_colour **ret_colour, const char **ret_note, struct err *err)
{
    static const struct bytes none;
    enum image_model model = format->model == IMAGE_YCBCR ? IMAGE_RGB : format->model;
    struct image_colour *colour = calloc(1, sizeof *colour);
    const char *note = NULL;
    enum rc rc = RC_OK;

    if (colour == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a colour decision");
    if (model == IMAGE_LAB)
        icc = &none;
    if (icc->length > PROFILE_MAX)
        note = "its colour profile is too large";
    else if (icc->length > 0 || model == IMAGE_LAB)
        rc = image_colour_verdict_find(model, image_colour_transform_depth(model, format->depth_bits), icc,
                                       &colour->verdict, err);
    if (rc != RC_OK) {
        free(colour);
        return rc;
    }
    if (colour->verdict != NULL && colour->verdict->note != NULL)
        note = colour->verdict->note;
    bool transforms = colour->verdict != NULL && colour->verdict->transform != NULL;
    colour->formula = model == IMAGE_CMYK && !transforms;
    colour->input = colour->output = *format;
    colour->output.depth_bits = 8;
    if (transforms || colour->formula) {
        colour->input.model = model;
        colour->input.depth_bits = image_colour_transform_depth(model, format->depth_bits);
        colour->output.model = model == IMAGE_GRAY ? IMAGE_GRAY : IMAGE_RGB;
        colour->input.sub_x_log2 = colour->input.sub_y_log2 = colour->output.sub_x_log2 =
            colour->output.sub_y_log2 = 0;
        if (format->alpha == IMAGE_ALPHA_PREMULTIPLIED)
            colour->output.alpha = IMAGE_ALPHA_STRAIGHT;
    }
    *ret_colour = colour;
    *ret_note = note;
    return RC_OK;
}

void image_colour_free(struct image_colour **colour)
{
    if (*colour != NULL && (*colour)->verdict != NULL)
        image_colour_verdict_release((*colour)->verdict);
    free(*colour);
    *colour = NULL;
}

struct image_format image_colour_input(const struct image_colour *colour)
{
    return colour->input;
}

struct image_format image_colour_output(const struct image_colour *colour)
{
    return colour->output;
}

/* ---- the step ---- */

struct convert {
    struct image_sink sink;
    struct image_sink *next;
    cmsHTRANSFORM transform; /* borrowed from the colour, which outlives the chain; NULL: the formula */
    uint8_t *row;            /* the colour planes of one row, one behind the other */
    uint8_t *out;            /* the same of what comes out, CHUNK_ROWS of them */
    uint8_t *alpha;          /* CHUNK_ROWS rows of 8 bits, where the source's has 16 */
};

static uint16_t wide(const uint8_t *samples, size_t x)
{
    uint16_t value;
    memcpy(&value, samples + x * 2, 2);
    return value;
}

static void divide_by_alpha(uint8_t *colour, const uint8_t *alpha, uint32_t width, uint8_t depth_bits)
{
    for (uint32_t x = 0; x < width; x++) {
        if (depth_bits == 16) {
            uint32_t a = wide(alpha, x), c = wide(colour, x);
            uint64_t value = a > 0 ? (c * (uint64_t)65535 + a / 2) / a : 0;
            uint16_t straight = (uint16_t)(value > 65535 ? 65535 : value);
            memcpy(colour + (size_t)x * 2, &straight, 2);
        } else {
            uint32_t value = alpha[x] > 0 ? (colour[x] * 255u + alpha[x] / 2u) / alpha[x] : 0;
            colour[x] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

/* a and b of 16 bits have their zero at 0x8000 and 256 steps to the unit; lcms2 wants 0x8080 and 257. */
static void lab_for_lcms(uint8_t *plane, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++) {
        uint32_t value = wide(plane, x) + ((wide(plane, x) + 128u) >> 8);
        uint16_t fit = (uint16_t)(value > 65535 ? 65535 : value);
        memcpy(plane + (size_t)x * 2, &fit, 2);
    }
}

static void formula_row(const struct image_band *band, uint32_t y, uint8_t *out, uint32_t width)
{
    const uint8_t *key = band->plane[3] + y * band->stride_bytes[3];

    for (uint32_t i = 0; i < 3; i++, out += width) {
        const uint8_t *ink = band->plane[i] + y * band->stride_bytes[i];
        for (uint32_t x = 0; x < width; x++) {
            uint32_t product = (255u - ink[x]) * (255u - key[x]) + 128;
            out[x] = (uint8_t)((product + (product >> 8)) >> 8);
        }
    }
}

static void transform_row(struct convert *c, const struct image_band *band, uint32_t y, uint8_t *out)
{
    const struct image_format *format = &c->sink.format;
    uint32_t width = c->sink.size.width_px, sample_bytes = format->depth_bits / 8u;
    uint32_t colours = image_format_planes(format) - (format->alpha != IMAGE_ALPHA_NONE);
    size_t length = (size_t)width * sample_bytes;

    for (uint32_t i = 0; i < colours; i++) {
        memcpy(c->row + i * length, band->plane[i] + y * band->stride_bytes[i], length);
        if (format->alpha == IMAGE_ALPHA_PREMULTIPLIED)
            divide_by_alpha(c->row + i * length, band->plane[colours] + y * band->stride_bytes[colours],
                            width, format->depth_bits);
    }
    if (format->model == IMAGE_LAB && format->depth_bits == 16) {
        lab_for_lcms(c->row + length, width);
        lab_for_lcms(c->row + 2 * length, width);
    }
    cmsDoTransform(c->transform, c->row, out, width);
}

static void chunk_alpha(struct convert *c, const struct image_band *band, uint32_t y, struct image_band *out)
{
    uint32_t from = image_format_planes(&c->sink.format) - 1, to = c->sink.format.model == IMAGE_GRAY ? 1 : 3;
    uint32_t width = c->sink.size.width_px;

    out->plane[to] = band->plane[from] + y * band->stride_bytes[from];
    out->stride_bytes[to] = band->stride_bytes[from];
    if (c->sink.format.depth_bits == 8)
        return;
    for (uint32_t i = 0; i < out->height_px; i++)
        for (uint32_t x = 0; x < width; x++)
            c->alpha[(size_t)i * width + x] =
                (uint8_t)((wide(out->plane[to] + i * out->stride_bytes[to], x) + 128u) / 257u);
    out->plane[to] = c->alpha;
    out->stride_bytes[to] = width;
}

static enum rc convert_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct convert *c = (struct convert *)(void *)sink;
    uint32_t width = sink->size.width_px, colours = sink->format.model == IMAGE_GRAY ? 1 : 3;

    for (uint32_t y = 0; y < band->height_px; y += CHUNK_ROWS) {
        struct image_band out = {.y_px = band->y_px + y,
                                 .height_px = band->height_px - y < CHUNK_ROWS ? band->height_px - y
                                                                               : CHUNK_ROWS};
        for (uint32_t i = 0; i < out.height_px; i++) {
            uint8_t *row = c->out + (size_t)i * width * colours;
            if (c->transform != NULL)
                transform_row(c, band, y + i, row);
            else
                formula_row(band, y + i, row, width);
        }
        for (uint32_t i = 0; i < colours; i++) {
            out.plane[i] = c->out + (size_t)i * width;
            out.stride_bytes[i] = (size_t)width * colours;
        }
        if (sink->format.alpha != IMAGE_ALPHA_NONE)
            chunk_alpha(c, band, y, &out);
        enum rc rc = c->next->ops->write(c->next, &out, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc convert_finish(struct image_sink *sink, struct err *err)
{
    struct convert *c = (struct convert *)(void *)sink;
    return c->next->ops->finish(c->next, err);
}

static void convert_close(struct image_sink *sink)
{
    struct convert *c = (struct convert *)(void *)sink;

    image_sink_close(&c->next);
    free(c->row);
    free(c->out);
    free(c->alpha);
    free(c);
}

bool image_colour_is_untouched(const struct image_colour *colour)
{
    return (colour->verdict == NULL || colour->verdict->transform == NULL) && !colour->formula;
}

enum rc image_colour_sink(const struct image_colour *colour, struct image_sink *next,
                          struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {convert_write, convert_finish, convert_close};
    cmsHTRANSFORM transform = colour->verdict != NULL ? colour->verdict->transform : NULL;
    size_t width = next->size.width_px;

    if (image_colour_is_untouched(colour)) {
        *ret_sink = next;
        return RC_OK;
    }
    assert(next->format.model == colour->output.model && next->format.alpha == colour->output.alpha);
    struct convert *c = calloc(1, sizeof *c);
    if (c == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to convert colours");
    }
    c->sink = (struct image_sink){.ops = &ops, .format = colour->input, .size = next->size};
    c->next = next;
    c->transform = transform;
    c->row = malloc(width * 4 * 2);
    c->out = malloc(width * 3 * CHUNK_ROWS);
    c->alpha = malloc(width * CHUNK_ROWS);
    if (c->row == NULL || c->out == NULL || c->alpha == NULL) {
        convert_close(&c->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to convert rows of %zu pixels", width);
    }
    *ret_sink = &c->sink;
    return RC_OK;
}
