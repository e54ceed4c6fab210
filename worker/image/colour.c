#include "worker/image/colour.h"

#include "base/own.h"

#include <assert.h>
#include <lcms2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_ROWS      16u
#define REMEMBERED      24u /* profiles; a collection rarely has more than a handful */
#define PROFILE_MAX     ((size_t)16 << 20)
#define TRANSFORM_FLAGS (cmsFLAGS_NOCACHE | cmsFLAGS_BLACKPOINTCOMPENSATION)
#define INTENT          INTENT_RELATIVE_COLORIMETRIC

/* What one profile demands of one kind of pixels. Immutable but for the count, which `remembered.mutex`
 * guards. */
struct verdict {
    unsigned references;
    uint64_t hash;
    struct bytes icc; /* a copy: hashes alone can be forged */
    enum image_model model;
    uint8_t depth_bits;
    cmsHTRANSFORM transform; /* NULL: nothing to do */
    const char *note;        /* why the profile was ignored */
};

static struct {
    pthread_mutex_t mutex;
    struct verdict *slot[REMEMBERED]; /* most recently used first; each holds a reference */
} remembered = {.mutex = PTHREAD_MUTEX_INITIALIZER};

struct image_colour {
    struct image_format input, output;
    struct verdict *verdict;
    bool formula; /* CMYK without a usable profile */
};

/* ---- profiles ---- */

static void profile_close(cmsHPROFILE *profile)
{
    if (*profile != NULL)
        cmsCloseProfile(*profile);
}

static cmsHPROFILE gray_profile(void)
{
    OWN(profile_close) cmsHPROFILE srgb = cmsCreate_sRGBProfile();
    const cmsToneCurve *curve = srgb != NULL ? cmsReadTag(srgb, cmsSigRedTRCTag) : NULL;

    return curve != NULL ? cmsCreateGrayProfile(cmsD50_xyY(), curve) : NULL;
}

static void store_profile(cmsHPROFILE profile, struct bytes *ret)
{
    cmsUInt32Number length = 0;

    if (profile == NULL || !cmsSaveProfileToMem(profile, NULL, &length))
        return;
    uint8_t *data = malloc(length);
    if (data == NULL || !cmsSaveProfileToMem(profile, data, &length)) {
        free(data);
        return;
    }
    /* ICC.1 §7.2.8: when it was made. lcms2 writes the current time; answers must not depend on it. */
    static const uint8_t date[12] = {0x07, 0xe8, 0, 1, 0, 1};
    memcpy(data + 24, date, sizeof date);
    *ret = (struct bytes){.data = data, .length = length, .capacity = length};
}

static struct bytes output_profile[2];

static void make_output_profiles(void)
{
    OWN(profile_close) cmsHPROFILE srgb = cmsCreate_sRGBProfile();
    OWN(profile_close) cmsHPROFILE gray = gray_profile();

    store_profile(srgb, &output_profile[0]);
    store_profile(gray, &output_profile[1]);
}

const struct bytes *image_colour_output_profile(bool gray)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_output_profiles);
    return &output_profile[gray];
}

/* ---- verdicts ---- */

/* lcms2's name for rows of planes that lie one behind the other. */
static cmsUInt32Number planar(enum image_model model, uint8_t depth_bits)
{
    cmsUInt32Number bytes = BYTES_SH(depth_bits / 8u) | PLANAR_SH(1);

    switch (model) {
    case IMAGE_GRAY:
        return bytes | COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1);
    case IMAGE_CMYK:
        return bytes | COLORSPACE_SH(PT_CMYK) | CHANNELS_SH(4);
    case IMAGE_LAB:
        return bytes | COLORSPACE_SH(PT_Lab) | CHANNELS_SH(3);
    default:
        return bytes | COLORSPACE_SH(PT_RGB) | CHANNELS_SH(3);
    }
}

static enum image_model output_model(enum image_model model)
{
    return model == IMAGE_GRAY ? IMAGE_GRAY : IMAGE_RGB;
}

