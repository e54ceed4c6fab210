#include "worker/render/pool.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/render/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

/* Threads beyond one per place and lane: for jobs that wait for something while others run. */
#define SPARE_THREADS 48u
#define MOST_THREADS  250u /* each wants a beat (shm/beat.h) */

#define LARGE_NICE      5 /* the weight of a thread for large jobs is a third of the others' */
#define CLAIM_AGAIN_MS  5 /* other workers give memory back without a word */
#define URGENT_AFTER_MS 1000

enum lane_kind { SMALL, LARGE, HELP, LANES }; /* helpers have no queue: they are let in or sent away */

struct thread {
    pthread_t id;
    struct render_pool *pool;
    enum lane_kind kind;
    struct render_job *job; /* to be run next */
    /* Of the job that runs. */
    bool has_place;
    int64_t key;
    double cost_ms, held_ms, since_ms; /* it had a place for held_ms before since_ms */
    pthread_cond_t granted;            /* a place, again */
    struct thread *next;               /* of those that wait for one */
};

struct lane {
    struct render_queue queue;
    struct thread *returning; /* jobs that were running and want a place again, the earliest key first */
    struct render_job *ready[MOST_THREADS]; /* have a place, and a thread on its way */
    uint32_t ready_count, idle;
    uint32_t running, most_running;
    pthread_cond_t work;
    bool stuck; /* no thread can be had now */
};

struct render_pool {
    struct render_pool_options options;
    pthread_mutex_t mutex;
    pthread_cond_t memory;
    struct lane lane[LANES];
    uint32_t running, jobs; /* jobs: submitted and not done */
    uint32_t memory_waiters;
    atomic_uint small_waiting, waiting;
    double wall_ms, estimated_ms; /* of jobs lately: how long they took, and should have taken */
    bool stopping;
    uint32_t thread_count, most_threads;
    struct thread thread[];
};

static _Thread_local struct thread *own_thread;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- places; all with the lock ---- */

/* The running job's place is given back. */
static void leave_place(struct thread *thread)
{
    struct render_pool *pool = thread->pool;
    assert(thread->has_place);
    thread->has_place = false;
    thread->held_ms += now_ms() - thread->since_ms;
    pool->running--;
    pool->lane[thread->kind].running--;
}

static void take_place(struct render_pool *pool, enum lane_kind kind)
{
    pool->running++;
    pool->lane[kind].running++;
}

/* The place in the order of the lane's first, be it new or returning; INT64_MAX: nobody. */
static int64_t first_key(const struct lane *lane)
{
    const struct render_job *job = lane->stuck ? NULL : render_queue_first(&lane->queue);
    int64_t key = job != NULL ? job->key : INT64_MAX;
    return lane->returning != NULL && lane->returning->key < key ? lane->returning->key : key;
}

/* Whether the lane has somebody who could take a place. */
static bool has_next(const struct render_pool *pool, enum lane_kind kind)
{
    const struct lane *lane = &pool->lane[kind];
    /* Another large job would only wait for memory as well. */
    bool held_back = kind == LARGE && pool->memory_waiters > 0 && lane->returning == NULL;
    return lane->running < lane->most_running && !held_back && first_key(lane) != INT64_MAX;
}

/* Whose turn it is, or LANES. The earlier one's, but one place is always a large job's when there is one: it has to go on,
 * too, and the kernel knows that small ones go before it. */
static enum lane_kind choose(const struct render_pool *pool)
{
    bool small = has_next(pool, SMALL), large = has_next(pool, LARGE);
    if (!small || !large)
        return small ? SMALL : large ? LARGE : LANES;
    if (pool->lane[LARGE].running == 0 && pool->lane[SMALL].running > 0)
        return LARGE;
    return first_key(&pool->lane[LARGE]) < first_key(&pool->lane[SMALL]) ? LARGE : SMALL;
}

