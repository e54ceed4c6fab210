#include "worker/render/pool_inside.h"

#include "base/clock.h"

#include <assert.h>
#include <time.h>

double render_pool_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void take_place(struct render_pool *pool, enum render_lane_kind kind)
{
    pool->running++;
    pool->lane[kind].running++;
}

void render_pool_leave_place(struct render_thread *thread)
{
    struct render_pool *pool = thread->pool;
    assert(thread->has_place);
    thread->has_place = false;
    thread->held_ms += render_pool_now_ms() - thread->since_ms;
    pool->running--;
    pool->lane[thread->kind].running--;
}

/* ---- whose turn it is ---- */

/* Who is to have the next place. */
struct choice {
    enum render_lane_kind kind; /* of the thread that runs it, and of the place; LANES: nobody */
    struct render_job *job;     /* NULL: the lane's first returning one */
    struct render_queue *queue; /* where the job stands */
};

/* The lane's own next one. What was begun is finished first: it holds memory. */
static bool next_of(struct render_pool *pool, enum render_lane_kind kind, int64_t now_ms, struct choice *ret)
{
    struct render_lane *lane = &pool->lane[kind];
    /* Another large job would only wait for memory as well. */
    bool held_back = kind == LARGE && pool->memory_waiters > 0;
    *ret = (struct choice){.kind = LANES};
    if (lane->running >= lane->most_running)
        return false;
    if (lane->returning == NULL && !held_back && !lane->stuck)
        ret->job = render_queue_first(&lane->queue, now_ms);
    if (lane->returning == NULL && ret->job == NULL)
        return false;
    ret->kind = kind;
    ret->queue = &lane->queue;
    return true;
}

/* A large job that has waited beyond its patience takes any place, on a thread of usual priority, when its
 * turn comes before that of `small`, if there is one. */
static bool is_overdue(struct render_pool *pool, const struct choice *small, int64_t now_ms,
                       struct choice *ret)
{
    struct render_job *large = render_queue_first(&pool->lane[LARGE].queue, now_ms);
    if (large == NULL || pool->memory_waiters > 0 || pool->lane[SMALL].stuck ||
        pool->lane[LARGE].returning != NULL || !render_queue_is_beyond_patience(&large->turn, now_ms))
        return false;
    if (small->kind == SMALL &&
        (small->job == NULL || render_queue_is_before(&small->job->turn, &large->turn, now_ms)))
        return false;
    *ret = (struct choice){.kind = SMALL, .job = large, .queue = &pool->lane[LARGE].queue};
    return true;
}

/* One place is always a large job's when there is one: it has to go on, too, and the kernel knows that small
 * ones go before it. */
static struct choice choose(struct render_pool *pool)
{
    int64_t now_ms = clock_monotonic_ms();
    struct choice small, large, overdue;
    bool has_small = next_of(pool, SMALL, now_ms, &small), has_large = next_of(pool, LARGE, now_ms, &large);
    if (is_overdue(pool, &small, now_ms, &overdue))
        return overdue;
    if (has_small && has_large)
        return pool->lane[LARGE].running == 0 && pool->lane[SMALL].running > 0 ? large : small;
    return has_small ? small : large;
}

bool render_pool_has_spare_place(struct render_pool *pool)
{
    return pool->running < pool->options.processors && choose(pool).kind == LANES;
}

static void note_waiting(struct render_pool *pool)
{
    const struct render_lane *small = &pool->lane[SMALL];
    const struct render_lane *large = &pool->lane[LARGE];
    uint32_t small_count = small->queue.count + (small->returning != NULL);
    uint32_t large_count = large->queue.count + (large->returning != NULL);
    atomic_store_explicit(&pool->small_waiting, small_count, memory_order_relaxed);
    atomic_store_explicit(&pool->waiting, small_count + large_count, memory_order_relaxed);
}

/* ---- places ---- */

