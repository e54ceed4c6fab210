/* Jobs that wait, in the order in which they are served: the cheaper first, but each job overtakes only those that came at
 * most RENDER_QUEUE_PATIENCE times its cost before it, and nobody is overtaken by what came more than
 * RENDER_QUEUE_MOST_MS after him. So a job's place is fixed when it comes, and nothing starves.
 *
 * A heap with room for a fixed number of jobs. No thread of its own: the pool locks. */
#ifndef WORKER_RENDER_QUEUE_H
#define WORKER_RENDER_QUEUE_H

#include "base/err.h"
#include "worker/render/pool.h"

#define RENDER_QUEUE_PATIENCE 200
#define RENDER_QUEUE_MOST_MS  8000

struct render_queue {
    struct render_job **job;
    uint32_t count, capacity;
    uint64_t numbered;
    double cost_ms; /* of all together */
};

RC_MUST_USE enum rc render_queue_init(struct render_queue *queue, uint32_t capacity, struct err *err);
void render_queue_done(struct render_queue *queue);

/* The place of a job: smaller is earlier. */
int64_t render_queue_key(double cost_ms, int64_t arrived_ms);
/* The queue has room. */
void render_queue_add(struct render_queue *queue, struct render_job *job);
/* NULL when empty. */
struct render_job *render_queue_first(const struct render_queue *queue);
void render_queue_take_first(struct render_queue *queue);
/* What all jobs before this place cost together. */
double render_queue_ahead_ms(const struct render_queue *queue, int64_t key);
/* Brings those to the front whose clients have left; they no longer count as work. Returns how many. */
uint32_t render_queue_bring_out_left(struct render_queue *queue);

#endif
