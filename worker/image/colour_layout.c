/* The plain steps of colour.h, without profiles: gray, alpha, threshold. */
#include "worker/image/colour.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

#define CHUNK_ROWS 16u

struct layout {
    struct image_sink sink;
    struct image_sink *next;
    uint8_t *plane[IMAGE_MAX_PLANES]; /* CHUNK_ROWS rows each */
};

static uint32_t colours_of(const struct image_format *format)
{
    return format->model == IMAGE_GRAY ? 1 : 3;
}

/* round(a * b / 255) */
static uint8_t times(uint32_t a, uint32_t b)
{
    uint32_t product = a * b + 128;
    return (uint8_t)((product + (product >> 8)) >> 8);
}

static void alpha_onto_white(enum image_alpha alpha, const uint8_t *colour, const uint8_t *cover, uint8_t *to,
                             uint32_t width)
{
    for (uint32_t x = 0; x < width; x++) {
        uint32_t ink = alpha == IMAGE_ALPHA_STRAIGHT ? times(colour[x], cover[x]) : colour[x],
                 sum = ink + 255u - cover[x];
        to[x] = (uint8_t)(sum > 255 ? 255
                                    : sum); /* premultiplied colour may lie about being below its alpha */
    }
}

static void alpha_multiply(const uint8_t *colour, const uint8_t *cover, uint8_t *to, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++)
        to[x] = times(colour[x], cover[x]);
}

static void alpha_divide(const uint8_t *colour, const uint8_t *cover, uint8_t *to, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++) {
        uint32_t value = cover[x] > 0 ? (colour[x] * 255u + cover[x] / 2u) / cover[x] : 0;
        to[x] = (uint8_t)(value > 255 ? 255 : value);
    }
}

/* BT.601, rounded; the same weights as JPEG's Y. */
static void luma(const uint8_t *red, const uint8_t *green, const uint8_t *blue, uint8_t *to, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++)
        to[x] = (uint8_t)((19595u * red[x] + 38470u * green[x] + 7471u * blue[x] + 32768u) >> 16);
}

/* Brings one row's alpha to what is wanted: writes colour planes to own rows where they change; `row` points
 * to the current samples before and after. */
static void row_alpha(struct layout *l, const uint8_t *row[IMAGE_MAX_PLANES], const uint8_t *cover, size_t at)
{
    enum image_alpha from = l->sink.format.alpha, to = l->next->format.alpha;
    uint32_t width = l->sink.size.width_px;

    if (from == to || from == IMAGE_ALPHA_NONE)
        return;
    assert(cover != NULL);
    for (uint32_t i = 0; i < colours_of(&l->sink.format); i++) {
        uint8_t *own = l->plane[i] + at;
        if (to == IMAGE_ALPHA_NONE)
            alpha_onto_white(from, row[i], cover, own, width);
        else if (to == IMAGE_ALPHA_PREMULTIPLIED)
            alpha_multiply(row[i], cover, own, width);
        else
            alpha_divide(row[i], cover, own, width);
        row[i] = own;
    }
}

static void layout_row(struct layout *l, const uint8_t *row[IMAGE_MAX_PLANES], size_t at)
{
    const struct image_format *from = &l->sink.format, *to = &l->next->format;
    const uint8_t *cover = from->alpha == IMAGE_ALPHA_NONE ? NULL : row[colours_of(from)];

    row_alpha(l, row, cover, at);
    if (from->model == IMAGE_RGB && to->model == IMAGE_GRAY) {
        assert(row[1] != NULL && row[2] != NULL);
        luma(row[0], row[1], row[2], l->plane[0] + at, l->sink.size.width_px);
        row[0] = l->plane[0] + at;
    } else if (from->model == IMAGE_GRAY && to->model == IMAGE_RGB) {
        row[1] = row[2] = row[0];
    }
    if (to->alpha != IMAGE_ALPHA_NONE)
        row[colours_of(to)] = cover != NULL ? cover
                                            : l->plane[colours_of(to)]; /* opaque rows were filled once */
}

