#include "worker/image/rotate.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

/* ---- algebra ---- */

struct image_symmetry image_symmetry_of_orientation(uint8_t orientation)
{
    static const struct image_symmetry symmetry[9] = {
        [1] = {false, 0}, [2] = {true, 0},  [3] = {false, 2}, [4] = {true, 2},
        [5] = {true, 3},  [6] = {false, 1}, [7] = {true, 1},  [8] = {false, 3},
    };
    return symmetry[orientation <= 8 ? orientation : 0];
}

struct image_symmetry image_symmetry_then(struct image_symmetry first, struct image_symmetry second)
{
    /* A mirror turns the sense of the turns before it. */
    int turns = second.quarter_turns + (second.mirror ? 4 - first.quarter_turns : first.quarter_turns);
    return (struct image_symmetry){first.mirror != second.mirror, (uint8_t)(turns % 4)};
}

struct image_size image_symmetry_size(struct image_symmetry symmetry, struct image_size size)
{
    return symmetry.quarter_turns % 2 == 1 ? (struct image_size){size.height_px, size.width_px} : size;
}

/* The same symmetry as: turn columns around, turn rows around, then exchange rows and columns. */
struct flips {
    bool x, y, swap;
};

static struct flips flips_of(struct image_symmetry symmetry)
{
    return (struct flips){
        .x = symmetry.mirror != (symmetry.quarter_turns >= 2),
        .y = symmetry.quarter_turns == 1 || symmetry.quarter_turns == 2,
        .swap = symmetry.quarter_turns % 2 == 1,
    };
}

static void swap_subsampling(struct image_format *format)
{
    uint8_t x = format->sub_x_log2;
    format->sub_x_log2 = format->sub_y_log2;
    format->sub_y_log2 = x;
}

struct image_format image_symmetry_format(struct image_symmetry symmetry, struct image_size size,
                                          const struct image_format *format)
{
    struct flips flips = flips_of(symmetry);
    struct image_format before = *format;

    if (flips.swap)
        swap_subsampling(&before);
    bool shifts = (flips.x && size.width_px % (1u << before.sub_x_log2) != 0) ||
                  (flips.y && size.height_px % (1u << before.sub_y_log2) != 0);
    struct image_format after = *format;
    if (shifts)
        after.sub_x_log2 = after.sub_y_log2 = 0;
    return after;
}

/* ---- planes ---- */

static void reverse_row(const uint8_t *from, uint8_t *to, uint32_t length)
{
    uint32_t x = 0;

    for (; x + 8 <= length; x += 8) {
        uint64_t eight;
        memcpy(&eight, from + x, 8);
        eight = __builtin_bswap64(eight);
        memcpy(to + length - x - 8, &eight, 8);
    }
    for (; x < length; x++)
        to[length - 1 - x] = from[x];
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "transpose_8x8 takes the first byte for the lowest");

/* Exchanges the high part of *a with the low part of *b, in units of `shift` bits. */
static inline void exchange(uint64_t *a, uint64_t *b, unsigned shift, uint64_t mask)
{
    uint64_t t = ((*a >> shift) ^ *b) & mask;
    *b ^= t;
    *a ^= t << shift;
}

static void transpose_8x8(const uint8_t *from, ptrdiff_t from_stride, uint8_t *to, ptrdiff_t to_stride)
{
    uint64_t row[8];

    for (int i = 0; i < 8; i++)
        memcpy(&row[i], from + i * from_stride, 8);
    for (int i = 0; i < 4; i++)
        exchange(&row[i], &row[i + 4], 32, 0x00000000ffffffff);
    for (int i = 0; i < 8; i += i % 2 == 1 ? 3 : 1)
        exchange(&row[i], &row[i + 2], 16, 0x0000ffff0000ffff);
    for (int i = 0; i < 8; i += 2)
        exchange(&row[i], &row[i + 1], 8, 0x00ff00ff00ff00ff);
    for (int i = 0; i < 8; i++)
        memcpy(to + i * to_stride, &row[i], 8);
}

/* to[x][y] = from[y][x], by blocks that stay in the cache. Strides may be negative. */
static void transpose(const uint8_t *from, ptrdiff_t from_stride, uint8_t *to, ptrdiff_t to_stride,
                      uint32_t width, uint32_t height)
{
    uint32_t x, y;

    for (y = 0; y + 8 <= height; y += 8) {
        const uint8_t *row = from + (ptrdiff_t)y * from_stride;
        for (x = 0; x + 8 <= width; x += 8)
            transpose_8x8(row + x, from_stride, to + (ptrdiff_t)x * to_stride + y, to_stride);
        for (; x < width; x++)
            for (uint32_t i = 0; i < 8; i++)
                to[(ptrdiff_t)x * to_stride + y + i] = row[(ptrdiff_t)i * from_stride + x];
    }
    for (; y < height; y++)
        for (x = 0; x < width; x++)
            to[(ptrdiff_t)x * to_stride + y] = from[(ptrdiff_t)y * from_stride + x];
}

/* ---- the step ---- */

struct turn {
    struct image_sink sink;
    struct image_sink *next;
    struct flips flips;
    uint8_t *plane[IMAGE_MAX_PLANES]; /* the turned picture; of the mirror: a turned band */
    size_t capacity_bytes[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};

static enum rc turn_allocate(struct turn *turn, uint32_t plane, uint64_t rows, struct err *err)
{
    const struct image_sink *next = turn->next;
    size_t stride = image_plane_width(&next->format, plane, next->size.width_px);

