#include "worker/ingest/turn.h"

#include "base/fdio.h"
#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/ingest/spool.h"

#include <assert.h>
#include <string.h>

#define BLOCK_PX 64u /* rows that are written, and rows or columns that are read, at a time */

/* In the file one block of rows follows the other, in each its planes; where rows become columns a block is
 * turned over: column after column. Blocks are of one size, the last one too. */
struct turn {
    struct image_sink sink;
    struct image_sink *next;
    bool swaps;        /* rows become columns */
    bool lines_back;   /* the last row (or column) is put out first */
    bool samples_back; /* each row put out begins with its last sample */
    int fd;
    uint32_t planes, sample_bytes;
    uint64_t block_bytes;
    size_t plane_at[IMAGE_MAX_PLANES]; /* in a block */
    uint8_t *block;                    /* of rows, as they come */
    struct image_band rows;            /* lies over it */
    uint32_t held_px, blocks;          /* luma rows in `block`; blocks written */
    uint8_t *turned;                   /* a block as it is written, or a piece of one as it is read */
    uint8_t *out;
    struct image_band out_band;
};

/* ---- in ---- */

static uint32_t plane_rows(const struct turn *t, uint32_t plane, uint32_t rows_px)
{
    return image_plane_height(&t->sink.format, plane, rows_px);
}

static void copy_sample(uint8_t *to, const uint8_t *from, uint32_t sample_bytes)
{
    to[0] = from[0];
    if (sample_bytes == 2)
        to[1] = from[1];
}

/* A plane's rows of the block, column after column. */
static void turn_over(struct turn *t, uint32_t plane, uint32_t rows)
{
    uint32_t width = image_plane_width(&t->sink.format, plane, t->sink.size.width_px), s = t->sample_bytes;
    size_t column_bytes = (size_t)plane_rows(t, plane, BLOCK_PX) * s;

    for (uint32_t y = 0; y < rows; y++) {
        const uint8_t *from = image_planes_row(&t->rows, plane, y);
        uint8_t *to = t->turned + t->plane_at[plane] + (size_t)y * s;
        for (uint32_t x = 0; x < width; x++, from += s, to += column_bytes)
            copy_sample(to, from, s);
    }
}

static enum rc flush_block(struct turn *t, struct err *err)
{
    const uint8_t *data = t->block;

    for (uint32_t plane = 0; t->swaps && plane < t->planes; plane++)
        turn_over(t, plane, plane_rows(t, plane, t->held_px));
    if (t->swaps)
        data = t->turned;
    t->held_px = 0;
    return ingest_spool_write_at(t->fd, data, (size_t)t->block_bytes, t->blocks++ * t->block_bytes, err);
}

static enum rc turn_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct turn *t = (struct turn *)(void *)sink;

    for (uint32_t y = 0, count; y < band->height_px; y += count) {
        uint32_t left = band->height_px - y, room = BLOCK_PX - t->held_px;
        count = left < room ? left : room;
        for (uint32_t plane = 0; plane < t->planes; plane++) {
            uint32_t first = plane_rows(t, plane, y), end = plane_rows(t, plane, y + count);
            uint32_t to = plane_rows(t, plane, t->held_px);
            size_t length = t->rows.stride_bytes[plane];
            for (uint32_t row = first; row < end; row++, to++)
                memcpy(image_planes_row(&t->rows, plane, to),
                       band->plane[plane] + row * band->stride_bytes[plane], length);
        }
        t->held_px += count;
        enum rc rc = t->held_px == BLOCK_PX ? flush_block(t, err) : RC_OK;
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- out ---- */

static void put_back(uint8_t *to, const uint8_t *from, uint32_t count, uint32_t sample_bytes)
{
    for (uint32_t i = 0; i < count; i++)
        copy_sample(to + (size_t)i * sample_bytes, from + (size_t)(count - 1 - i) * sample_bytes,
                    sample_bytes);
}

/* Rows [first, first + count) of a plane, in the order they have in the file, to rows `to`... of the band. */
static enum rc read_rows(struct turn *t, uint32_t plane, uint32_t first, uint32_t count, struct err *err)
{
    uint32_t per_block = plane_rows(t, plane, BLOCK_PX);
    uint32_t width = image_plane_width(&t->sink.format, plane, t->sink.size.width_px);
    size_t row_bytes = t->rows.stride_bytes[plane];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = first + i;
        uint64_t at = row / per_block * t->block_bytes + t->plane_at[plane] + row % per_block * row_bytes;
        uint8_t *to = image_planes_row(&t->out_band, plane, t->lines_back ? count - 1 - i : i);
        enum rc rc = fdio_pread_exact(t->fd, t->samples_back ? t->turned : to, row_bytes, at, err);
        if (rc != RC_OK)
            return rc;
        if (t->samples_back)
            put_back(to, t->turned, width, t->sample_bytes);
    }
    return RC_OK;
}

/* Columns [first, first + count) of a plane become rows of the band. */
static enum rc read_columns(struct turn *t, uint32_t plane, uint32_t first, uint32_t count, struct err *err)
{
    uint32_t per_block = plane_rows(t, plane, BLOCK_PX), s = t->sample_bytes;
    uint32_t height = plane_rows(t, plane, t->sink.size.height_px);
    size_t column_bytes = (size_t)per_block * s;

