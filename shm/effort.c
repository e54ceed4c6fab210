#include "shm/effort.h"

#include "base/clock.h"

/* ---- memory ---- */

uint64_t shm_effort_held(const struct shm_effort *effort, uint32_t slot_count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < slot_count && i < SHM_EFFORT_SLOTS; i++)
        sum += atomic_load_explicit(&effort->line[i].held_bytes, memory_order_relaxed);
    return sum;
}

/* Whether somebody else has the turn. */
static bool must_wait(struct shm_effort *effort, uint32_t slot, bool urgent)
{
    uint64_t now_ms = (uint64_t)clock_monotonic_ms();
    uint64_t turn = atomic_load_explicit(&effort->turn, memory_order_relaxed);
    bool is_free = turn >> 8 < now_ms || turn >> 8 > now_ms + SHM_EFFORT_TURN_MS;
    if (!is_free)
        return (turn & 0xff) != (slot & 0xff);
    if (urgent)
        atomic_compare_exchange_strong(&effort->turn, &turn,
                                       (now_ms + SHM_EFFORT_TURN_MS) << 8 | (slot & 0xff));
    return false;
}

bool shm_effort_claim(struct shm_effort *effort, uint32_t slot_count, uint32_t slot, uint64_t bytes,
                      uint64_t most_bytes, bool urgent)
{
    if (must_wait(effort, slot, urgent))
        return false;
    shm_effort_take(effort, slot, bytes);
    uint64_t held = shm_effort_held(effort, slot_count);
    if (held > most_bytes && held != bytes) {
        shm_effort_return(effort, slot, bytes);
        return false;
    }
    uint64_t turn = atomic_load_explicit(&effort->turn, memory_order_relaxed);
    if (turn != 0 && (turn & 0xff) == (slot & 0xff))
        atomic_compare_exchange_strong(&effort->turn, &turn, 0);
    return true;
}

void shm_effort_take(struct shm_effort *effort, uint32_t slot, uint64_t bytes)
{
    atomic_fetch_add(&effort->line[slot].held_bytes, bytes);
}

void shm_effort_return(struct shm_effort *effort, uint32_t slot, uint64_t bytes)
{
    atomic_fetch_sub(&effort->line[slot].held_bytes, bytes);
}

void shm_effort_reset(struct shm_effort *effort, uint32_t slot)
{
    atomic_store_explicit(&effort->line[slot].held_bytes, 0, memory_order_relaxed);
}

/* ---- costs ---- */

#define FORGETS 16 /* a measurement moves the average by this part of the difference */

void shm_effort_learn(struct shm_effort *effort, uint32_t step, int64_t ns, uint64_t units)
{
    if (ns <= 0 || units == 0 || (uint64_t)ns > UINT64_MAX / 1000)
        return;
    uint64_t measured = (uint64_t)ns * 1000 / units;
    uint64_t known = atomic_load_explicit(&effort->step_ps[step], memory_order_relaxed);
    uint64_t next = known == 0 ? measured : known - known / FORGETS + measured / FORGETS;
    atomic_store_explicit(&effort->step_ps[step], next == 0 ? 1 : next, memory_order_relaxed);
}

uint64_t shm_effort_step_ps(const struct shm_effort *effort, uint32_t step, uint64_t preset_ps)
{
    uint64_t known = atomic_load_explicit(&effort->step_ps[step], memory_order_relaxed);
    return known == 0 ? preset_ps : known;
}