static enum rc layout_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct layout *l = (struct layout *)(void *)sink;
    uint32_t planes = image_format_planes(&l->next->format);

    for (uint32_t y = 0; y < band->height_px; y += CHUNK_ROWS) {
        struct image_band out = {.y_px = band->y_px + y,
                                 .height_px = band->height_px - y < CHUNK_ROWS ? band->height_px - y
                                                                               : CHUNK_ROWS};
        for (uint32_t i = 0; i < out.height_px; i++) {
            const uint8_t *row[IMAGE_MAX_PLANES] = {NULL};
            for (uint32_t p = 0; p < image_format_planes(&sink->format); p++)
                row[p] = band->plane[p] + (y + i) * band->stride_bytes[p];
            layout_row(l, row, (size_t)i * sink->size.width_px);
            /* A plane is either ours in every row or the band's in every row. */
            for (uint32_t p = 0; i < 2 && p < planes; p++) {
                if (i == 0)
                    out.plane[p] = row[p];
                else
                    out.stride_bytes[p] = (size_t)(row[p] - out.plane[p]);
            }
        }
        enum rc rc = l->next->ops->write(l->next, &out, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc threshold_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct layout *l = (struct layout *)(void *)sink;
    uint32_t width = sink->size.width_px, colours = colours_of(&sink->format);

    for (uint32_t y = 0; y < band->height_px; y += CHUNK_ROWS) {
        struct image_band out = {.y_px = band->y_px + y,
                                 .height_px = band->height_px - y < CHUNK_ROWS ? band->height_px - y
                                                                               : CHUNK_ROWS};
        for (uint32_t p = 0; p < image_format_planes(&sink->format); p++) {
            const uint8_t *from = band->plane[p] + y * band->stride_bytes[p];
            out.plane[p] = p < colours ? l->plane[p] : from;
            out.stride_bytes[p] = p < colours ? width : band->stride_bytes[p];
            for (uint32_t i = 0; p < colours && i < out.height_px; i++)
                for (uint32_t x = 0; x < width; x++)
                    l->plane[p][(size_t)i * width + x] = from[i * band->stride_bytes[p] + x] >= 128 ? 255 : 0;
        }
        enum rc rc = l->next->ops->write(l->next, &out, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc layout_finish(struct image_sink *sink, struct err *err)
{
    struct layout *l = (struct layout *)(void *)sink;
    return l->next->ops->finish(l->next, err);
}

static void layout_close(struct image_sink *sink)
{
    struct layout *l = (struct layout *)(void *)sink;

    image_sink_close(&l->next);
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(l->plane[i]);
    free(l);
}

static enum rc layout_open(const struct image_sink_ops *ops, const struct image_format *from,
                           struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    struct layout *l = calloc(1, sizeof *l);

    if (l == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to convert colours");
    }
    l->sink = (struct image_sink){.ops = ops, .format = *from, .size = next->size};
    l->next = next;
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        l->plane[i] = malloc((size_t)next->size.width_px * CHUNK_ROWS);
        if (l->plane[i] == NULL) {
            layout_close(&l->sink);
            return err_set(err, RC_NO_MEMORY, "no memory to convert rows of %u pixels",
                           l->sink.size.width_px);
        }
    }
    if (from->alpha ==
        IMAGE_ALPHA_NONE) /* for an opaque plane, where `next` wants one: nobody writes here again */
        memset(l->plane[colours_of(&next->format)], 255, (size_t)next->size.width_px * CHUNK_ROWS);
    *ret_sink = &l->sink;
    return RC_OK;
}

enum rc image_colour_to_layout(const struct image_format *from, struct image_sink *next,
                               struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {layout_write, layout_finish, layout_close};
    const struct image_format *to = &next->format;

    if (from->model == to->model && from->alpha == to->alpha) {
        *ret_sink = next;
        return RC_OK;
    }
    assert((from->model == IMAGE_GRAY || from->model == IMAGE_RGB) &&
           (to->model == IMAGE_GRAY || to->model == IMAGE_RGB));
    struct image_format plain = *from;
    plain.depth_bits = 8;
    return layout_open(&ops, &plain, next, ret_sink, err);
}

enum rc image_colour_threshold(struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {threshold_write, layout_finish, layout_close};
    struct image_format format = next->format;

    assert(format.model == IMAGE_GRAY || format.model == IMAGE_RGB);
    return layout_open(&ops, &format, next, ret_sink, err);
}
