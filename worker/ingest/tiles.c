#include "worker/ingest/tiles.h"

#include "base/own.h"
#include "worker/ingest/crew.h"
#include "worker/ingest/restarts.h"

#include <assert.h>

#define TILES_PER_TASK      4u
#define ALL_MEASURED_PIXELS 4000000u

struct task {
    struct ingest_tiles_level *level;
    struct ingest_block *block[TILES_PER_TASK];
    uint32_t tile_row, first_tile, tile_count;
    struct bytes out;
    uint32_t tile_bytes[TILES_PER_TASK];
    uint32_t restart_bytes[TILES_PER_TASK]; /* what restart intervals cost */
};

struct ingest_tiles {
    struct image_tile_options options;
    unsigned threads, task_count;
    uint32_t level_count, planes;
    struct ingest_tiles_level level[IMAGE_MAX_LEVELS];
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

static enum rc encoder_of(struct ingest_tiles *tiles, unsigned lane, struct err *err)
{
    if (tiles->encoder[lane] != NULL)
        return RC_OK;
    return tiles->options.coding == IMAGE_TILE_JPEG
               ? image_tile_jpeg_open(&tiles->options, &tiles->encoder[lane], err)
               : image_tile_tiff_open(&tiles->options, &tiles->encoder[lane], err);
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static enum rc task_work(void *context, unsigned number, unsigned lane, struct err *err)
{
    struct ingest_tiles *tiles = context;
    struct task *task = &tiles->task[number];
    const struct ingest_tiles_level *level = task->level;
    uint32_t edge = tiles->options.tile_px;
    enum rc rc = encoder_of(tiles, lane, err);

    task->out.length = 0;
    for (uint32_t i = 0; rc == RC_OK && i < task->tile_count; i++) {
        uint32_t x = (task->first_tile + i) * edge, y = task->tile_row * edge;
        const struct image_band *band = &task->block[i]->band;
        struct image_tile tile = {.width_px = less(edge, level->size.width_px - x),
                                  .height_px = less(edge, level->size.height_px - y)};
        for (uint32_t plane = 0; plane < tiles->planes; plane++) {
            tile.plane[plane] = band->plane[plane];
            tile.stride_bytes[plane] = band->stride_bytes[plane];
        }
        size_t before = task->out.length;
        rc = tiles->encoder[lane]->ops->encode(tiles->encoder[lane], &tile, &task->out, err);
        task->tile_bytes[i] = (uint32_t)(task->out.length - before);
    }
    if (rc != RC_OK || tiles->restarts.tables.length == 0)
        return rc;
    bool all = image_size_area(tiles->level[0].size) < ALL_MEASURED_PIXELS;
    return ingest_restarts_measure(&tiles->restarts, task->out.data, task->tile_bytes, task->tile_count, all,
                                   &tiles->plain[lane], task->restart_bytes, err);
}

static void task_over(struct ingest_tiles *tiles, struct task *task)
{
    for (uint32_t i = 0; i < task->tile_count; i++)
        ingest_blocks_put(&tiles->blocks, TAKE_PTR(task->block[i]));
    tiles->given -= task->tile_count;
    tiles->spare_out[tiles->spare_out_count++] = task->out;
    task->out = (struct bytes){0};
}

static enum rc task_settle(void *context, unsigned number, struct err *err)
{
    struct ingest_tiles *tiles = context;
    struct task *task = &tiles->task[number];
    struct ingest_tiles_level *level = task->level;
    bool needed = level == &tiles->level[tiles->level_count - 1];
    struct bytes *plain = &tiles->plain[0];
    const uint8_t *tile = task->out.data;
    enum rc rc = RC_OK;

