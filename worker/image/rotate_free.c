#include "worker/image/rotate.h"

#include "base/own.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BAND_ROWS 16u

/* Positions in the picture are fixed point with 32 fractional bits, so that a row is stepped through without
 * drift and the result does not depend on how the compiler orders additions. */
#define ONE ((int64_t)1 << 32)

struct free_turn {
    struct image_sink sink;
    struct image_sink *next;
    uint32_t colours;                 /* colour planes; both sides have the same */
    bool opaque;                      /* what is written has no alpha */
    uint8_t *plane[IMAGE_MAX_PLANES]; /* the whole picture */
    uint8_t *band[IMAGE_MAX_PLANES];  /* BAND_ROWS rows of the canvas */
    double cosine, sine;
};

/* Exact at multiples of a quarter, where sin() and cos() leave noise. */
static void direction(double degrees, double *cosine, double *sine)
{
    double turns = fmod(degrees, 360);
    static const double exact[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};

    if (turns < 0)
        turns += 360;
    if (fmod(turns, 90) == 0) {
        *cosine = exact[(int)(turns / 90) % 4][0];
        *sine = exact[(int)(turns / 90) % 4][1];
        return;
    }
    *cosine = cos(turns * (M_PI / 180));
    *sine = sin(turns * (M_PI / 180));
}

struct image_size image_rotate_canvas(struct image_size size, double degrees)
{
    double cosine, sine;

    direction(degrees, &cosine, &sine);
    double width = ceil(size.width_px * fabs(cosine) + size.height_px * fabs(sine) - 1e-6);
    double height = ceil(size.width_px * fabs(sine) + size.height_px * fabs(cosine) - 1e-6);
    return (struct image_size){width >= UINT32_MAX ? UINT32_MAX : (uint32_t)width,
                               height >= UINT32_MAX ? UINT32_MAX : (uint32_t)height};
}

static enum rc free_turn_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct free_turn *turn = (struct free_turn *)(void *)sink;
    size_t width = sink->size.width_px;

    (void)err;
    for (uint32_t i = 0; i < image_format_planes(&sink->format); i++)
        for (uint32_t y = 0; y < band->height_px; y++)
            memcpy(turn->plane[i] + (band->y_px + y) * width, band->plane[i] + y * band->stride_bytes[i],
                   width);
    return RC_OK;
}

/* The four samples around a position: where the first lies, and their weights (65536 in all) where they
 * exist. */
struct quad {
    int64_t offset;
    uint32_t weight[4];
};

/* False where none of the four lies in the picture. */
static bool quad_at(struct image_size size, int64_t x, int64_t y, struct quad *ret)
{
    int64_t column = x >> 32, row = y >> 32;
    uint32_t fx = (uint32_t)(x >> 24) & 255, fy = (uint32_t)(y >> 24) & 255;

    if (column < -1 || row < -1 || column >= size.width_px || row >= size.height_px)
        return false;
    bool left = column >= 0, right = column + 1 < size.width_px, top = row >= 0,
         bottom = row + 1 < size.height_px;
    ret->offset = row * size.width_px + column;
    ret->weight[0] = left && top ? (256 - fx) * (256 - fy) : 0;
    ret->weight[1] = right && top ? fx * (256 - fy) : 0;
    ret->weight[2] = left && bottom ? (256 - fx) * fy : 0;
    ret->weight[3] = right && bottom ? fx * fy : 0;
    return true;
}

/* Samples without weight may lie outside the plane and are not looked at. */
static void quad_samples(const struct free_turn *turn, const struct quad *quad, uint32_t plane,
                         uint32_t ret[4])
{
    const uint8_t *from = turn->plane[plane];
    int64_t width = turn->sink.size.width_px;

    ret[0] = quad->weight[0] ? from[quad->offset] : 0;
    ret[1] = quad->weight[1] ? from[quad->offset + 1] : 0;
    ret[2] = quad->weight[2] ? from[quad->offset + width] : 0;
    ret[3] = quad->weight[3] ? from[quad->offset + width + 1] : 0;
}

static void blend_pixel(const struct free_turn *turn, const struct quad *quad, size_t to)
{
    uint32_t share[4], sample[4], cover = 0; /* cover: 65536 * 255 where fully there */

    if (turn->opaque)
        for (int k = 0; k < 4; k++)
            share[k] = quad->weight[k] * 255;
    else {
        quad_samples(turn, quad, turn->colours, share);
        for (int k = 0; k < 4; k++)
            share[k] *= quad->weight[k];
    }
    for (int k = 0; k < 4; k++)
        cover += share[k];
    bool alpha = turn->next->format.alpha != IMAGE_ALPHA_NONE;
    for (uint32_t i = 0; i < turn->colours; i++) {
        quad_samples(turn, quad, i, sample);
        uint64_t sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (uint64_t)share[k] * sample[k];
        if (alpha)
            turn->band[i][to] = (uint8_t)(cover > 0 ? (sum + cover / 2) / cover : 0);
        else
            turn->band[i][to] = (uint8_t)((sum + (65536u * 255 - cover) * (uint64_t)255 + 65536 * 255 / 2) /
                                          (65536 * 255));
    }
    if (alpha)
        turn->band[turn->colours][to] = (uint8_t)((cover + 32768) >> 16);
}

