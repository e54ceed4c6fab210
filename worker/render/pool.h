/* The render threads of one worker: whatever may block or take long runs here, never on the event thread.
 *
 * A job says beforehand what it costs (worker/render/cost.h). Cheap jobs go first, until dear ones have
 * waited too long in proportion (worker/render/queue.h). There are `processors` places to run on. Of two and
 * more, large jobs (above RENDER_POOL_SMALL_MS) never have all, so small ones always find one soon; and when
 * there are large jobs one of them runs, however many small ones come: on a thread of lower priority, so that
 * the kernel lets small jobs go before it, as it lets the event thread go before all of them (base/turns.h).
 * One that is beyond its patience runs as if it were small, on any place, when its turn comes. With one place
 * a large job lets small ones go first between two bands (render_pool_yield). A job that waits for something
 * else (a slow client, memory, bytes from far away) gives its place back meanwhile (render_pool_park). It
 * keeps its thread: another one is started for whoever takes the place.
 *
 * When the work that would still stand before a job at the end of `deadline_ms` is more than fits into that
 * time, the job is refused at once. Once taken, it is run: only what is there counts, not what may come and
 * go before it. One whose client has left is brought forward.
 *
 * Pixel memory is claimed by the job that runs, from a budget that the renders of all workers share
 * (shm/effort.h).
 *
 * Any thread submits; everything else is called by running jobs. Threads start after fork and end with
 * render_pool_stop(). */
#ifndef WORKER_RENDER_POOL_H
#define WORKER_RENDER_POOL_H

#include "base/err.h"
#include "shm/effort.h"

#include <stdbool.h>
#include <stdint.h>

#define RENDER_POOL_SMALL_MS    25.0
#define RENDER_POOL_SMALL_BYTES (4u << 20) /* claims up to this do not wait */

struct render_pool;

/* A place in the order of worker/render/queue.h. */
struct render_turn {
    uint32_t class; /* of cost */
    int64_t arrived_ms;
    double patience_ms;
};

struct render_job {
    void (*run)(struct render_job *job); /* on a render thread; the job is the runner's from then on */
    bool (*is_left)(
        struct render_job *job); /* whether nobody waits for it any more; any thread; NULL: always somebody */
    double cost_ms;              /* of one CPU */
    int64_t arrived_ms;          /* monotonic; what is submitted again keeps its place by it */
    /* the pool's */
    struct render_turn turn;
    struct render_job *next, *previous;
};

struct render_pool_options {
    uint32_t processors;   /* jobs that run at the same time */
    uint32_t queue_length; /* jobs that may wait */
    int64_t deadline_ms;   /* longest wait that is foreseen; 0: any */
    uint64_t memory_bytes; /* for the pixels of all workers together */
    struct shm_effort *effort;
    uint32_t slot, slot_count; /* this worker's, and how many there are */
};

RC_MUST_USE enum rc render_pool_start(const struct render_pool_options *options,
                                      struct render_pool **ret_pool, struct err *err);
/* RC_BUSY when queue_length jobs wait already, or the wait would be too long: the job stays the caller's, and
 * *ret_wait_ms is how long it would have waited. */
RC_MUST_USE enum rc render_pool_submit(struct render_pool *pool, struct render_job *job, int64_t *ret_wait_ms,
                                       struct err *err);

/* ---- by the thread of a running job; elsewhere these do nothing ---- */

/* Whether small jobs wait that should go first: then yield() is worth the preparation. No lock. */
bool render_pool_is_wanted(struct render_pool *pool);
/* Lets small jobs that wait go first; returns when this job's turn has come again. */
void render_pool_yield(struct render_pool *pool);
/* Runs the job at once, beside what waits in the queue, if a place is free and nobody waits for one;
 * false: not, and the job stays the caller's. For work that can be shared; its cost_ms is part of somebody
 * else's. */
bool render_pool_help(struct render_pool *pool, struct render_job *job);
/* Whether anybody waits for a place: who helps should leave. Any thread; no lock. */
bool render_pool_is_crowded(struct render_pool *pool);
/* Gives the place back, before waiting for something; takes one again, waiting for it. */
void render_pool_park(struct render_pool *pool);
void render_pool_unpark(struct render_pool *pool);
/* Takes `memory_bytes` of the budget, waiting for it without a place. False: `is_left` of the job's was true
 * meanwhile, and nothing was taken. */
RC_MUST_USE bool render_pool_claim(struct render_pool *pool, uint64_t memory_bytes,
                                   bool (*is_left)(void *context), void *context);
void render_pool_return(struct render_pool *pool, uint64_t memory_bytes);

/* Runs what is queued, then ends the threads. */
void render_pool_stop(struct render_pool **pool);

#endif
