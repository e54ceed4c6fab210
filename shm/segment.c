#include "shm/segment.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A word that needs a lock would be a word that a killed worker can leave locked. */
static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2, "atomics of the segment take no lock");

enum rc shm_segment_make(uint32_t slot_count, struct shm_segment **ret_segment, struct err *err)
{
    assert(slot_count >= 1 && slot_count <= SHM_MAX_WORKERS);
    struct shm_segment *segment = mmap(NULL, sizeof *segment, PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (segment == MAP_FAILED)
        return err_set_errno(err, RC_NO_MEMORY, errno, "no shared memory of %zu bytes", sizeof *segment);
    memcpy(segment->magic, "VITRINE1", sizeof segment->magic);
    segment->layout_version = SHM_LAYOUT_VERSION;
    segment->slot_count = slot_count;
    segment->started_ms = clock_monotonic_ms();
    shm_lease_init(&segment->leases);
    shm_lease_init(&segment->fetches);
    *ret_segment = segment;
    return RC_OK;
}

void shm_segment_free(struct shm_segment **segment)
{
    if (*segment != NULL)
        munmap(*segment, sizeof **segment);
    *segment = NULL;
}

void shm_segment_reset_slot(struct shm_segment *segment, uint32_t slot, enum shm_slot_state state)
{
    assert(slot < SHM_MAX_WORKERS); /* not slot_count: any worker can overwrite that */
    struct shm_slot *s = &segment->slot[slot];
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&s->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&s->connections, 0, memory_order_relaxed);
    atomic_store_explicit(&s->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&s->renders, 0, memory_order_relaxed);
    atomic_store_explicit(&s->queued, 0, memory_order_relaxed);
    atomic_store_explicit(&s->beat_ms, 0, memory_order_relaxed);
    shm_beat_reset(&segment->beats[slot]);
    shm_effort_reset(&segment->effort, slot);
    shm_clients_reset(&segment->clients, slot);
    atomic_store_explicit(&s->state, state, memory_order_relaxed);
}
