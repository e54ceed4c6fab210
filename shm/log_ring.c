#include "shm/log_ring.h"

#include <string.h>

bool shm_log_ring_put(struct shm_log_ring *ring, const char *line, size_t length, size_t *ret_held)
{
    uint64_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    uint64_t held = put - atomic_load_explicit(&ring->taken, memory_order_acquire);
    if (held > SHM_LOG_RING_BYTES || length > SHM_LOG_RING_BYTES - held)
        return false;
    size_t at = put % SHM_LOG_RING_BYTES;
    size_t first = length < SHM_LOG_RING_BYTES - at ? length : SHM_LOG_RING_BYTES - at;
    memcpy(ring->data + at, line, first);
    memcpy(ring->data, line + first, length - first);
    atomic_store_explicit(&ring->put, put + length, memory_order_release);
    *ret_held = (size_t)held + length;
    return true;
}

size_t shm_log_ring_peek(struct shm_log_ring *ring, char *to, size_t capacity)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    uint64_t held = atomic_load_explicit(&ring->put, memory_order_acquire) - taken;
    if (held > SHM_LOG_RING_BYTES) { /* nonsense: begin anew */
        atomic_store_explicit(&ring->taken, taken + held, memory_order_release);
        return 0;
    }
    size_t length = held < capacity ? (size_t)held : capacity, at = taken % SHM_LOG_RING_BYTES;
    size_t first = length < SHM_LOG_RING_BYTES - at ? length : SHM_LOG_RING_BYTES - at;
    memcpy(to, ring->data + at, first);
    memcpy(to + first, ring->data, length - first);
    const char *end = length > 0 ? memrchr(to, '\n', length) : NULL;
    if (end == NULL && length == capacity) { /* no line is so long */
        shm_log_ring_take(ring, length);
        return 0;
    }
    return end != NULL ? (size_t)(end - to) + 1 : 0;
}

void shm_log_ring_take(struct shm_log_ring *ring, size_t length)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    atomic_store_explicit(&ring->taken, taken + length, memory_order_release);
}
