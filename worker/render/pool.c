#include "worker/render/pool.h"

#include "base/own.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

struct render_pool {
    atomic_uint named;
    pthread_mutex_t mutex;
    pthread_cond_t work, memory;
    struct render_job *first, **last;
    uint32_t waiting, running, queue_length;
    uint64_t budget_bytes, claimed_bytes;
    bool stopping;
    uint32_t thread_count;
    pthread_t thread[];
};

static void *render_thread(void *argument)
{
    struct render_pool *pool = argument;
    /* By itself: of another thread's name the kernel hears through a file, which a worker may not open. */
    char name[16];
    snprintf(name, sizeof name, "render %u", atomic_fetch_add(&pool->named, 1) % 1000);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->first == NULL && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->mutex);
        struct render_job *job = pool->first;
        if (job == NULL)
            break;
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->waiting--;
        pool->running++;
        pthread_mutex_unlock(&pool->mutex);
        job->run(job);
        pthread_mutex_lock(&pool->mutex);
        pool->running--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

enum rc render_pool_start(uint32_t threads, uint32_t queue_length, uint64_t memory_bytes,
                          struct render_pool **ret_pool, struct err *err)
{
    assert(threads > 0);
    struct render_pool *pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
    if (pool == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u render threads", threads);
    pool->queue_length = queue_length;
    pool->budget_bytes = memory_bytes;
    pool->last = &pool->first;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->memory, NULL);
    for (uint32_t i = 0; i < threads; i++) {
        int failed = pthread_create(&pool->thread[i], NULL, render_thread, pool);
        if (failed != 0) {
            render_pool_stop(&pool);
            return err_set_errno(err, RC_IO, failed, "render thread %u of %u cannot start", i + 1, threads);
        }
        pool->thread_count++;
    }
    *ret_pool = pool;
    return RC_OK;
}

enum rc render_pool_submit(struct render_pool *pool, struct render_job *job, struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&pool->mutex);
    if (pool->waiting >= pool->queue_length) {
        rc = err_set(err, RC_BUSY, "%u requests wait already, please try again", pool->waiting);
    } else {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return rc;
}

void render_pool_claim(struct render_pool *pool, uint64_t memory_bytes)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->claimed_bytes > 0 && (pool->claimed_bytes >= pool->budget_bytes ||
                                       memory_bytes > pool->budget_bytes - pool->claimed_bytes))
        pthread_cond_wait(&pool->memory, &pool->mutex);
    pool->claimed_bytes += memory_bytes;
    pthread_mutex_unlock(&pool->mutex);
}

void render_pool_return(struct render_pool *pool, uint64_t memory_bytes)
{
    pthread_mutex_lock(&pool->mutex);
    assert(pool->claimed_bytes >= memory_bytes);
    pool->claimed_bytes -= memory_bytes;
    pthread_cond_broadcast(&pool->memory);
    pthread_mutex_unlock(&pool->mutex);
}

uint32_t render_pool_busy(struct render_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint32_t busy = pool->waiting + pool->running;
    pthread_mutex_unlock(&pool->mutex);
    return busy;
}

void render_pool_stop(struct render_pool **pool)
{
    struct render_pool *stopped = TAKE_PTR(*pool);
    if (stopped == NULL)
        return;
    pthread_mutex_lock(&stopped->mutex);
    stopped->stopping = true;
    pthread_cond_broadcast(&stopped->work);
    pthread_mutex_unlock(&stopped->mutex);
    for (uint32_t i = 0; i < stopped->thread_count; i++)
        pthread_join(stopped->thread[i], NULL);
    pthread_cond_destroy(&stopped->work);
    pthread_cond_destroy(&stopped->memory);
    pthread_mutex_destroy(&stopped->mutex);
    free(stopped);
}
