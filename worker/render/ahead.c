#include "worker/render/ahead.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/render/pool.h"

#include <pthread.h>
#include <stdlib.h>

#define SLOTS             4u /* rows of tiles at the same time, the one that is lent included */
#define LEAST_PART_PIXELS ((uint64_t)1 << 19) /* of a row of tiles, for a helper to be worth waking */
#define MOST_PART_BYTES   ((uint64_t)16 << 20)

enum part_state { PART_FREE, PART_CLAIMED, PART_DONE };

/* One row of tiles on its way. */
struct part {
    enum part_state state;
    struct image_reader *reader; /* its own, once done */
    struct image_band band;
    enum rc rc;
    struct err err;
};

struct ahead {
    struct image_reader reader;
    struct image_source *source;
    uint32_t level, shrink_log2;
    struct image_region region;
    uint32_t part_rows, parts; /* rows of the level per part; parts that the region touches */
    const struct render_help *help;
    struct render_spent *spent;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct part part[SLOTS]; /* of part n: part[n % SLOTS] */
    uint32_t current;        /* the part whose rows are being lent */
    uint32_t claimed;        /* parts before this one are claimed or done */
    uint32_t helpers;
    bool closing;
    int64_t helped_ns;
};

struct helper {
    struct render_job job; /* first */
    struct ahead *ahead;
};

/* ---- one part ---- */

static struct image_region region_of(const struct ahead *ahead, uint32_t number)
{
    struct image_region region = ahead->region;
    uint32_t first = (ahead->region.y_px / ahead->part_rows + number) * ahead->part_rows,
             end = first + ahead->part_rows;
    uint32_t bottom = region.y_px + region.height_px;
    region.y_px = first > region.y_px ? first : region.y_px;
    region.height_px = (end < bottom ? end : bottom) - region.y_px;
    return region;
}

/* Reads the first rows of the part, which are all of them but for tiles of unusual height. Without the
 * lock. */
static void read_part(struct ahead *ahead, uint32_t number, struct part *part)
{
    struct image_region region = region_of(ahead, number);
    part->rc = part->reader != NULL ? RC_OK
                                    : image_source_read(ahead->source, ahead->level, ahead->shrink_log2,
                                                        &region, &part->reader, &part->err);
    if (part->rc == RC_OK)
        part->rc = part->reader->ops->read(part->reader, &part->band, &part->err);
}

/* With the lock. The next part that nobody has, or false. */
static bool claim_next(struct ahead *ahead, uint32_t *ret_number)
{
    if (ahead->closing || ahead->claimed == ahead->parts || ahead->claimed >= ahead->current + SLOTS)
        return false;
    *ret_number = ahead->claimed++;
    ahead->part[*ret_number % SLOTS].state = PART_CLAIMED;
    return true;
}

static void work_on(struct ahead *ahead, uint32_t number)
{
    struct part *part = &ahead->part[number % SLOTS];
    pthread_mutex_unlock(&ahead->mutex);
    read_part(ahead, number, part);
    pthread_mutex_lock(&ahead->mutex);
    part->state = PART_DONE;
    pthread_cond_broadcast(&ahead->changed);
}

/* ---- helpers ---- */

static void run_helper(struct render_job *job)
{
    struct helper *helper = (struct helper *)job;
    struct ahead *ahead = helper->ahead;
    const struct render_help *help = ahead->help;
    int64_t begun_ns = clock_thread_cpu_ns();
    uint32_t number;
    pthread_mutex_lock(&ahead->mutex);
    while (!render_pool_is_crowded(help->pool) && claim_next(ahead, &number)) {
        help->begin(help->context);
        work_on(ahead, number);
        help->end(help->context);
    }
    ahead->helped_ns += clock_thread_cpu_ns() - begun_ns;
    ahead->helpers--;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->mutex);
    free(helper);
}

/* With the lock. */
static void call_for_help(struct ahead *ahead)
{
    if (ahead->claimed == ahead->parts || ahead->helpers + 1 >= SLOTS || ahead->claimed > ahead->current + 1)
        return;
    struct helper *helper = calloc(1, sizeof *helper);
    if (helper == NULL)
        return;
    *helper = (struct helper){.job.run = run_helper, .ahead = ahead};
    if (render_pool_help(ahead->help->pool, &helper->job))
        ahead->helpers++;
    else
        free(helper);
}

/* ---- the reader ---- */

static struct ahead *ahead_of(struct image_reader *reader)
{
    return (struct ahead *)(void *)reader;
}

