#include "worker/image/colour_profile.h"

#include "base/own.h"
#include "worker/image/colour.h"

#include <pthread.h>
#include <string.h>

#define REMEMBERED      12u /* profiles; a collection rarely has more than a handful */
#define TRANSFORM_FLAGS (cmsFLAGS_NOCACHE | cmsFLAGS_BLACKPOINTCOMPENSATION)
#define INTENT          INTENT_RELATIVE_COLORIMETRIC

static struct {
    pthread_mutex_t mutex;
    struct image_colour_verdict *slot[REMEMBERED]; /* most recently used first; each holds a reference */
} remembered = {.mutex = PTHREAD_MUTEX_INITIALIZER};

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

void image_colour_profile_name(const struct bytes *icc, char *name, size_t size)
{
    OWN(profile_close)
    cmsHPROFILE profile = icc->length > 0 && icc->length <= UINT32_MAX
                              ? cmsOpenProfileFromMem(icc->data, (cmsUInt32Number)icc->length)
                              : NULL;

    name[0] = '\0';
    if (profile == NULL ||
        cmsGetProfileInfoASCII(profile, cmsInfoDescription, "en", "US", name, (cmsUInt32Number)size) == 0)
        name[0] = '\0';
    name[size - 1] = '\0';
    for (char *c = name; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
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

/* Whether `transform`, of 8-bit pixels, leaves `count` samples within a level of where they are. */
static bool stays(cmsHTRANSFORM transform, const uint8_t *samples, size_t count, size_t channels)
{
    uint8_t out[18 * 18 * 3];

    cmsDoTransform(transform, samples, out, (cmsUInt32Number)(count / channels));
    for (size_t i = 0; i < count; i++)
        if (abs(samples[i] - out[i]) > 1)
            return false;
    return true;
}

/* Every level of gray; or a grid of 18 levels in each of red, green and blue. */
static bool changes_nothing(cmsHPROFILE from, cmsHPROFILE to, enum image_model model)
{
    cmsUInt32Number format = model == IMAGE_GRAY ? TYPE_GRAY_8 : TYPE_RGB_8;
    cmsHTRANSFORM transform = cmsCreateTransform(from, format, to, format, INTENT, TRANSFORM_FLAGS);
    uint8_t samples[18 * 18 * 3];
    bool same = transform != NULL;

    if (model == IMAGE_GRAY) {
        for (uint32_t i = 0; i < 256; i++)
            samples[i] = (uint8_t)i;
        same = same && stays(transform, samples, 256, 1);
    }
    for (uint32_t red = 0; same && model != IMAGE_GRAY && red < 18; red++) {
        for (uint32_t i = 0; i < 18 * 18; i++) {
            samples[i * 3] = (uint8_t)(red * 15);
            samples[i * 3 + 1] = (uint8_t)(i / 18 * 15);
            samples[i * 3 + 2] = (uint8_t)(i % 18 * 15);
        }
        same = stays(transform, samples, sizeof samples, 3);
    }
    if (transform != NULL)
        cmsDeleteTransform(transform);
    return same;
}

/* Of 16 bits lcms2 makes a coarse table for RGB and CMYK, up to 20 levels wrong near the edge of sRGB; its
 * 8-bit path is exact to a level. Gray has a curve of its own either way, and Lab is calculated point by
 * point. */
uint8_t image_colour_transform_depth(enum image_model model, uint8_t depth_bits)
{
    return model == IMAGE_GRAY || model == IMAGE_LAB ? depth_bits : 8;
}

/* Fills `transform` and `note`. */
static void judge(struct image_colour_verdict *verdict)
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

static void verdict_free(struct image_colour_verdict *verdict)
{
    if (verdict->transform != NULL)
        cmsDeleteTransform(verdict->transform);
    bytes_done(&verdict->icc);
    free(verdict);
}

void image_colour_verdict_release(struct image_colour_verdict *verdict)
{
    pthread_mutex_lock(&remembered.mutex);
    bool last = --verdict->references == 0;
    pthread_mutex_unlock(&remembered.mutex);
    if (last)
        verdict_free(verdict);
}

static bool same_question(const struct image_colour_verdict *a, const struct image_colour_verdict *b)
{
    return a->hash == b->hash && a->model == b->model && a->depth_bits == b->depth_bits &&
           a->icc.length == b->icc.length &&
           (a->icc.length == 0 || memcmp(a->icc.data, b->icc.data, a->icc.length) == 0);
}

/* Moves the first `count` slots one place back, over the one behind them. */
static void move_back(size_t count)
{
    for (size_t i = count; i > 0; i--)
        remembered.slot[i] = remembered.slot[i - 1];
}

/* With the mutex held: the verdict on the same question moved to the front and referenced once more, or
 * NULL. */
static struct image_colour_verdict *recall(const struct image_colour_verdict *question)
{
    for (size_t i = 0; i < REMEMBERED && remembered.slot[i] != NULL; i++) {
        struct image_colour_verdict *found = remembered.slot[i];
        if (!same_question(found, question))
            continue;
        move_back(i);
        remembered.slot[0] = found;
        found->references++;
        return found;
    }
    return NULL;
}

/* With the mutex held: keeps `verdict`; what returns has fallen out at the end and is to be freed. */
static struct image_colour_verdict *remember(struct image_colour_verdict *verdict)
{
    struct image_colour_verdict *last = remembered.slot[REMEMBERED - 1];

    move_back(REMEMBERED - 1);
    remembered.slot[0] = verdict;
    verdict->references++;
    return last != NULL && --last->references == 0 ? last : NULL;
}

enum rc image_colour_verdict_find(enum image_model model, uint8_t depth_bits, const struct bytes *icc,
                                  struct image_colour_verdict **ret, struct err *err)
{
    struct image_colour_verdict question = {.model = model, .depth_bits = depth_bits, .icc = *icc};

    question.hash = bytes_hash(BYTES_HASH_START, icc->data, icc->length);
    pthread_mutex_lock(&remembered.mutex);
    struct image_colour_verdict *found = recall(&question);
    pthread_mutex_unlock(&remembered.mutex);
    if (found != NULL) {
        *ret = found;
        return RC_OK;
    }
    struct image_colour_verdict *made = calloc(1, sizeof *made);
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
    struct image_colour_verdict *unused = found != NULL ? made : remember(made);
    pthread_mutex_unlock(&remembered.mutex);
    if (unused != NULL)
        verdict_free(unused);
    *ret = found != NULL ? found : made;
    return RC_OK;
}
