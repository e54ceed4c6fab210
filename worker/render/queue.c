#include "worker/render/queue.h"

#include <assert.h>
#include <stdlib.h>

enum rc render_queue_init(struct render_queue *queue, uint32_t capacity, struct err *err)
{
    struct render_job **job = calloc(capacity, sizeof *job);
    if (job == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a queue of %u renders", capacity);
    *queue = (struct render_queue){.job = job, .capacity = capacity};
    return RC_OK;
}

void render_queue_done(struct render_queue *queue)
{
    free(queue->job);
    *queue = (struct render_queue){0};
}

int64_t render_queue_key(double cost_ms, int64_t arrived_ms)
{
    double patience_us = cost_ms * 1000 * RENDER_QUEUE_PATIENCE, most_us = RENDER_QUEUE_MOST_MS * 1000.0;
    return arrived_ms * 1000 + (int64_t)(patience_us < most_us ? patience_us : most_us);
}

/* ---- the heap ---- */

static bool is_before(const struct render_job *a, const struct render_job *b)
{
    return a->key != b->key ? a->key < b->key : a->number < b->number;
}

static void swap(struct render_queue *queue, uint32_t a, uint32_t b)
{
    struct render_job *job = queue->job[a];
    queue->job[a] = queue->job[b];
    queue->job[b] = job;
}

static void rise(struct render_queue *queue, uint32_t at)
{
    for (; at > 0 && is_before(queue->job[at], queue->job[(at - 1) / 2]); at = (at - 1) / 2)
        swap(queue, at, (at - 1) / 2);
}

static void sink(struct render_queue *queue, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < queue->count; child++)
            if (is_before(queue->job[child], queue->job[least]))
                least = child;
        if (least == at)
            return;
        swap(queue, at, least);
        at = least;
    }
}

void render_queue_add(struct render_queue *queue, struct render_job *job)
{
    assert(queue->count < queue->capacity);
    job->key = render_queue_key(job->cost_ms, job->arrived_ms);
    job->number = queue->numbered++;
    queue->cost_ms += job->cost_ms;
    queue->job[queue->count++] = job;
    rise(queue, queue->count - 1);
}

struct render_job *render_queue_first(const struct render_queue *queue)
{
    return queue->count > 0 ? queue->job[0] : NULL;
}

void render_queue_take_first(struct render_queue *queue)
{
    assert(queue->count > 0);
    queue->cost_ms -= queue->job[0]->cost_ms;
    queue->job[0] = queue->job[--queue->count];
    sink(queue, 0);
    if (queue->count == 0)
        queue->cost_ms = 0; /* no rounding errors are kept */
}

/* ---- questions about all ---- */

double render_queue_ahead_ms(const struct render_queue *queue, int64_t key)
{
    double ahead_ms = 0;
    for (uint32_t i = 0; i < queue->count; i++)
        if (queue->job[i]->key <= key)
            ahead_ms += queue->job[i]->cost_ms;
    return ahead_ms;
}

uint32_t render_queue_bring_out_left(struct render_queue *queue)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < queue->count; i++) {
        struct render_job *job = queue->job[i];
        if (job->key == INT64_MIN || job->is_left == NULL || !job->is_left(job))
            continue;
        queue->cost_ms -= job->cost_ms;
        job->cost_ms = 0;
        job->key = INT64_MIN;
        rise(queue, i); /* what comes down instead was looked at before */
        left++;
    }
    return left;
}
