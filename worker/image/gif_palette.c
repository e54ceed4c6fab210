#include "worker/image/gif_palette.h"

#include <stdlib.h>
#include <string.h>

struct image_gif_bin {
    uint64_t sum[3];
    uint64_t count;
};

/* Some of the used bins: a stretch of the array that is being cut. */
struct box {
    uint32_t first, end;
    uint32_t axis, extent; /* the longest side */
    uint64_t count;
};

void image_gif_palette_init(struct image_gif_palette *palette, uint32_t most)
{
    *palette = (struct image_gif_palette){.most = most, .exact = true};
}

void image_gif_palette_done(struct image_gif_palette *palette)
{
    free(palette->bin);
    free(palette->index_of_bin);
}

/* The slot that holds `colour`, or the empty one where it belongs. */
static uint32_t slot_of(const struct image_gif_palette *palette, uint32_t colour)
{
    uint32_t at = colour * 2654435761u >> 22;

    while (palette->slot[at].index_plus_one != 0 && palette->slot[at].colour != colour)
        at = (at + 1) % IMAGE_GIF_SLOTS;
    return at;
}

static uint32_t bin_of(uint8_t red, uint8_t green, uint8_t blue)
{
    return (uint32_t)(red >> 3) << 10 | (uint32_t)(green >> 3) << 5 | blue >> 3;
}

static bool count_exactly(struct image_gif_palette *palette, uint8_t red, uint8_t green, uint8_t blue)
{
    uint32_t colour = (uint32_t)red << 16 | (uint32_t)green << 8 | blue, at = slot_of(palette, colour);

    if (palette->slot[at].index_plus_one != 0)
        return true;
    if (palette->count == palette->most)
        return false;
    memcpy(palette->colour[palette->count], (uint8_t[]){red, green, blue}, 3);
    palette->slot[at].colour = colour;
    palette->slot[at].index_plus_one = (uint16_t)++palette->count;
    return true;
}

static void count_in_bin(struct image_gif_palette *palette, uint8_t red, uint8_t green, uint8_t blue)
{
    struct image_gif_bin *bin = &palette->bin[bin_of(red, green, blue)];

    bin->sum[0] += red;
    bin->sum[1] += green;
    bin->sum[2] += blue;
    bin->count++;
}

enum rc image_gif_palette_count(struct image_gif_palette *palette, const uint8_t *red, const uint8_t *green,
                                const uint8_t *blue, const uint8_t *alpha, uint32_t width_px, bool *ret_again,
                                struct err *err)
{
    for (uint32_t x = 0; x < width_px; x++) {
        if (alpha != NULL && alpha[x] < 128)
            continue;
        if (!palette->exact) {
            count_in_bin(palette, red[x], green[x], blue[x]);
        } else if (!count_exactly(palette, red[x], green[x], blue[x])) {
            palette->bin = calloc(IMAGE_GIF_BINS, sizeof *palette->bin);
            if (palette->bin == NULL)
                return err_set(err, RC_NO_MEMORY, "no memory to count the colours of a picture");
            palette->exact = false;
            *ret_again = true;
            return RC_OK;
        }
    }
    *ret_again = false;
    return RC_OK;
}

/* ---- cutting ---- */

static uint32_t channel(uint16_t bin, uint32_t axis)
{
    return (uint32_t)bin >> (10 - 5 * axis) & 31;
}

static void measure(const struct image_gif_palette *palette, const uint16_t *used, struct box *box)
{
    uint32_t low[3] = {31, 31, 31}, high[3] = {0, 0, 0};

    box->count = 0;
    for (uint32_t i = box->first; i < box->end; i++) {
        box->count += palette->bin[used[i]].count;
        for (uint32_t axis = 0; axis < 3; axis++) {
            uint32_t value = channel(used[i], axis);
            low[axis] = value < low[axis] ? value : low[axis];
            high[axis] = value > high[axis] ? value : high[axis];
        }
    }
    box->axis = 0;
    for (uint32_t axis = 1; axis < 3; axis++)
        if (high[axis] - low[axis] > high[box->axis] - low[box->axis])
            box->axis = axis;
    box->extent = high[box->axis] - low[box->axis];
}