/* Brings the current part's first rows; with the lock. */
static void await_current(struct ahead *ahead)
{
    struct part *part = &ahead->part[ahead->current % SLOTS];
    call_for_help(ahead);
    if (ahead->claimed == ahead->current) {
        ahead->claimed++;
        part->state = PART_CLAIMED;
        work_on(ahead, ahead->current);
    }
    while (part->state != PART_DONE)
        pthread_cond_wait(&ahead->changed, &ahead->mutex);
    ahead->spent->helped_ns += ahead->helped_ns;
    ahead->helped_ns = 0;
}

static void free_part(struct part *part)
{
    image_reader_close(&part->reader);
    *part = (struct part){.state = PART_FREE};
}

static enum rc ahead_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct ahead *ahead = ahead_of(reader);
    struct part *part = &ahead->part[ahead->current % SLOTS];
    enum rc rc = RC_OK;
    pthread_mutex_lock(&ahead->mutex);
    if (part->state != PART_DONE) {
        await_current(ahead);
        rc = part->rc;
    } else if (part->band.y_px + part->band.height_px < part->reader->size.height_px) {
        rc = part->rc = part->reader->ops->read(part->reader, &part->band, &part->err);
    } else {
        free_part(part);
        ahead->current++;
        part = &ahead->part[ahead->current % SLOTS];
        await_current(ahead);
        rc = part->rc;
    }
    pthread_mutex_unlock(&ahead->mutex);
    if (rc != RC_OK) {
        if (err != NULL)
            *err = part->err;
        return rc;
    }
    *ret_band = part->band;
    ret_band->y_px += region_of(ahead, ahead->current).y_px - ahead->region.y_px;
    return RC_OK;
}

static void ahead_close(struct image_reader *reader)
{
    struct ahead *ahead = ahead_of(reader);
    pthread_mutex_lock(&ahead->mutex);
    ahead->closing = true;
    while (ahead->helpers > 0)
        pthread_cond_wait(&ahead->changed, &ahead->mutex);
    pthread_mutex_unlock(&ahead->mutex);
    for (uint32_t i = 0; i < SLOTS; i++)
        free_part(&ahead->part[i]);
    ahead->spent->helped_ns += ahead->helped_ns;
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->mutex);
    free(ahead);
}

/* ---- making one ---- */

static uint32_t rows_of_part(const struct image_source *source, uint32_t level, uint32_t shrink_log2)
{
    return source->pyramid.level[level].tile.height_px >> shrink_log2;
}

bool render_ahead_suits(const struct image_source *source, uint32_t level, uint32_t shrink_log2,
                        const struct image_region *region)
{
    uint32_t tile_px = source->pyramid.level[level].tile.height_px,
             rows = rows_of_part(source, level, shrink_log2);
    uint64_t pixels = (uint64_t)region->width_px * rows;
    uint64_t bytes = pixels * image_format_planes(&source->format) * (source->format.depth_bits / 8);
    uint32_t sub_y = source->format.sub_y_log2;
    return rows > 0 && rows << shrink_log2 == tile_px && (rows >> sub_y) << sub_y == rows &&
           region->height_px > 2 * rows && pixels >= LEAST_PART_PIXELS && bytes <= MOST_PART_BYTES;
}

enum rc render_ahead_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                          const struct image_region *region, const struct render_help *help,
                          struct render_spent *spent, struct image_reader **ret_reader, struct err *err)
{
    static const struct image_reader_ops ops = {.read = ahead_read, .close = ahead_close};
    struct ahead *ahead = calloc(1, sizeof *ahead);
    if (ahead == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    uint32_t rows = rows_of_part(source, level, shrink_log2);
    *ahead = (struct ahead){.source = source,
                            .level = level,
                            .shrink_log2 = shrink_log2,
                            .region = *region,
                            .part_rows = rows,
                            .parts = (region->y_px + region->height_px - 1) / rows - region->y_px / rows + 1,
                            .help = help,
                            .spent = spent};
    pthread_mutex_init(&ahead->mutex, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    /* The format is what a reader says: a shrunk one may have less subsampling than the source. */
    struct part *first = &ahead->part[0];
    struct image_region part_region = region_of(ahead, 0);
    enum rc rc = image_source_read(source, level, shrink_log2, &part_region, &first->reader, err);
    if (rc != RC_OK) {
        ahead_close(&ahead->reader);
        return rc;
    }
    ahead->reader = (struct image_reader){
        .ops = &ops, .format = first->reader->format, .size = {region->width_px, region->height_px}};
    *ret_reader = &ahead->reader;
    return RC_OK;
}
