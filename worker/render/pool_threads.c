#include "worker/render/pool_inside.h"

#include "base/turns.h"

#include <stdio.h>

static _Thread_local struct render_thread *own_thread;

struct render_thread *render_pool_own_thread(void)
{
    return own_thread;
}

static void begin_job(struct render_thread *thread)
{
    struct render_job *job = thread->job;
    thread->has_place = true;
    thread->turn = job->turn;
    thread->cost_ms = job->cost_ms;
    thread->held_ms = 0;
    thread->since_ms = render_pool_now_ms();
}

static void end_job(struct render_thread *thread)
{
    struct render_pool *pool = thread->pool;
    render_pool_leave_place(thread);
    thread->job = NULL;
    /* Of the last hundred jobs or so, each by its weight. */
    if (thread->kind != HELP) {
        pool->wall_ms = pool->wall_ms * 0.99 + thread->held_ms;
        pool->estimated_ms = pool->estimated_ms * 0.99 + thread->cost_ms;
    }
    if (--pool->jobs == 0 && pool->stopping)
        for (enum render_lane_kind kind = SMALL; kind < LANES; kind++)
            pthread_cond_broadcast(&pool->lane[kind].work);
}

static struct render_job *take_ready(struct render_lane *lane)
{
    struct render_job *job = lane->ready_first;
    lane->ready_first = job->next;
    if (lane->ready_first == NULL)
        lane->ready_last = NULL;
    lane->ready_count--;
    return job;
}

/* Waits for work; false when there will be none. */
static bool find_work(struct render_thread *thread)
{
    struct render_pool *pool = thread->pool;
    struct render_lane *lane = &pool->lane[thread->kind];
    render_pool_fill_places(pool, thread);
    while (thread->job == NULL) {
        if (lane->ready_count > 0) {
            thread->job = take_ready(lane);
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
    struct render_thread *thread = argument;
    struct render_pool *pool = thread->pool;
    own_thread = thread;
    /* By itself: of another thread's name the kernel hears through a file, which a worker may not open. */
    char name[16];
    static const char *const names[LANES] = {"render", "large", "help"};
    snprintf(name, sizeof name, "%s %u", names[thread->kind], (unsigned)(thread - pool->thread) % 1000);
    pthread_setname_np(pthread_self(), name);
    turns_give_way(thread->kind == SMALL ? TURNS_WORK : TURNS_LARGE_WORK);
    pthread_mutex_lock(&pool->mutex);
    while (find_work(thread)) {
        begin_job(thread);
        pthread_mutex_unlock(&pool->mutex);
        thread->job->run(thread->job);
        turns_offer();
        pthread_mutex_lock(&pool->mutex);
        end_job(thread);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

bool render_pool_start_thread(struct render_pool *pool, enum render_lane_kind kind)
{
    if (pool->thread_count == pool->most_threads)
        return false;
    struct render_thread *thread = &pool->thread[pool->thread_count];
    *thread = (struct render_thread){.pool = pool, .kind = kind};
    pthread_cond_init(&thread->granted, NULL);
    if (pthread_create(&thread->id, NULL, render_thread, thread) != 0) {
        pthread_cond_destroy(&thread->granted);
        return false;
    }
    pool->thread_count++;
    return true;
}