void render_pool_place(struct render_pool *pool, enum render_lane_kind kind, struct render_job *job)
{
    struct render_lane *lane = &pool->lane[kind];
    take_place(pool, kind);
    job->next = NULL;
    *(lane->ready_last != NULL ? &lane->ready_last->next : &lane->ready_first) = job;
    lane->ready_last = job;
    lane->ready_count++;
    pthread_cond_signal(&lane->work);
}

/* Gives the job to a thread. `self` is one that looks for work. */
static void send_to_work(struct render_pool *pool, const struct choice *choice, struct render_thread *self)
{
    struct render_lane *lane = &pool->lane[choice->kind];
    bool by_self = self != NULL && self->kind == choice->kind && self->job == NULL;
    if (!by_self && lane->idle <= lane->ready_count && !render_pool_start_thread(pool, choice->kind)) {
        lane->stuck = true;
        return;
    }
    render_queue_take(choice->queue, choice->job);
    if (!by_self) {
        render_pool_place(pool, choice->kind, choice->job);
        return;
    }
    take_place(pool, choice->kind);
    self->job = choice->job;
}

static void grant_return(struct render_pool *pool, struct render_lane *lane)
{
    struct render_thread *thread = lane->returning;
    lane->returning = thread->next;
    thread->has_place = true;
    thread->since_ms = render_pool_now_ms();
    take_place(pool, thread->kind);
    pthread_cond_signal(&thread->granted);
}

void render_pool_fill_places(struct render_pool *pool, struct render_thread *self)
{
    pool->lane[SMALL].stuck = pool->lane[LARGE].stuck = false;
    while (pool->running < pool->options.processors) {
        struct choice choice = choose(pool);
        if (choice.kind == LANES)
            break; /* nobody waits, or for something else than a place */
        if (choice.job == NULL)
            grant_return(pool, &pool->lane[choice.kind]);
        else
            send_to_work(pool, &choice, self);
    }
    note_waiting(pool);
}

/* The calling thread's job goes on when its turn comes. */
static void return_to_place(struct render_thread *thread)
{
    struct render_thread **at = &thread->pool->lane[thread->kind].returning;
    while (*at != NULL && (*at)->turn.arrived_ms <= thread->turn.arrived_ms)
        at = &(*at)->next;
    thread->next = *at;
    *at = thread;
    render_pool_fill_places(thread->pool, NULL);
    while (!thread->has_place)
        pthread_cond_wait(&thread->granted, &thread->pool->mutex);
}

/* ---- by running jobs ---- */

bool render_pool_is_wanted(struct render_pool *pool)
{
    const struct render_thread *own = render_pool_own_thread();
    return own != NULL && own->kind == LARGE &&
           atomic_load_explicit(&pool->small_waiting, memory_order_relaxed) > 0;
}

/* Whether a small job waits that nobody runs any of, and that goes before the one that runs. */
static bool is_due_before(struct render_pool *pool, const struct render_thread *own)
{
    const struct render_lane *small = &pool->lane[SMALL];
    int64_t now_ms = clock_monotonic_ms();
    const struct render_job *first = render_queue_first(&small->queue, now_ms);
    if (small->running > 0)
        return false;
    return small->returning != NULL ||
           (first != NULL && render_queue_is_before(&first->turn, &own->turn, now_ms));
}

void render_pool_yield(struct render_pool *pool)
{
    if (!render_pool_is_wanted(pool))
        return;
    struct render_thread *own = render_pool_own_thread();
    pthread_mutex_lock(&pool->mutex);
    if (is_due_before(pool, own)) {
        render_pool_leave_place(own);
        return_to_place(own);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void render_pool_park(struct render_pool *pool)
{
    struct render_thread *own = render_pool_own_thread();
    if (own == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    render_pool_leave_place(own);
    render_pool_fill_places(pool, NULL);
    pthread_mutex_unlock(&pool->mutex);
}

void render_pool_unpark(struct render_pool *pool)
{
    struct render_thread *own = render_pool_own_thread();
    if (own == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    return_to_place(own);
    pthread_mutex_unlock(&pool->mutex);
}
