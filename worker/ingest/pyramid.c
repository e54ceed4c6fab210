#include "worker/ingest/pyramid.h"

#include "base/own.h"
#include "worker/ingest/checksum.h"
#include "worker/ingest/crew.h"
#include "worker/ingest/restarts.h"
#include "worker/ingest/row.h"

#include <assert.h>

#define TILES_PER_TASK      4u
#define ALL_MEASURED_PIXELS 4000000u

struct level {
    struct image_size size;
    uint32_t tiles_across;
    struct ingest_axis across[IMAGE_MAX_PLANES], down[IMAGE_MAX_PLANES]; /* of each plane's samples */
    uint32_t rows_done[IMAGE_MAX_PLANES];
    uint16_t *line[IMAGE_MAX_PLANES][2]; /* wide: rows of even and of odd number, the last that came */
    struct ingest_block **block;         /* the row of tiles that fills up; NULLs between two rows */
    uint32_t tile_row;                   /* its number */
    struct ingest_checksum *checksum;
    struct ingest_pyramid_level out;
};

struct task {
    struct level *level;
    struct ingest_block *block[TILES_PER_TASK];
    uint32_t tile_row, first_tile, tile_count;
    struct bytes out;
    uint32_t tile_bytes[TILES_PER_TASK];
    uint32_t restart_bytes[TILES_PER_TASK]; /* what restart intervals cost */
};

struct ingest_pyramid {
    struct image_sink sink;
    struct image_tile_options tiles;
    unsigned threads, task_count;
    uint32_t level_count, planes;
    struct level level[IMAGE_MAX_LEVELS];
    struct task *task;
    struct bytes *spare_out; /* of tasks that are settled; the last is used first, so that few ever grow */
    unsigned spare_out_count;
    struct ingest_blocks blocks;
    uint32_t given,
        most_given; /* tiles of tasks that are not settled; and how many when a row of tiles begins */
    struct image_tile_encoder **encoder; /* one per thread, made by it */
    struct bytes *plain;                 /* one per thread: a tile without restart intervals */
    struct ingest_restarts restarts;     /* without tables: there are none to account for */
    struct ingest_crew *crew;
};

/* ---- tasks ---- */

static enum rc encoder_of(struct ingest_pyramid *p, unsigned lane, struct err *err)
{
    if (p->encoder[lane] != NULL)
        return RC_OK;
    return p->tiles.coding == IMAGE_TILE_JPEG ? image_tile_jpeg_open(&p->tiles, &p->encoder[lane], err)
                                              : image_tile_tiff_open(&p->tiles, &p->encoder[lane], err);
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static enum rc task_work(void *context, unsigned number, unsigned lane, struct err *err)
{
    struct ingest_pyramid *p = context;
    struct task *task = &p->task[number];
    const struct level *level = task->level;
    uint32_t edge = p->tiles.tile_px;
    enum rc rc = encoder_of(p, lane, err);

    task->out.length = 0;
    for (uint32_t i = 0; rc == RC_OK && i < task->tile_count; i++) {
        uint32_t x = (task->first_tile + i) * edge, y = task->tile_row * edge;
        const struct image_band *band = &task->block[i]->band;
        struct image_tile tile = {.width_px = less(edge, level->size.width_px - x),
                                  .height_px = less(edge, level->size.height_px - y)};
        for (uint32_t plane = 0; plane < p->planes; plane++) {
            tile.plane[plane] = band->plane[plane];
            tile.stride_bytes[plane] = band->stride_bytes[plane];
        }
        size_t before = task->out.length;
        rc = p->encoder[lane]->ops->encode(p->encoder[lane], &tile, &task->out, err);
        task->tile_bytes[i] = (uint32_t)(task->out.length - before);
    }
    if (rc != RC_OK || p->restarts.tables.length == 0)
        return rc;
    bool all = image_size_area(p->level[0].size) < ALL_MEASURED_PIXELS;
    return ingest_restarts_measure(&p->restarts, task->out.data, task->tile_bytes, task->tile_count, all,
                                   &p->plain[lane], task->restart_bytes, err);
}

static void task_over(struct ingest_pyramid *p, struct task *task)
{
    for (uint32_t i = 0; i < task->tile_count; i++)
        ingest_blocks_put(&p->blocks, TAKE_PTR(task->block[i]));
    p->given -= task->tile_count;
    p->spare_out[p->spare_out_count++] = task->out;
    task->out = (struct bytes){0};
}

static enum rc task_settle(void *context, unsigned number, struct err *err)
{
    struct ingest_pyramid *p = context;
    struct task *task = &p->task[number];
    struct level *level = task->level;
    bool needed = level == &p->level[p->level_count - 1];
    struct bytes *plain = &p->plain[0];
    const uint8_t *tile = task->out.data;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; rc == RC_OK && i < task->tile_count; i++) {
        uint32_t length = task->tile_bytes[i];
        const uint8_t *data = tile;
        tile += length;
        if (p->restarts.tables.length > 0 &&
            !ingest_restarts_are_kept(&p->restarts, length, task->restart_bytes[i], needed)) {
            plain->length = 0;
            rc = ingest_restarts_remove(&p->restarts, data, length, plain, err);
            data = plain->data;
            length = (uint32_t)plain->length;
        }
        level->out.tile_bytes[level->out.tile_count++] = length;
        ingest_checksum_add(level->checksum, data, length);
        if (rc == RC_OK)
            rc = ingest_spool_append(&level->out.spool, data, length, err);
    }
    task_over(p, task);
    return rc;
}

