#include "worker/ingest/pyramid.h"

#include "base/own.h"
#include "worker/ingest/row.h"

struct level {
    struct ingest_tiles_level *tiles;
    struct ingest_axis across[IMAGE_MAX_PLANES], down[IMAGE_MAX_PLANES]; /* of each plane's samples */
    uint32_t rows_done[IMAGE_MAX_PLANES];
    uint16_t *line[IMAGE_MAX_PLANES][2]; /* wide: rows of even and of odd number, the last that came */
};

struct ingest_pyramid {
    struct image_sink sink;
    uint32_t tile_px, level_count, planes;
    struct level level[IMAGE_MAX_LEVELS];
    struct ingest_tiles *tiles;
};

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- rows in blocks ---- */

static enum rc ready_tiles(struct ingest_pyramid *p, struct level *level, struct err *err)
{
    return level->tiles->block[0] != NULL ? RC_OK : ingest_tiles_begin_row(p->tiles, level->tiles, err);
}

/* Row `row` of the row of tiles that fills up. */
static struct ingest_row row_of(const struct ingest_pyramid *p, const struct level *level, uint32_t plane,
                                uint32_t row)
{
    return (struct ingest_row){.blocks = ingest_tiles_blocks(p->tiles),
                               .block = level->tiles->block,
                               .plane = plane,
                               .row = row,
                               .across = &level->across[plane]};
}

/* Whether every plane has all its rows of the row of tiles that fills up. */
static bool is_full(const struct ingest_pyramid *p, const struct level *level)
{
    uint32_t end_px = less((level->tiles->row + 1) * p->tile_px, level->tiles->size.height_px);

    for (uint32_t plane = 0; plane < p->planes; plane++)
        if (level->rows_done[plane] < image_plane_height(&p->sink.format, plane, end_px))
            return false;
    return true;
}

/* ---- from level to level ---- */

/* The last two rows of a plane, wide, where something is to be made of them: of level 0 they still lie in its
 * blocks. */
static void wide_pair(const struct ingest_pyramid *p, struct level *level, uint32_t plane)
{
    uint32_t last = level->rows_done[plane] - 1, first = last - last % 2;

    if (level != p->level)
        return;
    for (uint32_t number = first; number <= last; number++) {
        struct ingest_row row = row_of(p, level, plane, number);
        ingest_row_wide(&row, level->line[plane][number % 2]);
    }
}

static void halve_plane(const struct ingest_pyramid *p, struct level *level, uint32_t plane, uint16_t *to)
{
    uint32_t rows = level->rows_done[plane];
    const struct ingest_axis *down = &level->down[plane];
    bool alone = rows % 2 == 1, uneven = rows == down->count && down->last < down->full && !alone;

    if (level == p->level && p->sink.format.depth_bits == 8 && !uneven) {
        struct ingest_row row = row_of(p, level, plane, rows - 1);
        ingest_row_halve(&row, alone, to);
        return;
    }
    wide_pair(p, level, plane);
    uint16_t *above = level->line[plane][0], *below = alone ? above : level->line[plane][1];
    if (uneven) {
        ingest_blend_rows(above, below, level->across[plane].count, down->full, down->last);
        below = above;
    }
    ingest_halve_wide(above, below, &level->across[plane], to);
}

/* Colour planes of straight alpha: all rows of the pair are there, alpha's came last. */
static void halve_covered(const struct ingest_pyramid *p, struct level *level, struct level *next)
{
    uint32_t alpha = p->planes - 1, rows = level->rows_done[alpha], to = next->rows_done[alpha] % 2;
    const struct ingest_axis *down = &level->down[alpha];
    unsigned second = rows % 2 == 0;
    uint64_t below_weight = rows == down->count ? down->last : down->full;

    for (uint32_t plane = 0; plane <= alpha; plane++)
        wide_pair(p, level, plane);
    for (uint32_t plane = 0; plane < alpha; plane++)
        ingest_halve_covered(level->line[plane][0], level->line[plane][second], level->line[alpha][0],
                             level->line[alpha][second], second ? down->full : below_weight, below_weight,
                             &level->across[plane], next->line[plane][to]);
}

static enum rc row_done(struct ingest_pyramid *p, struct level *level, uint32_t plane, struct err *err);

/* Takes over a row that stands in the level's line. */
static enum rc take_line(struct ingest_pyramid *p, struct level *level, uint32_t plane, struct err *err)
{
    uint32_t number = level->rows_done[plane];
    enum rc rc = ready_tiles(p, level, err);

    if (rc != RC_OK)
        return rc;
    struct ingest_row row = row_of(p, level, plane, number);
    ingest_row_put_wide(&row, level->line[plane][number % 2]);
    return row_done(p, level, plane, err);
}

/* A row has come to lie in the level's blocks: makes one of the next level, if its pair is complete, and
 * gives the row of tiles to the crew, if that is. */
static enum rc row_done(struct ingest_pyramid *p, struct level *level, uint32_t plane, struct err *err)
{
    bool covered = p->sink.format.alpha == IMAGE_ALPHA_STRAIGHT;
    uint32_t rows = ++level->rows_done[plane];
    bool pair = rows % 2 == 0 || rows == level->down[plane].count;
    struct level *next = level + 1;
    enum rc rc = RC_OK;