static void note_waiting(struct render_pool *pool)
{
    const struct lane *small = &pool->lane[SMALL];
    const struct lane *large = &pool->lane[LARGE];
    uint32_t small_count = small->queue.count + (small->returning != NULL);
    uint32_t large_count = large->queue.count + (large->returning != NULL);
    atomic_store_explicit(&pool->small_waiting, small_count, memory_order_relaxed);
    atomic_store_explicit(&pool->waiting, small_count + large_count, memory_order_relaxed);
}

static bool start_thread(struct render_pool *pool, enum lane_kind kind);

/* Gives the lane's first job to a thread. `self` is one that looks for work. */
static void send_to_work(struct render_pool *pool, struct lane *lane, enum lane_kind kind,
                         struct thread *self)
{
    bool by_self = self != NULL && self->kind == kind && self->job == NULL;
    if (!by_self && lane->idle <= lane->ready_count && !start_thread(pool, kind)) {
        lane->stuck = true;
        return;
    }
    struct render_job *job = render_queue_first(&lane->queue);
    render_queue_take_first(&lane->queue);
    take_place(pool, kind);
    if (by_self) {
        self->job = job;
        return;
    }
    assert(lane->ready_count < MOST_THREADS);
    lane->ready[lane->ready_count++] = job;
    pthread_cond_signal(&lane->work);
}

/* Fills all places that are free, as far as there is work. */
/* Large jobs whose place in the order has come round, others having gone before them for as long as they may, are no longer put
 * behind: they run where small jobs run, on threads of usual priority. */
static void bring_up_overdue(struct render_pool *pool)
{
    struct render_queue *large = &pool->lane[LARGE].queue, *small = &pool->lane[SMALL].queue;
    int64_t now_us = clock_monotonic_ms() * 1000;
    struct render_job *job;
    while ((job = render_queue_first(large)) != NULL && job->key <= now_us) {
        render_queue_take_first(large);
        render_queue_add(small, job);
    }
}

static void fill_places(struct render_pool *pool, struct thread *self)
{
    bring_up_overdue(pool);
    pool->lane[SMALL].stuck = pool->lane[LARGE].stuck = false;
    while (pool->running < pool->options.processors) {
        enum lane_kind kind = choose(pool);
        if (kind == LANES)
            break; /* nobody waits, or for something else than a place */
        struct lane *lane = &pool->lane[kind];
        const struct render_job *job = render_queue_first(&lane->queue);
        struct thread *returning = lane->returning;
        /* What was begun is finished first: it holds memory. */
        if (returning != NULL && (kind == LARGE || job == NULL || returning->key <= job->key)) {
            lane->returning = returning->next;
            returning->has_place = true;
            returning->since_ms = now_ms();
            take_place(pool, kind);
            pthread_cond_signal(&returning->granted);
        } else {
            send_to_work(pool, lane, kind, self);
        }
    }
    note_waiting(pool);
}

/* The calling thread's job goes on when its turn comes. */
static void return_to_place(struct thread *thread)
{
    struct thread **at = &thread->pool->lane[thread->kind].returning;
    while (*at != NULL && (*at)->key <= thread->key)
        at = &(*at)->next;
    thread->next = *at;
    *at = thread;
    fill_places(thread->pool, NULL);
    while (!thread->has_place)
        pthread_cond_wait(&thread->granted, &thread->pool->mutex);
}

/* ---- threads ---- */

static void begin_job(struct thread *thread)
{
    struct render_job *job = thread->job;
    int64_t deadline_ms = thread->pool->options.deadline_ms;
    job->late = deadline_ms > 0 && clock_monotonic_ms() - job->arrived_ms > deadline_ms;
    thread->has_place = true;
    thread->key = job->key;
    thread->cost_ms = job->cost_ms;
    thread->held_ms = 0;
    thread->since_ms = now_ms();
}

static void end_job(struct thread *thread)
{
    struct render_pool *pool = thread->pool;
    leave_place(thread);
    thread->job = NULL;
    /* Of the last hundred jobs or so, each by its weight. */
    if (thread->kind != HELP) {
        pool->wall_ms = pool->wall_ms * 0.99 + thread->held_ms;
        pool->estimated_ms = pool->estimated_ms * 0.99 + thread->cost_ms;
    }
    if (--pool->jobs == 0 && pool->stopping)
        for (enum lane_kind kind = SMALL; kind < LANES; kind++)
            pthread_cond_broadcast(&pool->lane[kind].work);
}