static const char *unfit(cmsHPROFILE profile, enum image_model model)
{
    cmsColorSpaceSignature space = cmsGetColorSpace(profile);
    cmsProfileClassSignature kind = cmsGetDeviceClass(profile);

    if (kind != cmsSigInputClass && kind != cmsSigDisplayClass && kind != cmsSigOutputClass &&
        kind != cmsSigColorSpaceClass)
        return "its colour profile is not one of a device";
    if (space != (model == IMAGE_GRAY   ? cmsSigGrayData
                  : model == IMAGE_CMYK ? cmsSigCmykData
                                        : cmsSigRgbData))
        return "its colour profile is for another colour space than its pixels";
    return NULL;
}

/* Whether a transform of 8-bit GRAY or RGB leaves everything within a level of where it was. */
static bool changes_nothing(cmsHPROFILE from, cmsHPROFILE to, enum image_model model)
{
    enum { STEPS = 18, COUNT = STEPS * STEPS * STEPS };
    cmsUInt32Number format = model == IMAGE_GRAY ? TYPE_GRAY_8 : TYPE_RGB_8;
    size_t channels = model == IMAGE_GRAY ? 1 : 3, count = model == IMAGE_GRAY ? 256 : COUNT;
    cmsHTRANSFORM transform = cmsCreateTransform(from, format, to, format, INTENT, TRANSFORM_FLAGS);
    OWN_FREE uint8_t *in = malloc(COUNT * 3), *out = malloc(COUNT * 3);
    bool same = transform != NULL && in != NULL && out != NULL;

    for (size_t i = 0; same && i < count; i++) {
        if (model == IMAGE_GRAY) {
            in[i] = (uint8_t)i;
            continue;
        }
        in[i * 3] = (uint8_t)(i % STEPS * 15);
        in[i * 3 + 1] = (uint8_t)(i / STEPS % STEPS * 15);
        in[i * 3 + 2] = (uint8_t)(i / STEPS / STEPS * 15);
    }
    if (same)
        cmsDoTransform(transform, in, out, (cmsUInt32Number)count);
    for (size_t i = 0; same && i < count * channels; i++)
        same = abs(in[i] - out[i]) <= 1;
    if (transform != NULL)
        cmsDeleteTransform(transform);
    return same;
}

/* Of 16 bits lcms2 makes a coarse table for RGB and CMYK, up to 20 levels wrong near the edge of sRGB; its
 * 8-bit path is exact to a level. Gray has a curve of its own either way, and Lab is calculated point by
 * point. */
static uint8_t transform_depth(enum image_model model, uint8_t depth_bits)
{
    return model == IMAGE_GRAY || model == IMAGE_LAB ? depth_bits : 8;
}

/* Fills `transform` and `note`. */
static void judge(struct verdict *verdict)
{
    bool gray = verdict->model == IMAGE_GRAY, lab = verdict->model == IMAGE_LAB;
    OWN(profile_close)
    cmsHPROFILE from = lab ? cmsCreateLab4Profile(NULL)
                           : cmsOpenProfileFromMem(verdict->icc.data, (cmsUInt32Number)verdict->icc.length);
    OWN(profile_close) cmsHPROFILE to = gray ? gray_profile() : cmsCreate_sRGBProfile();

    if (from == NULL || to == NULL) {
        verdict->note = "its colour profile is broken";
        return;
    }
    verdict->note = lab ? NULL : unfit(from, verdict->model);
    if (verdict->note != NULL ||
        ((gray || verdict->model == IMAGE_RGB) && changes_nothing(from, to, verdict->model)))
        return;
    verdict->transform = cmsCreateTransform(from, planar(verdict->model, verdict->depth_bits), to,
                                            planar(output_model(verdict->model), 8), INTENT,
                                            TRANSFORM_FLAGS | (lab ? cmsFLAGS_NOOPTIMIZE : 0));
    if (verdict->transform == NULL)
        verdict->note = "its colour profile cannot be used";
}

