#include "worker/render/cost.h"

#include "worker/render/passthrough.h"

/* Steps of shm/effort.h. One kind of reading for sources that the decoder can shrink (JPEG), one for all
 * others. */
enum step {
    STEP_OPEN, /* per source */
    STEP_DECODE_JPEG,
    STEP_DECODE_OTHER,
    STEP_JOIN,     /* of stored tiles, per pixel made */
    STEP_RESAMPLE, /* everything between reading and encoding, per pixel read */
    STEP_ENCODE,   /* one per format */
    STEPS = STEP_ENCODE + IIIF_FORMATS,
};
static_assert(STEPS <= SHM_EFFORT_STEPS, "there is a place for each step");

/* Until measured: picoseconds per pixel of one core of 2020. */
static const uint64_t preset_ps[STEPS] = {
    [STEP_OPEN] = 300000000,
    [STEP_DECODE_JPEG] = 4000,
    [STEP_DECODE_OTHER] = 15000,
    [STEP_JOIN] = 2500,
    [STEP_RESAMPLE] = 2000,
    [STEP_ENCODE + IIIF_JPG] = 4000,
    [STEP_ENCODE + IIIF_PNG] = 60000,
    [STEP_ENCODE + IIIF_WEBP] = 80000,
    [STEP_ENCODE + IIIF_TIF] = 25000,
    [STEP_ENCODE + IIIF_GIF] = 60000,
    [STEP_ENCODE + IIIF_AVIF] = 700000,
};

#define FIXED_MS     0.1    /* of any render: threads, headers, tables */
#define LEAST_PIXELS 20000u /* with fewer, what does not follow the pixels would be learned as theirs */

struct pixels {
    uint64_t read, made;
    enum step decode;
};

static struct pixels count(const struct picture *picture, const struct iiif_plan *plan)
{
    const struct image_level *level = &picture->pyramid.level[plan->level];
    double width_px = plan->window_width_px, height_px = plan->window_height_px;
    /* Tiles are decoded whole: half a tile more on each side, but never more than there is. */
    width_px += level->tile.width_px;
    height_px += level->tile.height_px;
    if (width_px > level->size.width_px)
        width_px = level->size.width_px;
    if (height_px > level->size.height_px)
        height_px = level->size.height_px;
    return (struct pixels){.read = (uint64_t)(width_px * height_px),
                           .made = image_size_area(plan->size),
                           .decode = picture->source != NULL && picture->source->shrinks ? STEP_DECODE_JPEG
                                                                                         : STEP_DECODE_OTHER};
}

static double step_ms(const struct shm_effort *effort, unsigned step, uint64_t units)
{
    return (double)shm_effort_step_ps(effort, step, preset_ps[step]) * (double)units / 1e9;
}

double render_cost_ms(const struct shm_effort *effort, const struct picture *picture,
                      const struct iiif_plan *plan, const struct render_options *options)
{
    struct pixels pixels = count(picture, plan);
    /* Not all that may be joined can be, but most. */
    if (pixels.decode == STEP_DECODE_JPEG && render_passthrough_applies(picture, plan, options))
        return FIXED_MS + step_ms(effort, STEP_JOIN, pixels.made);
    return FIXED_MS + step_ms(effort, pixels.decode, pixels.read) +
           step_ms(effort, STEP_RESAMPLE, pixels.read) +
           step_ms(effort, STEP_ENCODE + plan->format, pixels.made);
}

double render_cost_open_ms(const struct shm_effort *effort)
{
    return step_ms(effort, STEP_OPEN, 1);
}

void render_cost_learn(struct shm_effort *effort, const struct picture *picture, const struct iiif_plan *plan,
                       const struct render_spent *spent)
{
    struct pixels pixels = count(picture, plan);
    if (pixels.read < LEAST_PIXELS || pixels.made < LEAST_PIXELS)
        return;
    if (spent->joined) {
        shm_effort_learn(effort, STEP_JOIN, spent->total_ns, pixels.made);
        return;
    }
    shm_effort_learn(effort, pixels.decode, spent->decode_ns, pixels.read);
    shm_effort_learn(effort, STEP_RESAMPLE, spent->total_ns - spent->decode_ns - spent->encode_ns,
                     pixels.read);
    shm_effort_learn(effort, STEP_ENCODE + plan->format, spent->encode_ns, pixels.made);
}

void render_cost_learn_open(struct shm_effort *effort, int64_t ns)
{
    shm_effort_learn(effort, STEP_OPEN, ns, 1);
}