    turn->stride_bytes[plane] = stride;
    if (turn->capacity_bytes[plane] >= stride * rows)
        return RC_OK;
    free(TAKE_PTR(turn->plane[plane]));
    turn->capacity_bytes[plane] = 0;
    /* Both factors are below 2^32. */
    turn->plane[plane] = malloc(stride * rows);
    if (turn->plane[plane] == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to turn a picture of %u x %u pixels",
                       turn->sink.size.width_px, turn->sink.size.height_px);
    turn->capacity_bytes[plane] = stride * rows;
    return RC_OK;
}

static enum rc mirror_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct turn *turn = (struct turn *)(void *)sink;
    struct image_band out = {.y_px = band->y_px, .height_px = band->height_px};

    for (uint32_t i = 0; i < image_format_planes(&sink->format); i++) {
        uint32_t width = image_plane_width(&sink->format, i, sink->size.width_px);
        uint32_t rows = image_plane_height(&sink->format, i, band->height_px);
        enum rc rc = turn_allocate(turn, i, rows, err);
        if (rc != RC_OK)
            return rc;
        for (uint32_t y = 0; y < rows; y++)
            reverse_row(band->plane[i] + y * band->stride_bytes[i],
                        turn->plane[i] + y * turn->stride_bytes[i], width);
        out.plane[i] = turn->plane[i];
        out.stride_bytes[i] = turn->stride_bytes[i];
    }
    return turn->next->ops->write(turn->next, &out, err);
}

static enum rc mirror_finish(struct image_sink *sink, struct err *err)
{
    struct turn *turn = (struct turn *)(void *)sink;
    return turn->next->ops->finish(turn->next, err);
}

/* Puts some rows of a plane where they belong in the turned plane. */
static void turn_rows(const struct turn *turn, uint32_t plane, const uint8_t *from, size_t from_stride,
                      uint32_t y, uint32_t rows)
{
    const struct image_sink *sink = &turn->sink;
    uint32_t width = image_plane_width(&sink->format, plane, sink->size.width_px);
    uint32_t height = image_plane_height(&sink->format, plane, sink->size.height_px);
    size_t stride = turn->stride_bytes[plane];
    uint8_t *to = turn->plane[plane];

    if (turn->flips.swap) {
        ptrdiff_t step = (ptrdiff_t)from_stride, to_step = (ptrdiff_t)stride;
        if (turn->flips.y) { /* from the last row up */
            from += (ptrdiff_t)(rows - 1) * step;
            step = -step;
            y = height - y - rows;
        }
        if (turn->flips.x) {
            to += (size_t)(width - 1) * stride;
            to_step = -to_step;
        }
        transpose(from, step, to + y, to_step, width, rows);
        return;
    }
    for (uint32_t i = 0; i < rows; i++, from += from_stride) {
        uint8_t *row = to + (size_t)(turn->flips.y ? height - 1 - y - i : y + i) * stride;
        if (turn->flips.x)
            reverse_row(from, row, width);
        else
            memcpy(row, from, width);
    }
}

static enum rc turn_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct turn *turn = (struct turn *)(void *)sink;

    for (uint32_t i = 0; i < image_format_planes(&sink->format); i++) {
        /* Rows of the picture's last band need not fill its last chroma row. */
        uint32_t y = image_plane_height(&sink->format, i, band->y_px);
        enum rc rc = turn_allocate(
            turn, i, image_plane_height(&turn->next->format, i, turn->next->size.height_px), err);
        if (rc != RC_OK)
            return rc;
        turn_rows(turn, i, band->plane[i], band->stride_bytes[i], y,
                  image_plane_height(&sink->format, i, band->height_px));
    }
    return RC_OK;
}

static enum rc turn_finish(struct image_sink *sink, struct err *err)
{
    struct turn *turn = (struct turn *)(void *)sink;
    struct image_band out = {.y_px = 0, .height_px = turn->next->size.height_px};

    for (uint32_t i = 0; i < image_format_planes(&turn->next->format); i++) {
        out.plane[i] = turn->plane[i];
        out.stride_bytes[i] = turn->stride_bytes[i];
    }
    enum rc rc = turn->next->ops->write(turn->next, &out, err);
    return rc == RC_OK ? turn->next->ops->finish(turn->next, err) : rc;
}

static void turn_close(struct image_sink *sink)
{
    struct turn *turn = (struct turn *)(void *)sink;

    image_sink_close(&turn->next);
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(turn->plane[i]);
    free(turn);
}

enum rc image_rotate_by_symmetry(struct image_symmetry symmetry, struct image_size size,
                                 struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops mirror_ops = {mirror_write, mirror_finish, turn_close};
    static const struct image_sink_ops turn_ops = {turn_write, turn_finish, turn_close};
    struct flips flips = flips_of(symmetry);
    struct image_size after = image_symmetry_size(symmetry, size);
    struct image_format stands = image_symmetry_format(symmetry, size, &next->format);

    assert(next->size.width_px == after.width_px && next->size.height_px == after.height_px);
    assert(next->format.depth_bits == 8 && stands.sub_x_log2 == next->format.sub_x_log2 &&
           stands.sub_y_log2 == next->format.sub_y_log2);
    if (!flips.x && !flips.y && !flips.swap) {
        *ret_sink = next;
        return RC_OK;
    }
    struct turn *turn = calloc(1, sizeof *turn);
    if (turn == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to turn a picture");
    }
    turn->sink = (struct image_sink){
        .ops = flips.y || flips.swap ? &turn_ops : &mirror_ops, .format = next->format, .size = size};
    if (flips.swap)
        swap_subsampling(&turn->sink.format);
    turn->next = next;
    turn->flips = flips;
    *ret_sink = &turn->sink;
    return RC_OK;
}
