/* The render threads of one worker: whatever may block or take long runs here, never on the event thread.
 *
 * Jobs start in the order they came. Once a job knows how much pixel memory it will hold it claims that from a budget that
 * all threads share, and waits while others hold too much (one that needs more than the whole budget runs alone). Full
 * queue: the caller is told at once. Any thread submits. Threads start after fork and end with render_pool_stop(). */
#ifndef WORKER_RENDER_POOL_H
#define WORKER_RENDER_POOL_H

#include "base/err.h"

#include <stdint.h>

struct render_pool;

struct render_job {
    struct render_job *next;             /* the pool's */
    void (*run)(struct render_job *job); /* on a render thread; the job is the runner's from then on */
};

RC_MUST_USE enum rc render_pool_start(uint32_t threads, uint32_t queue_length, uint64_t memory_bytes,
                                      struct render_pool **ret_pool, struct err *err);
/* RC_BUSY when queue_length jobs wait already: the job stays the caller's. */
RC_MUST_USE enum rc render_pool_submit(struct render_pool *pool, struct render_job *job, struct err *err);
/* Takes `memory_bytes` of the budget, waiting for it; at most one claim per render thread at a time. */
void render_pool_claim(struct render_pool *pool, uint64_t memory_bytes);
void render_pool_return(struct render_pool *pool, uint64_t memory_bytes);
/* Jobs waiting or running. */
uint32_t render_pool_busy(struct render_pool *pool);
/* Runs what is queued, then ends the threads. */
void render_pool_stop(struct render_pool **pool);

#endif