static void draw_row(struct free_turn *turn, uint32_t y, size_t to)
{
    const struct image_size canvas = turn->next->size, size = turn->sink.size;
    /* Centres: of the canvas's first pixel in this row, relative to the canvas's middle, turned back. */
    double cx = 0.5 - canvas.width_px / 2.0, cy = y + 0.5 - canvas.height_px / 2.0;
    int64_t sx = llrint((cx * turn->cosine + cy * turn->sine + size.width_px / 2.0 - 0.5) * (double)ONE);
    int64_t sy = llrint((cy * turn->cosine - cx * turn->sine + size.height_px / 2.0 - 0.5) * (double)ONE);
    int64_t step_x = llrint(turn->cosine * (double)ONE), step_y = llrint(-turn->sine * (double)ONE);
    struct quad quad;

    for (uint32_t i = 0; i < turn->colours; i++)
        memset(turn->band[i] + to, turn->next->format.alpha == IMAGE_ALPHA_NONE ? 255 : 0, canvas.width_px);
    if (turn->next->format.alpha != IMAGE_ALPHA_NONE)
        memset(turn->band[turn->colours] + to, 0, canvas.width_px);
    for (uint32_t x = 0; x < canvas.width_px; x++, sx += step_x, sy += step_y)
        if (quad_at(size, sx, sy, &quad))
            blend_pixel(turn, &quad, to + x);
}

static enum rc free_turn_finish(struct image_sink *sink, struct err *err)
{
    struct free_turn *turn = (struct free_turn *)(void *)sink;
    const struct image_size canvas = turn->next->size;

    for (uint32_t y = 0; y < canvas.height_px; y += BAND_ROWS) {
        struct image_band out = {
            .y_px = y, .height_px = canvas.height_px - y < BAND_ROWS ? canvas.height_px - y : BAND_ROWS};
        for (uint32_t i = 0; i < out.height_px; i++)
            draw_row(turn, y + i, (size_t)i * canvas.width_px);
        for (uint32_t i = 0; i < image_format_planes(&turn->next->format); i++) {
            out.plane[i] = turn->band[i];
            out.stride_bytes[i] = canvas.width_px;
        }
        enum rc rc = turn->next->ops->write(turn->next, &out, err);
        if (rc != RC_OK)
            return rc;
    }
    return turn->next->ops->finish(turn->next, err);
}

static void free_turn_close(struct image_sink *sink)
{
    struct free_turn *turn = (struct free_turn *)(void *)sink;

    image_sink_close(&turn->next);
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        free(turn->plane[i]);
        free(turn->band[i]);
    }
    free(turn);
}

static bool allocate(struct free_turn *turn)
{
    for (uint32_t i = 0; i < image_format_planes(&turn->sink.format); i++)
        if ((turn->plane[i] = malloc(image_size_area(turn->sink.size))) == NULL)
            return false;
    for (uint32_t i = 0; i < image_format_planes(&turn->next->format); i++)
        if ((turn->band[i] = malloc((size_t)turn->next->size.width_px * BAND_ROWS)) == NULL)
            return false;
    return true;
}

enum rc image_rotate_by_degrees(double degrees, struct image_size size, const struct image_format *format,
                                struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {free_turn_write, free_turn_finish, free_turn_close};
    struct free_turn *turn = calloc(1, sizeof *turn);

    assert((format->model == IMAGE_GRAY || format->model == IMAGE_RGB) &&
           format->model == next->format.model);
    assert(format->depth_bits == 8 && format->alpha != IMAGE_ALPHA_PREMULTIPLIED);
    if (turn == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to turn a picture");
    }
    turn->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    turn->next = next;
    turn->opaque = format->alpha == IMAGE_ALPHA_NONE;
    turn->colours = format->model == IMAGE_GRAY ? 1 : 3;
    direction(degrees, &turn->cosine, &turn->sine);
    if (!allocate(turn)) {
        free_turn_close(&turn->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to turn a picture of %u x %u pixels", size.width_px,
                       size.height_px);
    }
    *ret_sink = &turn->sink;
    return RC_OK;
}