    for (uint32_t block = 0; block < t->blocks; block++) {
        uint32_t top = block * per_block, rows = height - top < per_block ? height - top : per_block;
        uint64_t at = block * t->block_bytes + t->plane_at[plane] + first * column_bytes;
        enum rc rc = fdio_pread_exact(t->fd, t->turned, count * column_bytes, at, err);
        if (rc != RC_OK)
            return rc;
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *from = t->turned + i * column_bytes;
            uint8_t *row = image_planes_row(&t->out_band, plane, t->lines_back ? count - 1 - i : i);
            if (t->samples_back)
                put_back(row + (size_t)(height - top - rows) * s, from, rows, s);
            else
                memcpy(row + (size_t)top * s, from, (size_t)rows * s);
        }
    }
    return RC_OK;
}

/* The lines of a plane that lie behind the output's pixels [y, y + count): rows or columns of the file. */
static enum rc read_lines(struct turn *t, uint32_t plane, uint32_t y, uint32_t count, struct err *err)
{
    const struct image_format *format = &t->next->format;
    uint32_t first = image_plane_height(format, plane, y), end = image_plane_height(format, plane, y + count);
    uint32_t all = image_plane_height(format, plane, t->next->size.height_px);
    uint32_t from = t->lines_back ? all - end : first;

    return t->swaps ? read_columns(t, plane, from, end - first, err)
                    : read_rows(t, plane, from, end - first, err);
}

static enum rc turn_finish(struct image_sink *sink, struct err *err)
{
    struct turn *t = (struct turn *)(void *)sink;
    uint32_t height = t->next->size.height_px;
    enum rc rc = t->held_px > 0 ? flush_block(t, err) : RC_OK;

    for (uint32_t y = 0; rc == RC_OK && y < height; y += BLOCK_PX) {
        uint32_t count = height - y < BLOCK_PX ? height - y : BLOCK_PX;
        for (uint32_t plane = 0; rc == RC_OK && plane < t->planes; plane++)
            rc = read_lines(t, plane, y, count, err);
        t->out_band.y_px = y;
        t->out_band.height_px = count;
        if (rc == RC_OK)
            rc = t->next->ops->write(t->next, &t->out_band, err);
    }
    return rc == RC_OK ? t->next->ops->finish(t->next, err) : rc;
}

static void turn_close(struct image_sink *sink)
{
    struct turn *t = (struct turn *)(void *)sink;

    image_sink_close(&t->next);
    own_close(&t->fd);
    free(t->block);
    free(t->turned);
    free(t->out);
    free(t);
}

static enum rc allocate(struct turn *t, struct err *err)
{
    const struct image_size in = {t->sink.size.width_px, BLOCK_PX}, out = {t->next->size.width_px, BLOCK_PX};
    enum rc rc = image_planes_alloc(&t->sink.format, in, SIZE_MAX, &t->block, &t->rows, err);

    if (rc == RC_OK)
        rc = image_planes_alloc(&t->next->format, out, SIZE_MAX, &t->out, &t->out_band, err);
    if (rc != RC_OK)
        return rc;
    for (uint32_t plane = 0; plane < t->planes; plane++) {
        t->plane_at[plane] = (size_t)(t->rows.plane[plane] - t->block);
        t->block_bytes += (uint64_t)t->rows.stride_bytes[plane] * plane_rows(t, plane, BLOCK_PX);
    }
    memset(t->block, 0, (size_t)t->block_bytes);
    t->turned = calloc(1, (size_t)t->block_bytes + (size_t)BLOCK_PX * BLOCK_PX * 2);
    return t->turned != NULL ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory to turn the picture");
}

enum rc ingest_turn(struct image_symmetry symmetry, struct image_size size, const char *folder,
                    struct image_sink *next, struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {turn_write, turn_finish, turn_close};

    if (symmetry.quarter_turns == 0 && !symmetry.mirror) {
        *ret_sink = next;
        return RC_OK;
    }
    if (symmetry.quarter_turns == 0 && next->format.depth_bits == 8)
        return image_rotate_by_symmetry(symmetry, size, next, ret_sink, err);
    struct turn *t = calloc(1, sizeof *t);
    if (t == NULL) {
        image_sink_close(&next);
        return err_set(err, RC_NO_MEMORY, "no memory to turn the picture");
    }
    assert(next->format.sub_x_log2 == next->format.sub_y_log2);
    t->sink = (struct image_sink){.ops = &ops, .format = next->format, .size = size};
    t->next = next;
    t->planes = image_format_planes(&next->format);
    t->sample_bytes = next->format.depth_bits / 8u;
    t->swaps = symmetry.quarter_turns % 2 == 1;
    t->lines_back = t->swaps ? symmetry.mirror == (symmetry.quarter_turns == 1) : symmetry.quarter_turns == 2;
    t->samples_back = t->swaps ? symmetry.quarter_turns == 1
                               : symmetry.mirror == (symmetry.quarter_turns == 0);
    t->fd = -1;
    enum rc rc = allocate(t, err);
    if (rc == RC_OK)
        rc = ingest_spool_file(folder, &t->fd, err);
    if (rc != RC_OK) {
        turn_close(&t->sink);
        return rc;
    }
    *ret_sink = &t->sink;
    return RC_OK;
}
