/* Jobs that wait, and whose turn it is.
 *
 * Each job has a patience that grows with the square root of what it costs. As long as all that wait are
 * within theirs, the cheapest goes first. Whoever is beyond it goes before all who are not, and among those
 * the one that has waited for the largest multiple of its patience: under load the waits of cheap and dear
 * jobs then stay in proportion (a hundred times dearer, ten times longer), however many come, and nothing
 * starves.
 *
 * Jobs of about the same cost (up to twice) are one class and go in the order of their arrival, and so do all
 * below two milliseconds. So only the first of each class is ever looked at.
 *
 * Owns nothing: the jobs are chained. No thread of its own: the pool locks. */
#ifndef WORKER_RENDER_QUEUE_H
#define WORKER_RENDER_QUEUE_H

#include "worker/render/pool.h"

#include <stdbool.h>
#include <stdint.h>

#define RENDER_QUEUE_CLASSES 20u
/* Of a job of one millisecond; and of the dearest, from about 160 ms on. */
#define RENDER_QUEUE_PATIENCE_MS      400.0
#define RENDER_QUEUE_MOST_PATIENCE_MS 5000.0

struct render_queue {
    struct render_class {
        struct render_job *first, *last;
    } class[RENDER_QUEUE_CLASSES];
    uint32_t count;
    double cost_ms; /* of all together */
};

/* The place that a job of this cost has in the order, from its arrival on. */
struct render_turn render_queue_turn(double cost_ms, int64_t arrived_ms);
/* Whether the one goes before the other at that time. */
bool render_queue_is_before(const struct render_turn *one, const struct render_turn *other, int64_t now_ms);
bool render_queue_is_beyond_patience(const struct render_turn *turn, int64_t now_ms);

/* Takes cost_ms and arrived_ms of the job. */
void render_queue_add(struct render_queue *queue, struct render_job *job);
/* NULL when empty. */
struct render_job *render_queue_first(const struct render_queue *queue, int64_t now_ms);
void render_queue_take(struct render_queue *queue, struct render_job *job);
/* What those jobs cost together that would go before this turn at that time. Looks at each job that is
 * dearer. */
double render_queue_ahead_ms(const struct render_queue *queue, const struct render_turn *turn,
                             int64_t then_ms);
/* Brings those to the front whose clients have left; they no longer count as work. Returns how many. */
uint32_t render_queue_bring_out_left(struct render_queue *queue);

#endif