/* Waits for work; false when there will be none. */
static bool find_work(struct thread *thread)
{
    struct render_pool *pool = thread->pool;
    struct lane *lane = &pool->lane[thread->kind];
    fill_places(pool, thread);
    while (thread->job == NULL) {
        if (lane->ready_count > 0) {
            thread->job = lane->ready[0];
            for (uint32_t i = 1; i < lane->ready_count; i++)
                lane->ready[i - 1] = lane->ready[i];
            lane->ready_count--;
        } else if (pool->stopping && pool->jobs == 0) {
            return false;
        } else {
            lane->idle++;
            pthread_cond_wait(&lane->work, &pool->mutex);
            lane->idle--;
        }
    }
    return true;
}

static void *render_thread(void *argument)
{
    struct thread *thread = argument;
    struct render_pool *pool = thread->pool;
    own_thread = thread;
    /* By itself: of another thread's name the kernel hears through a file, which a worker may not open. */
    char name[16];
    static const char *const names[LANES] = {"render", "large", "help"};
    snprintf(name, sizeof name, "%s %u", names[thread->kind], (unsigned)(thread - pool->thread) % 1000);
    pthread_setname_np(pthread_self(), name);
    if (thread->kind != SMALL)
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + LARGE_NICE); /* Linux: of this thread */
    pthread_mutex_lock(&pool->mutex);
    while (find_work(thread)) {
        begin_job(thread);
        pthread_mutex_unlock(&pool->mutex);
        thread->job->run(thread->job);
        pthread_mutex_lock(&pool->mutex);
        end_job(thread);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static bool start_thread(struct render_pool *pool, enum lane_kind kind)
{
    if (pool->thread_count == pool->most_threads)
        return false;
    struct thread *thread = &pool->thread[pool->thread_count];
    *thread = (struct thread){.pool = pool, .kind = kind};
    pthread_cond_init(&thread->granted, NULL);
    if (pthread_create(&thread->id, NULL, render_thread, thread) != 0) {
        pthread_cond_destroy(&thread->granted);
        return false;
    }
    pool->thread_count++;
    return true;
}

/* ---- coming ---- */

/* How much longer than estimated everything takes now: others use the processors, too. */
static double stretch(const struct render_pool *pool)
{
    double factor = pool->estimated_ms > 1 ? pool->wall_ms / pool->estimated_ms : 1;
    return factor < 0.25 ? 0.25 : factor > 16 ? 16 : factor;
}

static double wait_ms(const struct render_pool *pool, const struct render_job *job, enum lane_kind kind)
{
    const struct lane *small = &pool->lane[SMALL], *large = &pool->lane[LARGE];
    int64_t key = render_queue_key(job->cost_ms, job->arrived_ms);
    double behind_large_ms = render_queue_ahead_ms(&large->queue, key) * stretch(pool);
    double ahead_ms = (render_queue_ahead_ms(&small->queue, key) * stretch(pool) + behind_large_ms) /
                      pool->options.processors;
    double overdue_ms = ahead_ms + RENDER_QUEUE_MOST_MS; /* then it no longer stands behind large ones only */
    behind_large_ms /= large->most_running;
    if (kind == SMALL || behind_large_ms < ahead_ms)
        return ahead_ms;
    return behind_large_ms < overdue_ms ? behind_large_ms : overdue_ms;
}

/* Whether the job would wait too long. Only then is it worth to look at each one that waits. */
static bool is_too_much(struct render_pool *pool, const struct render_job *job, enum lane_kind kind,
                        double *ret_wait_ms)
{
    struct lane *small = &pool->lane[SMALL], *large = &pool->lane[LARGE];
    double deadline_ms = (double)pool->options.deadline_ms;
    if (deadline_ms <= 0 || (small->queue.cost_ms + large->queue.cost_ms) * stretch(pool) <= deadline_ms)
        return false;
    *ret_wait_ms = wait_ms(pool, job, kind);
    if (*ret_wait_ms <= deadline_ms)
        return false;
    if (render_queue_bring_out_left(&small->queue) + render_queue_bring_out_left(&large->queue) > 0)
        *ret_wait_ms = wait_ms(pool, job, kind);
    return *ret_wait_ms > deadline_ms;
}

enum rc render_pool_submit(struct render_pool *pool, struct render_job *job, int64_t *ret_wait_ms,
                           struct err *err)
{
    enum rc rc = RC_OK;
    double would_wait_ms = 0;
    enum lane_kind kind = job->cost_ms > RENDER_POOL_SMALL_MS ? LARGE : SMALL;
    struct lane *lane = &pool->lane[kind];
    if (job->arrived_ms == 0)
        job->arrived_ms = clock_monotonic_ms();
    pthread_mutex_lock(&pool->mutex);
    uint32_t waiting = pool->lane[SMALL].queue.count + pool->lane[LARGE].queue.count;
    if (waiting >= pool->options.queue_length) {
        would_wait_ms = wait_ms(pool, job, kind);
        rc = err_set(err, RC_BUSY, "%u requests wait already, please try again", waiting);
    } else if (is_too_much(pool, job, kind, &would_wait_ms)) {
        rc = err_set(err, RC_BUSY,
                     "the image would be ready in %.0f s at the earliest, please try again later",
                     would_wait_ms / 1000);
    } else {
        pool->jobs++;
        render_queue_add(&lane->queue, job);
        fill_places(pool, NULL);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (rc != RC_OK)
        *ret_wait_ms = (int64_t)would_wait_ms;
    return rc;
}

int64_t render_pool_wait_ms(struct render_pool *pool, double cost_ms)
{
    const struct render_job job = {.cost_ms = cost_ms, .arrived_ms = clock_monotonic_ms()};
    pthread_mutex_lock(&pool->mutex);
    double ms = wait_ms(pool, &job, cost_ms > RENDER_POOL_SMALL_MS ? LARGE : SMALL);
    pthread_mutex_unlock(&pool->mutex);
    return (int64_t)ms;
}

bool render_pool_help(struct render_pool *pool, struct render_job *job)
{
    struct lane *lane = &pool->lane[HELP];
    pthread_mutex_lock(&pool->mutex);
    bool is_free = pool->running < pool->options.processors && choose(pool) == LANES && !pool->stopping;
    bool helps = is_free && (lane->idle > lane->ready_count || start_thread(pool, HELP));
    if (helps) {
        pool->jobs++;
        take_place(pool, HELP);
        lane->ready[lane->ready_count++] = job;
        pthread_cond_signal(&lane->work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return helps;
}

bool render_pool_is_crowded(struct render_pool *pool)
{
    return atomic_load_explicit(&pool->waiting, memory_order_relaxed) > 0;
}

/* ---- by running jobs ---- */

bool render_pool_is_wanted(struct render_pool *pool)
{
    return own_thread != NULL && own_thread->kind == LARGE &&
           atomic_load_explicit(&pool->small_waiting, memory_order_relaxed) > 0;
}

void render_pool_yield(struct render_pool *pool)
{
    if (!render_pool_is_wanted(pool))
        return;
    pthread_mutex_lock(&pool->mutex);
    if (pool->lane[SMALL].running == 0 && first_key(&pool->lane[SMALL]) < own_thread->key) {
        leave_place(own_thread);
        return_to_place(own_thread);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void render_pool_park(struct render_pool *pool)
{
    if (own_thread == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    leave_place(own_thread);
    fill_places(pool, NULL);
    pthread_mutex_unlock(&pool->mutex);
}

void render_pool_unpark(struct render_pool *pool)
{
    if (own_thread == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    return_to_place(own_thread);
    pthread_mutex_unlock(&pool->mutex);
}

/* ---- memory ---- */

static bool try_claim(struct render_pool *pool, uint64_t memory_bytes, bool urgent)
{
    const struct render_pool_options *o = &pool->options;
    return shm_effort_claim(o->effort, o->slot_count, o->slot, memory_bytes, o->memory_bytes, urgent);
}

/* Until some memory is given back here, or may have been elsewhere. With the lock. */
static void wait_for_memory(struct render_pool *pool)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CLAIM_AGAIN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&pool->memory, &pool->mutex, &until);
}

bool render_pool_claim(struct render_pool *pool, uint64_t memory_bytes, bool (*is_left)(void *context),
                       void *context)
{
    if (memory_bytes <= RENDER_POOL_SMALL_BYTES) {
        shm_effort_take(pool->options.effort, pool->options.slot, memory_bytes);
        return true;
    }
    if (try_claim(pool, memory_bytes, false))
        return true;
    int64_t begun_ms = clock_monotonic_ms();
    bool claimed = false, left = false;
    render_pool_park(pool);
    pthread_mutex_lock(&pool->mutex);
    pool->memory_waiters++;
    while (!claimed && !left) {
        wait_for_memory(pool);
        pthread_mutex_unlock(&pool->mutex);
        left = is_left != NULL && is_left(context);
        claimed = !left && try_claim(pool, memory_bytes, clock_monotonic_ms() - begun_ms > URGENT_AFTER_MS);
        pthread_mutex_lock(&pool->mutex);
    }
    pool->memory_waiters--;
    pthread_mutex_unlock(&pool->mutex);
    render_pool_unpark(pool);
    return claimed;
}

void render_pool_return(struct render_pool *pool, uint64_t memory_bytes)
{
    shm_effort_return(pool->options.effort, pool->options.slot, memory_bytes);
    pthread_cond_broadcast(&pool->memory);
}

/* ---- start and stop ---- */

static enum rc init_lanes(struct render_pool *pool, struct err *err)
{
    uint32_t processors = pool->options.processors;
    pool->lane[SMALL].most_running = processors;
    pool->lane[LARGE].most_running = pool->lane[HELP].most_running = processors > 1 ? processors - 1 : 1;
    for (enum lane_kind kind = SMALL; kind < LANES; kind++) {
        pthread_cond_init(&pool->lane[kind].work, NULL);
        /* What runs may be submitted again, beyond those that wait. */
        uint32_t room = kind == HELP ? 1 : pool->options.queue_length + pool->most_threads;
        enum rc rc = render_queue_init(&pool->lane[kind].queue, room, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

enum rc render_pool_start(const struct render_pool_options *options, struct render_pool **ret_pool,
                          struct err *err)
{
    assert(options->processors > 0);
    uint32_t threads = options->processors * LANES + SPARE_THREADS;
    threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    struct render_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->thread[0]);
    if (pool == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u render threads", threads);
    pool->options = *options;
    pool->most_threads = threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->memory, &attributes);
    pthread_condattr_destroy(&attributes);
    enum rc rc = init_lanes(pool, err);
    pthread_mutex_lock(&pool->mutex);
    /* One for each lane at least; more come with the work. */
    if (rc == RC_OK && (!start_thread(pool, SMALL) || !start_thread(pool, LARGE)))
        rc = err_set(err, RC_IO, "the render threads cannot start");
    pthread_mutex_unlock(&pool->mutex);
    if (rc != RC_OK) {
        render_pool_stop(&pool);
        return rc;
    }
    *ret_pool = pool;
    return RC_OK;
}

uint32_t render_pool_busy(struct render_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint32_t jobs = pool->jobs;
    pthread_mutex_unlock(&pool->mutex);
    return jobs;
}

void render_pool_stop(struct render_pool **pool)
{
    struct render_pool *stopped = TAKE_PTR(*pool);
    if (stopped == NULL)
        return;
    pthread_mutex_lock(&stopped->mutex);
    stopped->stopping = true;
    for (enum lane_kind kind = SMALL; kind < LANES; kind++)
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
    for (enum lane_kind kind = SMALL; kind < LANES; kind++) {
        pthread_cond_destroy(&stopped->lane[kind].work);
        render_queue_done(&stopped->lane[kind].queue);
    }
    pthread_cond_destroy(&stopped->memory);
    pthread_mutex_destroy(&stopped->mutex);
    free(stopped);
}
