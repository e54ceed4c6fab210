#include "shm/beat.h"

#include <string.h>

struct shm_beat *shm_beat_claim(struct shm_beats *beats)
{
    uint32_t index = atomic_fetch_add_explicit(&beats->used, 1, memory_order_relaxed);
    return index < SHM_BEAT_STRAY ? &beats->beat[index] : NULL;
}

void shm_beat_begin(struct shm_beat *beat, uint64_t connection_id, const char *target, int64_t now_ms)
{
    size_t length = strnlen(target, sizeof beat->target - 1);
    memcpy(beat->target, target, length);
    beat->target[length] = '\0';
    atomic_store_explicit(&beat->allowed_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&beat->alive_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&beat->connection_id, connection_id, memory_order_release);
}

void shm_beat_end(struct shm_beat *beat)
{
    atomic_store_explicit(&beat->connection_id, 0, memory_order_release);
}

uint32_t shm_beat_count(const struct shm_beats *beats)
{
    uint32_t used = atomic_load_explicit(&beats->used, memory_order_relaxed);
    return used < SHM_BEAT_STRAY ? used : SHM_BEAT_STRAY;
}

static void beat_clear(struct shm_beat *beat)
{
    atomic_store_explicit(&beat->connection_id, 0, memory_order_relaxed);
    atomic_store_explicit(&beat->fault_signal, 0, memory_order_relaxed);
    atomic_store_explicit(&beat->frame_count, 0, memory_order_relaxed);
}

void shm_beat_reset(struct shm_beats *beats)
{
    uint32_t count = shm_beat_count(beats);
    for (uint32_t i = 0; i < count; i++)
        beat_clear(&beats->beat[i]);
    beat_clear(&beats->beat[SHM_BEAT_STRAY]);
    atomic_store_explicit(&beats->used, 0, memory_order_relaxed);
}
