#include "worker/render/pool_inside.h"

#include "base/clock.h"

#define CLAIM_AGAIN_MS  5 /* other workers give memory back without a word */
#define URGENT_AFTER_MS 1000

static bool try_claim(struct render_pool *pool, uint64_t memory_bytes, bool urgent)
{
    const struct render_pool_options *o = &pool->options;
    return shm_effort_claim(o->effort, o->slot_count, o->slot, memory_bytes, o->memory_bytes, urgent);
}

/* Until some memory is given back here, or may have been elsewhere. With the lock. */
static void wait_for_memory(struct render_pool *pool)
{
    clock_wait_until(&pool->memory, &pool->mutex, clock_monotonic_ms() + CLAIM_AGAIN_MS);
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
