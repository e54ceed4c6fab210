#include "worker/render/pool_inside.h"

#include "base/clock.h"
#include "base/own.h"

#include <assert.h>
#include <time.h>

/* Threads beyond one per place and lane: for jobs that wait for something while others run. */
#define SPARE_THREADS 48u

/* ---- coming ---- */

/* How much longer than estimated everything takes now: others use the processors, too. */
static double stretch(const struct render_pool *pool)
{
    double factor = pool->estimated_ms > 1 ? pool->wall_ms / pool->estimated_ms : 1;
    return factor < 0.25 ? 0.25 : factor > 16 ? 16 : factor;
}

/* How long the work takes that goes before the job even when it has waited for so long. */
static double ahead_ms(const struct render_pool *pool, const struct render_job *job,
                       enum render_lane_kind kind, double after_ms)
{
    const struct render_lane *small = &pool->lane[SMALL], *large = &pool->lane[LARGE];
    struct render_turn turn = render_queue_turn(job->cost_ms, job->arrived_ms);
    int64_t then_ms = clock_monotonic_ms() + (int64_t)after_ms;
    double large_ms = render_queue_ahead_ms(&large->queue, &turn, then_ms) * stretch(pool);
    double all_ms = (render_queue_ahead_ms(&small->queue, &turn, then_ms) * stretch(pool) + large_ms) /
                    pool->options.processors;
    if (kind == SMALL)
        return all_ms;
    /* It may have to stand behind large ones on their places, but not when it is beyond its patience. */
    double in_lane_ms = large_ms / large->most_running, most_ms = all_ms + turn.patience_ms;
    return in_lane_ms < all_ms ? all_ms : in_lane_ms < most_ms ? in_lane_ms : most_ms;
}

/* Whether the job would wait too long. Only then is it worth to look at each one that waits. */
static bool is_too_much(struct render_pool *pool, const struct render_job *job, enum render_lane_kind kind,
                        double *ret_wait_ms)
{
    struct render_queue *small = &pool->lane[SMALL].queue, *large = &pool->lane[LARGE].queue;
    double deadline_ms = (double)pool->options.deadline_ms;
    if (deadline_ms <= 0 || (small->cost_ms + large->cost_ms) * stretch(pool) <= deadline_ms)
        return false;
    *ret_wait_ms = ahead_ms(pool, job, kind, deadline_ms);
    if (*ret_wait_ms <= deadline_ms)
        return false;
    if (render_queue_bring_out_left(small) + render_queue_bring_out_left(large) > 0)
        *ret_wait_ms = ahead_ms(pool, job, kind, deadline_ms);
    return *ret_wait_ms > deadline_ms;
}

enum rc render_pool_submit(struct render_pool *pool, struct render_job *job, int64_t *ret_wait_ms,
                           struct err *err)
{
    enum rc rc = RC_OK;
    double would_wait_ms = 0;
    enum render_lane_kind kind = job->cost_ms > RENDER_POOL_SMALL_MS ? LARGE : SMALL;
    struct render_lane *lane = &pool->lane[kind];
    if (job->arrived_ms == 0)
        job->arrived_ms = clock_monotonic_ms();
    pthread_mutex_lock(&pool->mutex);
    uint32_t waiting = pool->lane[SMALL].queue.count + pool->lane[LARGE].queue.count;
    if (waiting >= pool->options.queue_length) {
        would_wait_ms = ahead_ms(pool, job, kind, 0);
        rc = err_set(err, RC_BUSY, "%u requests wait already, please try again", waiting);
    } else if (is_too_much(pool, job, kind, &would_wait_ms)) {
        rc = err_set(err, RC_BUSY,
                     "the image would be ready in %.0f s at the earliest, please try again later",
                     would_wait_ms / 1000);
    } else {
        pool->jobs++;
        render_queue_add(&lane->queue, job);
        render_pool_fill_places(pool, NULL);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (rc != RC_OK)
        *ret_wait_ms = (int64_t)would_wait_ms;
    return rc;
}

bool render_pool_help(struct render_pool *pool, struct render_job *job)
{
    struct render_lane *lane = &pool->lane[HELP];
    pthread_mutex_lock(&pool->mutex);
    bool is_free = render_pool_has_spare_place(pool) && !pool->stopping;
    bool helps = is_free && (lane->idle > lane->ready_count || render_pool_start_thread(pool, HELP));
    if (helps) {
        pool->jobs++;
        render_pool_place(pool, HELP, job);
    }
    pthread_mutex_unlock(&pool->mutex);
    return helps;
}

bool render_pool_is_crowded(struct render_pool *pool)
{
    return atomic_load_explicit(&pool->waiting, memory_order_relaxed) > 0;
}

/* ---- start and stop ---- */

static void init_lanes(struct render_pool *pool)
{
    uint32_t processors = pool->options.processors;
    pool->lane[SMALL].most_running = processors;
    pool->lane[LARGE].most_running = pool->lane[HELP].most_running = processors > 1 ? processors - 1 : 1;
    for (enum render_lane_kind kind = SMALL; kind < LANES; kind++)
        pthread_cond_init(&pool->lane[kind].work, NULL);
}

enum rc render_pool_start(const struct render_pool_options *options, struct render_pool **ret_pool,
                          struct err *err)
{
    assert(options->processors > 0);
    uint32_t threads = options->processors * LANES + SPARE_THREADS;
    threads = threads < RENDER_POOL_MOST_THREADS ? threads : RENDER_POOL_MOST_THREADS;
    struct render_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->thread[0]);
    if (pool == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u render threads", threads);
    pool->options = *options;
    pool->most_threads = threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->memory, NULL);
    init_lanes(pool);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&pool->mutex);
    /* By the caller, who has given nothing away (base/turns.h); more come with the work. */
    for (enum render_lane_kind kind = SMALL; kind <= LARGE; kind++)
        for (uint32_t i = 0; i < pool->lane[kind].most_running && rc == RC_OK; i++)
            if (!render_pool_start_thread(pool, kind))
                rc = err_set(err, RC_IO, "the render threads cannot start");
    pthread_mutex_unlock(&pool->mutex);
    if (rc != RC_OK) {
        render_pool_stop(&pool);
        return rc;
    }
    *ret_pool = pool;
    return RC_OK;
}

void render_pool_stop(struct render_pool **pool)
{
    struct render_pool *stopped = *pool; /* jobs that still run come by it that way */
    if (stopped == NULL)
        return;
    pthread_mutex_lock(&stopped->mutex);
    stopped->stopping = true;
    for (enum render_lane_kind kind = SMALL; kind < LANES; kind++)
        pthread_cond_broadcast(&stopped->lane[kind].work);
    while (stopped->jobs > 0) { /* meanwhile threads may still be started */
        pthread_mutex_unlock(&stopped->mutex);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        pthread_mutex_lock(&stopped->mutex);
    }
    pthread_mutex_unlock(&stopped->mutex);
    for (uint32_t i = 0; i < stopped->thread_count; i++) {
        pthread_join(stopped->thread[i].id, NULL);
        pthread_cond_destroy(&stopped->thread[i].granted);
    }
    for (enum render_lane_kind kind = SMALL; kind < LANES; kind++)
        pthread_cond_destroy(&stopped->lane[kind].work);
    pthread_cond_destroy(&stopped->memory);
    pthread_mutex_destroy(&stopped->mutex);
    free(stopped);
    *pool = NULL;
}