static int by_axis(const void *one, const void *two, void *context)
{
    uint32_t axis = *(const uint32_t *)context;
    uint16_t a = *(const uint16_t *)one, b = *(const uint16_t *)two;
    uint32_t x = channel(a, axis), y = channel(b, axis);

    if (x != y)
        return x < y ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Halves `box` by pixels along its longest side; the upper half becomes `upper`. */
static void cut(const struct image_gif_palette *palette, uint16_t *used, struct box *box, struct box *upper)
{
    uint64_t below = 0;
    uint32_t at = box->first;

    qsort_r(used + box->first, box->end - box->first, sizeof *used, by_axis, &box->axis);
    while (at + 1 < box->end && (at == box->first || below < box->count / 2))
        below += palette->bin[used[at++]].count;
    *upper = (struct box){.first = at, .end = box->end};
    box->end = at;
    measure(palette, used, box);
    measure(palette, used, upper);
}

/* The box whose colours differ most, weighed gently by how many pixels see it. */
static uint32_t worst(const struct box *box, uint32_t count)
{
    uint32_t found = count;
    uint64_t most = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t badness = (uint64_t)box[i].extent * box[i].extent * box[i].count;
        if (badness > most) {
            most = badness;
            found = i;
        }
    }
    return found;
}

static void average(struct image_gif_palette *palette, const uint16_t *used, const struct box *box,
                    uint8_t ret[3])
{
    uint64_t sum[3] = {0};

    for (uint32_t i = box->first; i < box->end; i++)
        for (uint32_t k = 0; k < 3; k++)
            sum[k] += palette->bin[used[i]].sum[k];
    for (uint32_t k = 0; k < 3; k++)
        ret[k] = (uint8_t)((sum[k] + box->count / 2) / box->count);
}

static uint8_t nearest(const struct image_gif_palette *palette, const struct image_gif_bin *bin)
{
    int32_t least = INT32_MAX, at[3];
    uint32_t found = 0;

    for (uint32_t k = 0; k < 3; k++)
        at[k] = (int32_t)(bin->sum[k] / bin->count);
    for (uint32_t i = 0; i < palette->count; i++) {
        int32_t r = at[0] - palette->colour[i][0], g = at[1] - palette->colour[i][1],
                b = at[2] - palette->colour[i][2];
        int32_t distance = 3 * r * r + 6 * g * g + b * b;
        if (distance < least) {
            least = distance;
            found = i;
        }
    }
    return (uint8_t)found;
}

/* `used` has room for all bins. */
static void choose(struct image_gif_palette *palette, uint16_t *used)
{
    struct box box[256];
    uint32_t used_count = 0, boxes = 1;

    for (uint32_t i = 0; i < IMAGE_GIF_BINS; i++)
        if (palette->bin[i].count > 0)
            used[used_count++] = (uint16_t)i;
    box[0] = (struct box){.first = 0, .end = used_count};
    measure(palette, used, &box[0]);
    while (boxes < palette->most) {
        uint32_t i = worst(box, boxes);
        if (i == boxes)
            break;
        cut(palette, used, &box[i], &box[boxes]);
        boxes++;
    }
    palette->count = boxes;
    for (uint32_t i = 0; i < boxes; i++)
        average(palette, used, &box[i], palette->colour[i]);
    for (uint32_t i = 0; i < used_count; i++)
        palette->index_of_bin[used[i]] = nearest(palette, &palette->bin[used[i]]);
}

enum rc image_gif_palette_choose(struct image_gif_palette *palette, struct err *err)
{
    if (palette->exact)
        return RC_OK;
    uint16_t *used = malloc(IMAGE_GIF_BINS * sizeof *used);
    palette->index_of_bin = malloc(IMAGE_GIF_BINS);
    if (used == NULL || palette->index_of_bin == NULL) {
        free(used);
        return err_set(err, RC_NO_MEMORY, "no memory to choose the colours of a picture");
    }
    choose(palette, used);
    free(used);
    return RC_OK;
}

uint8_t image_gif_palette_index(const struct image_gif_palette *palette, uint8_t red, uint8_t green,
                                uint8_t blue)
{
    if (!palette->exact)
        return palette->index_of_bin[bin_of(red, green, blue)];
    uint32_t at = slot_of(palette, (uint32_t)red << 16 | (uint32_t)green << 8 | blue);
    return (uint8_t)(palette->slot[at].index_plus_one - 1);
}