static void verdict_free(struct verdict *verdict)
{
    if (verdict->transform != NULL)
        cmsDeleteTransform(verdict->transform);
    bytes_done(&verdict->icc);
    free(verdict);
}

static void verdict_release(struct verdict *verdict)
{
    pthread_mutex_lock(&remembered.mutex);
    bool last = --verdict->references == 0;
    pthread_mutex_unlock(&remembered.mutex);
    if (last)
        verdict_free(verdict);
}

static bool same_question(const struct verdict *a, const struct verdict *b)
{
    return a->hash == b->hash && a->model == b->model && a->depth_bits == b->depth_bits &&
           a->icc.length == b->icc.length &&
           (a->icc.length == 0 || memcmp(a->icc.data, b->icc.data, a->icc.length) == 0);
}

/* With the mutex held: the verdict on the same question moved to the front and referenced once more, or
 * NULL. */
static struct verdict *recall(const struct verdict *question)
{
    for (size_t i = 0; i < REMEMBERED && remembered.slot[i] != NULL; i++) {
        struct verdict *found = remembered.slot[i];
        if (!same_question(found, question))
            continue;
        memmove(&remembered.slot[1], &remembered.slot[0], i * sizeof remembered.slot[0]);
        remembered.slot[0] = found;
        found->references++;
        return found;
    }
    return NULL;
}

/* With the mutex held: keeps `verdict`; what returns has fallen out at the end and is to be freed. */
static struct verdict *remember(struct verdict *verdict)
{
    struct verdict *last = remembered.slot[REMEMBERED - 1];

    memmove(&remembered.slot[1], &remembered.slot[0], (REMEMBERED - 1) * sizeof remembered.slot[0]);
    remembered.slot[0] = verdict;
    verdict->references++;
    return last != NULL && --last->references == 0 ? last : NULL;
}

static enum rc verdict_find(enum image_model model, uint8_t depth_bits, const struct bytes *icc,
                            struct verdict **ret, struct err *err)
{
    struct verdict question = {.model = model, .depth_bits = depth_bits, .icc = *icc};

    question.hash = bytes_hash(BYTES_HASH_START, icc->data, icc->length);
    pthread_mutex_lock(&remembered.mutex);
    struct verdict *found = recall(&question);
    pthread_mutex_unlock(&remembered.mutex);
    if (found != NULL) {
        *ret = found;
        return RC_OK;
    }
    struct verdict *made = calloc(1, sizeof *made);
    if (made == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a colour profile");
    *made = question;
    made->icc = (struct bytes){0};
    made->references = 1;
    enum rc rc = icc->length > 0 ? bytes_append(&made->icc, icc->data, icc->length, err) : RC_OK;
    if (rc != RC_OK) {
        verdict_free(made);
        return rc;
    }
    judge(made); /* milliseconds: not under the mutex. Two threads may judge the same profile; one is kept. */
    pthread_mutex_lock(&remembered.mutex);
    found = recall(&question);
    struct verdict *unused = found != NULL ? made : remember(made);
    pthread_mutex_unlock(&remembered.mutex);
    if (unused != NULL)
        verdict_free(unused);
    *ret = found != NULL ? found : made;
    return RC_OK;
}

/* ---- decision ---- */

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
        rc = verdict_find(model, transform_depth(model, format->depth_bits), icc, &colour->verdict, err);
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
        colour->input.depth_bits = transform_depth(model, format->depth_bits);
        colour->output.model = output_model(model);
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
        verdict_release((*colour)->verdict);
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
    c->row = malloc(width * 4 * sizeof(uint16_t));
    c->out = malloc(width * 3 * CHUNK_ROWS);
    c->alpha = malloc(width * CHUNK_ROWS);
    if (c->row == NULL || c->out == NULL || c->alpha == NULL) {
        convert_close(&c->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to convert rows of %zu pixels", width);
    }
    *ret_sink = &c->sink;
    return RC_OK;
}