static void task_discard(void *context, unsigned number)
{
    struct ingest_pyramid *p = context;
    task_over(p, &p->task[number]);
}

static enum rc add_tasks(struct ingest_pyramid *p, struct level *level, struct err *err)
{
    for (uint32_t first = 0; first < level->tiles_across; first += TILES_PER_TASK) {
        unsigned slot;
        enum rc rc = ingest_crew_slot(p->crew, &slot, err);
        if (rc != RC_OK)
            return rc;
        struct task *task = &p->task[slot];
        task->level = level;
        task->tile_row = level->tile_row;
        task->first_tile = first;
        task->tile_count = less(TILES_PER_TASK, level->tiles_across - first);
        for (uint32_t i = 0; i < task->tile_count; i++)
            task->block[i] = TAKE_PTR(level->block[first + i]);
        if (p->spare_out_count > 0)
            task->out = p->spare_out[--p->spare_out_count];
        p->given += task->tile_count;
        ingest_crew_add(p->crew);
    }
    level->tile_row++;
    return RC_OK;
}

/* ---- rows of tiles ---- */

/* Before the first row of a row of tiles. The full size waits until part of what came before is encoded: what is left keeps
 * the other threads busy meanwhile, and makes no difference to smaller levels, which begin behind it. */
static enum rc begin_tiles(struct ingest_pyramid *p, struct level *level, struct err *err)
{
    enum rc rc = RC_OK;

    while (rc == RC_OK && level == p->level && p->given > p->most_given)
        rc = ingest_crew_step(p->crew, err);
    for (uint32_t i = 0; rc == RC_OK && i < level->tiles_across; i++)
        if (level->block[i] == NULL)
            rc = ingest_blocks_take(&p->blocks, &level->block[i], err);
    return rc;
}

static enum rc ready_tiles(struct ingest_pyramid *p, struct level *level, struct err *err)
{
    return level->block[0] != NULL ? RC_OK : begin_tiles(p, level, err);
}

/* Row `row` of the row of tiles that fills up. */
static struct ingest_row row_of(const struct ingest_pyramid *p, const struct level *level, uint32_t plane,
                                uint32_t row)
{
    return (struct ingest_row){.blocks = &p->blocks,
                               .block = level->block,
                               .plane = plane,
                               .row = row,
                               .across = &level->across[plane]};
}