    for (uint32_t i = 0; rc == RC_OK && i < task->tile_count; i++) {
        uint32_t length = task->tile_bytes[i];
        const uint8_t *data = tile;
        tile += length;
        if (tiles->restarts.tables.length > 0 &&
            !ingest_restarts_are_kept(&tiles->restarts, length, task->restart_bytes[i], needed)) {
            plain->length = 0;
            rc = ingest_restarts_remove(&tiles->restarts, data, length, plain, err);
            data = plain->data;
            length = (uint32_t)plain->length;
        }
        level->tile_bytes[level->tile_count++] = length;
        ingest_checksum_add(level->sum, data, length);
        if (rc == RC_OK)
            rc = ingest_spool_append(&level->spool, data, length, err);
    }
    task_over(tiles, task);
    return rc;
}

static void task_discard(void *context, unsigned number)
{
    struct ingest_tiles *tiles = context;
    task_over(tiles, &tiles->task[number]);
}

/* ---- rows of tiles ---- */

enum rc ingest_tiles_begin_row(struct ingest_tiles *tiles, struct ingest_tiles_level *level, struct err *err)
{
    enum rc rc = RC_OK;

    while (rc == RC_OK && level == tiles->level && tiles->given > tiles->most_given)
        rc = ingest_crew_step(tiles->crew, err);
    for (uint32_t i = 0; rc == RC_OK && i < level->across; i++)
        if (level->block[i] == NULL)
            rc = ingest_blocks_take(&tiles->blocks, &level->block[i], err);
    return rc;
}

enum rc ingest_tiles_end_row(struct ingest_tiles *tiles, struct ingest_tiles_level *level, struct err *err)
{
    for (uint32_t first = 0; first < level->across; first += TILES_PER_TASK) {
        unsigned slot;
        enum rc rc = ingest_crew_slot(tiles->crew, &slot, err);
        if (rc != RC_OK)
            return rc;
        struct task *task = &tiles->task[slot];
        task->level = level;
        task->tile_row = level->row;
        task->first_tile = first;
        task->tile_count = less(TILES_PER_TASK, level->across - first);
        for (uint32_t i = 0; i < task->tile_count; i++)
            task->block[i] = TAKE_PTR(level->block[first + i]);
        if (tiles->spare_out_count > 0)
            task->out = tiles->spare_out[--tiles->spare_out_count];
        tiles->given += task->tile_count;
        ingest_crew_add(tiles->crew);
    }
    level->row++;
    return RC_OK;
}

enum rc ingest_tiles_finish(struct ingest_tiles *tiles, struct err *err)
{
    enum rc rc = ingest_crew_drain(tiles->crew, err);

    for (uint32_t i = 0; rc == RC_OK && i < tiles->level_count; i++) {
        struct ingest_tiles_level *level = &tiles->level[i];
        assert(level->block[0] == NULL && level->tile_count == level->across * level->row);
        level->checksum = ingest_checksum_value(level->sum);
    }
    return rc;
}

struct ingest_tiles_level *ingest_tiles_level(struct ingest_tiles *tiles, uint32_t number)
{
    return &tiles->level[number];
}

const struct ingest_blocks *ingest_tiles_blocks(const struct ingest_tiles *tiles)
{
    return &tiles->blocks;
}

/* ---- set up ---- */

static enum rc open_level(struct ingest_tiles *tiles, uint32_t number, struct err *err)
{
    struct ingest_tiles_level *level = &tiles->level[number];
    uint32_t edge = tiles->options.tile_px;

    level->across = ingest_levels_tiles(level->size.width_px, edge);
    uint64_t count = (uint64_t)level->across * ingest_levels_tiles(level->size.height_px, edge);
    if (count > UINT32_MAX / 16)
        return err_set(err, RC_TOO_LARGE, "the pyramid would have more than %u tiles", UINT32_MAX / 16);
    level->tile_bytes = calloc((size_t)count, sizeof *level->tile_bytes);
    level->block = calloc(level->across, sizeof(struct ingest_block *));
    return level->tile_bytes != NULL && level->block != NULL
               ? ingest_checksum_new(&level->sum, err)
               : err_set(err, RC_NO_MEMORY, "no memory for level %u of the pyramid", number);
}

enum rc ingest_tiles_open(const struct ingest_levels *levels, const struct image_tile_options *options,
                          unsigned threads, const char *folder, struct ingest_tiles **ret_tiles,
                          struct err *err)
{
    static const struct ingest_crew_ops crew_ops = {task_work, task_settle, task_discard};
    OWN(ingest_tiles_close) struct ingest_tiles *tiles = calloc(1, sizeof *tiles);