    if (pair && next < p->level + p->level_count && (!covered || plane == p->planes - 1)) {
        uint32_t first = covered ? 0 : plane;
        if (covered)
            halve_covered(p, level, next);
        halve_plane(p, level, plane,
                    next->line[plane][next->rows_done[plane] % 2]); /* changes alpha's lines */
        for (uint32_t i = first; rc == RC_OK && i <= plane; i++)
            rc = take_line(p, next, i, err);
    }
    return rc == RC_OK && is_full(p, level) ? ingest_tiles_end_row(p->tiles, level->tiles, err) : rc;
}

/* ---- the sink ---- */

/* The rows of a plane that stand for the band's pixels up to `until_px`. */
static enum rc take_rows(struct ingest_pyramid *p, const struct image_band *band, uint32_t plane,
                         uint32_t until_px, struct err *err)
{
    const struct image_format *format = &p->sink.format;
    struct level *level = &p->level[0];
    uint32_t first = image_plane_height(format, plane, band->y_px);
    uint32_t end = image_plane_height(format, plane, until_px);
    enum rc rc = RC_OK;

    while (rc == RC_OK && level->rows_done[plane] < end) {
        const uint8_t *row = band->plane[plane] +
                             (level->rows_done[plane] - first) * band->stride_bytes[plane];
        rc = ready_tiles(p, level, err);
        if (rc != RC_OK)
            return rc;
        struct ingest_row to = row_of(p, level, plane, level->rows_done[plane]);
        ingest_row_put(&to, row);
        rc = row_done(p, level, plane, err);
    }
    return rc;
}

static enum rc pyramid_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct ingest_pyramid *p = (struct ingest_pyramid *)(void *)sink;
    uint32_t unit = 1u << p->sink.format.sub_y_log2, end_px = band->y_px + band->height_px;
    enum rc rc = RC_OK;

    /* All planes keep pace, so that none runs ahead of the blocks, nor of its alpha. */
    for (uint32_t y = band->y_px; rc == RC_OK && y < end_px; y += unit)
        for (uint32_t plane = 0; rc == RC_OK && plane < p->planes; plane++)
            rc = take_rows(p, band, plane, less(y + unit, end_px), err);
    return rc;
}

static enum rc pyramid_finish(struct image_sink *sink, struct err *err)
{
    struct ingest_pyramid *p = (struct ingest_pyramid *)(void *)sink;
    return ingest_tiles_finish(p->tiles, err);
}

static void pyramid_close_sink(struct image_sink *sink)
{
    (void)sink; /* the pyramid is asked for its levels when the chain is gone */
}

/* ---- set up ---- */

static enum rc open_level(struct ingest_pyramid *p, uint32_t number, struct err *err)
{
    struct level *level = &p->level[number];
    const struct image_format *format = &p->sink.format;
    struct image_size full = p->sink.size;
    bool enough = true;

    level->tiles = ingest_tiles_level(p->tiles, number);
    for (uint32_t plane = 0; plane < p->planes; plane++) {
        bool chroma = format->model == IMAGE_YCBCR && plane > 0;
        level->across[plane] = ingest_axis_init(full.width_px, number + (chroma ? format->sub_x_log2 : 0u));
        level->down[plane] = ingest_axis_init(full.height_px, number + (chroma ? format->sub_y_log2 : 0u));
        for (unsigned i = 0; i < 2; i++) {
            level->line[plane][i] = malloc((size_t)level->across[plane].count * 2);
            enough = enough && level->line[plane][i] != NULL;
        }
    }
    return enough ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for level %u of the pyramid", number);
}

enum rc ingest_pyramid_open(const struct ingest_levels *levels, const struct image_tile_options *tiles,
                            unsigned threads, const char *folder, struct ingest_pyramid **ret_pyramid,
                            struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops sink_ops = {pyramid_write, pyramid_finish, pyramid_close_sink};
    OWN(ingest_pyramid_close) struct ingest_pyramid *p = calloc(1, sizeof *p);

    if (p == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a pyramid");
    p->sink = (struct image_sink){.ops = &sink_ops, .format = tiles->format, .size = levels->size[0]};
    p->tile_px = tiles->tile_px;
    p->planes = image_format_planes(&tiles->format);
    p->level_count = levels->count;
    enum rc rc = ingest_tiles_open(levels, tiles, threads, folder, &p->tiles, err);
    for (uint32_t i = 0; rc == RC_OK && i < levels->count; i++)
        rc = open_level(p, i, err);
    if (rc != RC_OK)
        return rc;
    *ret_sink = &p->sink;
    *ret_pyramid = TAKE_PTR(p);
    return RC_OK;
}

void ingest_pyramid_close(struct ingest_pyramid **slot)
{
    struct ingest_pyramid *p = TAKE_PTR(*slot);

    if (p == NULL)
        return;
    ingest_tiles_close(&p->tiles);
    for (uint32_t i = 0; i < p->level_count; i++)
        for (uint32_t plane = 0; plane < IMAGE_MAX_PLANES; plane++) {
            free(p->level[i].line[plane][0]);
            free(p->level[i].line[plane][1]);
        }
    free(p);
}

const struct ingest_tiles_level *ingest_pyramid_level(const struct ingest_pyramid *pyramid, uint32_t level)
{
    return pyramid->level[level].tiles;
}
