/* What the parts of the pool share: pool.c (coming and stopping), pool_places.c (who runs), pool_threads.c,
 * pool_memory.c. For these only. Everything here is guarded by the pool's mutex unless it says otherwise. */
#ifndef WORKER_RENDER_POOL_INSIDE_H
#define WORKER_RENDER_POOL_INSIDE_H

#include "worker/render/pool.h"
#include "worker/render/queue.h"

#include <pthread.h>
#include <stddef.h>
#include <stdatomic.h>

#define RENDER_POOL_MOST_THREADS 250u /* each wants a beat (shm/beat.h) */

enum render_lane_kind { SMALL, LARGE, HELP, LANES }; /* helpers have no queue: they are let in or sent away */

struct render_thread {
    pthread_t id;
    struct render_pool *pool;
    enum render_lane_kind kind;
    struct render_job *job; /* to be run next */
    /* Of the job that runs. */
    bool has_place;
    struct render_turn turn;
    double cost_ms, held_ms, since_ms; /* it had a place for held_ms before since_ms */
    pthread_cond_t granted;            /* a place, again */
    struct render_thread *next;        /* of those that wait for one */
};

struct render_lane {
    struct render_queue queue;
    struct render_thread *returning; /* jobs that were running and want a place again, the earliest first */
    struct render_job *ready_first, *ready_last; /* have a place, and a thread on its way */
    uint32_t ready_count, idle;
    uint32_t running, most_running;
    pthread_cond_t work;
    bool stuck; /* no thread can be had now */
};

struct render_pool {
    struct render_pool_options options;
    pthread_mutex_t mutex;
    pthread_cond_t memory;
    struct render_lane lane[LANES];
    uint32_t running, jobs; /* jobs: submitted and not done */
    uint32_t memory_waiters;
    atomic_uint small_waiting, waiting; /* read without the lock */
    double wall_ms, estimated_ms;       /* of jobs lately: how long they took, and should have taken */
    bool stopping;
    uint32_t thread_count, most_threads;
    struct render_thread thread[];
};

/* ---- pool_places.c ---- */

double render_pool_now_ms(void);
/* Whether a place is free and nobody waits for one. */
bool render_pool_has_spare_place(struct render_pool *pool);
/* Fills all places that are free, as far as there is work. `self`: a thread that looks for work, or NULL. */
void render_pool_fill_places(struct render_pool *pool, struct render_thread *self);
/* Gives a job that has no queue a place and a thread of its lane, one of which is idle. */
void render_pool_place(struct render_pool *pool, enum render_lane_kind kind, struct render_job *job);
/* The running job's place is given back. */
void render_pool_leave_place(struct render_thread *thread);

/* ---- pool_threads.c ---- */

/* The calling thread, where it is one of a pool's; else NULL. */
struct render_thread *render_pool_own_thread(void);
bool render_pool_start_thread(struct render_pool *pool, enum render_lane_kind kind);

#endif