    if (tiles == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the tiles of a pyramid");
    tiles->options = *options;
    tiles->planes = image_format_planes(&options->format);
    tiles->threads = threads;
    tiles->task_count = 4 + 4 * threads;
    tiles->level_count = levels->count;
    for (uint32_t i = 0; i < levels->count; i++) {
        tiles->level[i].size = levels->size[i];
        ingest_spool_init(&tiles->level[i].spool, folder);
    }
    tiles->task = calloc(tiles->task_count, sizeof *tiles->task);
    tiles->spare_out = calloc(tiles->task_count, sizeof *tiles->spare_out);
    tiles->encoder = calloc(threads, sizeof(struct image_tile_encoder *));
    tiles->plain = calloc(threads, sizeof *tiles->plain);
    tiles->blocks = (struct ingest_blocks){.format = options->format,
                                           .size = {options->tile_px, options->tile_px}};
    tiles->most_given = ingest_levels_tiles(levels->size[0].width_px, options->tile_px) / 2;
    if (tiles->most_given < TILES_PER_TASK * threads)
        tiles->most_given = TILES_PER_TASK * threads;
    enum rc rc = tiles->task != NULL && tiles->spare_out != NULL && tiles->encoder != NULL &&
                         tiles->plain != NULL
                     ? RC_OK
                     : err_set(err, RC_NO_MEMORY, "no memory for the tiles of a pyramid");
    if (rc == RC_OK && options->coding == IMAGE_TILE_JPEG && options->restart_intervals &&
        options->format.model != IMAGE_CMYK)
        rc = ingest_restarts_init(&tiles->restarts, options, err);
    for (uint32_t i = 0; rc == RC_OK && i < levels->count; i++)
        rc = open_level(tiles, i, err);
    if (rc == RC_OK)
        rc = ingest_crew_open(threads, tiles->task_count, &crew_ops, tiles, &tiles->crew, err);
    if (rc != RC_OK)
        return rc;
    *ret_tiles = TAKE_PTR(tiles);
    return RC_OK;
}

static void close_level(struct ingest_tiles *tiles, struct ingest_tiles_level *level)
{
    for (uint32_t i = 0; level->block != NULL && i < level->across; i++)
        if (level->block[i] != NULL)
            ingest_blocks_put(&tiles->blocks, level->block[i]);
    free(level->block);
    ingest_checksum_free(&level->sum);
    ingest_spool_done(&level->spool);
    free(level->tile_bytes);
}

void ingest_tiles_close(struct ingest_tiles **slot)
{
    struct ingest_tiles *tiles = TAKE_PTR(*slot);

    if (tiles == NULL)
        return;
    ingest_crew_close(&tiles->crew);
    for (uint32_t i = 0; i < tiles->level_count; i++)
        close_level(tiles, &tiles->level[i]);
    ingest_blocks_done(&tiles->blocks);
    for (unsigned i = 0; i < tiles->spare_out_count; i++)
        bytes_done(&tiles->spare_out[i]);
    ingest_restarts_done(&tiles->restarts);
    for (unsigned i = 0; tiles->encoder != NULL && i < tiles->threads; i++)
        image_tile_encoder_close(&tiles->encoder[i]);
    for (unsigned i = 0; tiles->plain != NULL && i < tiles->threads; i++)
        bytes_done(&tiles->plain[i]);
    free(tiles->task);
    free(tiles->spare_out);
    free(tiles->encoder);
    free(tiles->plain);
    free(tiles);
}