/* Whether every plane has all its rows of the row of tiles that fills up. */
static bool is_full(const struct ingest_pyramid *p, const struct level *level)
{
    uint32_t end_px = less((level->tile_row + 1) * p->tiles.tile_px, level->size.height_px);

    for (uint32_t plane = 0; plane < p->planes; plane++)
        if (level->rows_done[plane] < image_plane_height(&p->tiles.format, plane, end_px))
            return false;
    return true;
}

/* ---- from level to level ---- */

/* The last two rows of a plane, wide, where something is to be made of them: of level 0 they still lie in its blocks. */
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

    if (level == p->level && p->tiles.format.depth_bits == 8 && !uneven) {
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

/* A row has come to lie in the level's blocks: makes one of the next level, if its pair is complete, and gives the row of
 * tiles to the crew, if that is. */
static enum rc row_done(struct ingest_pyramid *p, struct level *level, uint32_t plane, struct err *err)
{
    bool covered = p->tiles.format.alpha == IMAGE_ALPHA_STRAIGHT;
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
    return rc == RC_OK && is_full(p, level) ? add_tasks(p, level, err) : rc;
}

/* ---- the sink ---- */

/* The rows of a plane that stand for the band's pixels up to `until_px`. */
static enum rc take_rows(struct ingest_pyramid *p, const struct image_band *band, uint32_t plane,
                         uint32_t until_px, struct err *err)
{
    const struct image_format *format = &p->tiles.format;
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
    uint32_t unit = 1u << p->tiles.format.sub_y_log2, end_px = band->y_px + band->height_px;
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
    enum rc rc = ingest_crew_drain(p->crew, err);

    for (uint32_t i = 0; rc == RC_OK && i < p->level_count; i++) {
        struct level *level = &p->level[i];
        assert(level->block[0] == NULL && level->out.tile_count == level->tiles_across * level->tile_row);
        level->out.checksum = ingest_checksum_value(level->checksum);
    }
    return rc;
}

static void pyramid_close_sink(struct image_sink *sink)
{
    (void)sink; /* the pyramid is asked for its levels when the chain is gone */
}

/* ---- set up ---- */

static enum rc open_level(struct ingest_pyramid *p, uint32_t number, const char *folder, struct err *err)
{
    struct level *level = &p->level[number];
    const struct image_format *format = &p->tiles.format;
    struct image_size full = p->level[0].size;

    level->tiles_across = ingest_levels_tiles(level->size.width_px, p->tiles.tile_px);
    ingest_spool_init(&level->out.spool, folder);
    uint64_t tiles = (uint64_t)level->tiles_across *
                     ingest_levels_tiles(level->size.height_px, p->tiles.tile_px);
    if (tiles > UINT32_MAX / 16)
        return err_set(err, RC_TOO_LARGE, "the pyramid would have more than %u tiles", UINT32_MAX / 16);
    level->out.tile_bytes = calloc((size_t)tiles, sizeof *level->out.tile_bytes);
    level->block = calloc(level->tiles_across, sizeof(struct ingest_block *));
    bool enough = level->out.tile_bytes != NULL && level->block != NULL;
    for (uint32_t plane = 0; plane < p->planes; plane++) {
        bool chroma = format->model == IMAGE_YCBCR && plane > 0;
        level->across[plane] = ingest_axis_init(full.width_px, number + (chroma ? format->sub_x_log2 : 0u));
        level->down[plane] = ingest_axis_init(full.height_px, number + (chroma ? format->sub_y_log2 : 0u));
        for (unsigned i = 0; i < 2; i++) {
            level->line[plane][i] = malloc((size_t)level->across[plane].count * 2);
            enough = enough && level->line[plane][i] != NULL;
        }
    }
    return enough ? ingest_checksum_new(&level->checksum, err)
                  : err_set(err, RC_NO_MEMORY, "no memory for level %u of the pyramid", number);
}

enum rc ingest_pyramid_open(const struct ingest_levels *levels, const struct image_tile_options *tiles,
                            unsigned threads, const char *folder, struct ingest_pyramid **ret_pyramid,
                            struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops sink_ops = {pyramid_write, pyramid_finish, pyramid_close_sink};
    static const struct ingest_crew_ops crew_ops = {task_work, task_settle, task_discard};
    OWN(ingest_pyramid_close) struct ingest_pyramid *p = calloc(1, sizeof *p);

    if (p == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a pyramid");
    p->sink = (struct image_sink){.ops = &sink_ops, .format = tiles->format, .size = levels->size[0]};
    p->tiles = *tiles;
    p->planes = image_format_planes(&tiles->format);
    p->threads = threads;
    p->task_count = 4 + 4 * threads;
    p->level_count = levels->count;
    for (uint32_t i = 0; i < levels->count; i++) {
        p->level[i].size = levels->size[i];
        p->level[i].out.spool.fd = -1;
    }
    p->task = calloc(p->task_count, sizeof *p->task);
    p->spare_out = calloc(p->task_count, sizeof *p->spare_out);
    p->encoder = calloc(threads, sizeof(struct image_tile_encoder *));
    p->plain = calloc(threads, sizeof *p->plain);
    p->blocks = (struct ingest_blocks){.format = tiles->format, .size = {tiles->tile_px, tiles->tile_px}};
    p->most_given = ingest_levels_tiles(levels->size[0].width_px, tiles->tile_px) / 2;
    if (p->most_given < TILES_PER_TASK * threads)
        p->most_given = TILES_PER_TASK * threads;
    enum rc rc = p->task != NULL && p->spare_out != NULL && p->encoder != NULL && p->plain != NULL
                     ? RC_OK
                     : err_set(err, RC_NO_MEMORY, "no memory for a pyramid");
    if (rc == RC_OK && tiles->coding == IMAGE_TILE_JPEG && tiles->restart_intervals &&
        tiles->format.model != IMAGE_CMYK)
        rc = ingest_restarts_init(&p->restarts, tiles, err);
    for (uint32_t i = 0; rc == RC_OK && i < levels->count; i++)
        rc = open_level(p, i, folder, err);
    if (rc == RC_OK)
        rc = ingest_crew_open(threads, p->task_count, &crew_ops, p, &p->crew, err);
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
    ingest_crew_close(&p->crew);
    for (uint32_t i = 0; i < p->level_count; i++) {
        struct level *level = &p->level[i];
        for (uint32_t tile = 0; level->block != NULL && tile < level->tiles_across; tile++)
            if (level->block[tile] != NULL)
                ingest_blocks_put(&p->blocks, level->block[tile]);
        free(level->block);
        for (uint32_t plane = 0; plane < IMAGE_MAX_PLANES; plane++) {
            free(level->line[plane][0]);
            free(level->line[plane][1]);
        }
        ingest_checksum_free(&level->checksum);
        ingest_spool_done(&level->out.spool);
        free(level->out.tile_bytes);
    }
    ingest_blocks_done(&p->blocks);
    for (unsigned i = 0; i < p->spare_out_count; i++)
        bytes_done(&p->spare_out[i]);
    ingest_restarts_done(&p->restarts);
    for (unsigned i = 0; p->encoder != NULL && i < p->threads; i++)
        image_tile_encoder_close(&p->encoder[i]);
    for (unsigned i = 0; p->plain != NULL && i < p->threads; i++)
        bytes_done(&p->plain[i]);
    free(p->task);
    free(p->spare_out);
    free(p->encoder);
    free(p->plain);
    free(p);
}

const struct ingest_pyramid_level *ingest_pyramid_level(const struct ingest_pyramid *pyramid, uint32_t level)
{
    return &pyramid->level[level].out;
}
