#include "worker/render/queue.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

/* The second class begins at twice this: whatever takes next to no time is served as it comes. */
#define LEAST_COST_MS 1.0

/* ---- the order ---- */

struct render_turn render_queue_turn(double cost_ms, int64_t arrived_ms)
{
    struct render_turn turn = {.arrived_ms = arrived_ms};
    double least_ms = LEAST_COST_MS; /* of its class */
    for (; cost_ms >= least_ms * 2 && turn.class < RENDER_QUEUE_CLASSES - 1; least_ms *= 2)
        turn.class ++;
    turn.patience_ms = RENDER_QUEUE_PATIENCE_MS * sqrt(least_ms * sqrt(2));
    if (turn.patience_ms > RENDER_QUEUE_MOST_PATIENCE_MS)
        turn.patience_ms = RENDER_QUEUE_MOST_PATIENCE_MS;
    return turn;
}

/* How long it has waited by then, as a multiple of its patience. */
static double waited(const struct render_turn *turn, int64_t then_ms)
{
    return (double)(then_ms - turn->arrived_ms) / turn->patience_ms;
}

bool render_queue_is_beyond_patience(const struct render_turn *turn, int64_t now_ms)
{
    return waited(turn, now_ms) > 1;
}

bool render_queue_is_before(const struct render_turn *one, const struct render_turn *other, int64_t now_ms)
{
    if (one->class == other->class)
        return one->arrived_ms < other->arrived_ms;
    double one_waited = waited(one, now_ms), other_waited = waited(other, now_ms);
    if (one_waited <= 1 && other_waited <= 1)
        return one->class < other->class;
    return one_waited > other_waited;
}

/* ---- the chains ---- */

void render_queue_add(struct render_queue *queue, struct render_job *job)
{
    job->turn = render_queue_turn(job->cost_ms, job->arrived_ms);
    struct render_class *class = &queue->class[job->turn.class];
    struct render_job *before = class->last; /* nearly always: only what is submitted again came earlier */
    while (before != NULL && before->turn.arrived_ms > job->turn.arrived_ms)
        before = before->previous;
    job->previous = before;
    job->next = before != NULL ? before->next : class->first;
    *(before != NULL ? &before->next : &class->first) = job;
    *(job->next != NULL ? &job->next->previous : &class->last) = job;
    queue->count++;
    queue->cost_ms += job->cost_ms;
}

void render_queue_take(struct render_queue *queue, struct render_job *job)
{
    struct render_class *class = &queue->class[job->turn.class];
    assert(queue->count > 0);
    *(job->previous != NULL ? &job->previous->next : &class->first) = job->next;
    *(job->next != NULL ? &job->next->previous : &class->last) = job->previous;
    job->next = job->previous = NULL;
    queue->count--;
    queue->cost_ms = queue->count > 0 ? queue->cost_ms - job->cost_ms : 0; /* no rounding errors are kept */
}

struct render_job *render_queue_first(const struct render_queue *queue, int64_t now_ms)
{
    struct render_job *best = NULL;
    for (uint32_t i = 0; queue->count > 0 && i < RENDER_QUEUE_CLASSES; i++) {
        struct render_job *first = queue->class[i].first;
        if (first != NULL && (best == NULL || render_queue_is_before(&first->turn, &best->turn, now_ms)))
            best = first;
    }
    return best;
}

/* ---- questions about all ---- */

double render_queue_ahead_ms(const struct render_queue *queue, const struct render_turn *turn,
                             int64_t then_ms)
{
    double ahead_ms = 0;
    for (uint32_t i = 0; i < RENDER_QUEUE_CLASSES; i++)
        for (const struct render_job *job = queue->class[i].first; job != NULL; job = job->next) {
            if (render_queue_is_before(turn, &job->turn, then_ms))
                break; /* and before all that came later */
            ahead_ms += job->cost_ms;
        }
    return ahead_ms;
}

uint32_t render_queue_bring_out_left(struct render_queue *queue)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < RENDER_QUEUE_CLASSES; i++)
        for (struct render_job *job = queue->class[i].first, *next; job != NULL; job = next) {
            next = job->next;
            if (job->turn.arrived_ms == 0 || job->is_left == NULL || !job->is_left(job))
                continue;
            render_queue_take(queue, job);
            job->cost_ms = 0;
            job->arrived_ms = 0; /* nobody has waited longer */
            render_queue_add(queue, job);
            left++;
        }
    return left;
}
