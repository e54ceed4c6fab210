/* What rendering costs all workers together: pixel memory that is held now, and how long each step of a
 * render has taken lately.
 *
 * Memory: each worker counts what its renders hold in a line of its own, so a dead worker's share is given
 * back by the reset of its slot, and nobody ever has to repair a sum. Whoever wants more adds up all lines. A
 * claim that does not fit is taken back at once; two that meet may both be refused and try again. Claims that
 * wait long take the turn: until they have got their memory the others' large claims are refused, so that a
 * large picture is not kept waiting by many of middling size. A turn is a hint with an end: when its holder
 * dies, it is over after SHM_EFFORT_TURN_MS.
 *
 * Costs: picoseconds of CPU time per unit of a step, as an average that forgets. Lost updates do not matter.
 *
 * Relaxed atomics, written by render threads of any worker; the master clears the line of a slot that it
 * resets. */
#ifndef SHM_EFFORT_H
#define SHM_EFFORT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHM_EFFORT_SLOTS   256u /* as SHM_MAX_WORKERS */
#define SHM_EFFORT_STEPS   16u
#define SHM_EFFORT_TURN_MS 2000

struct shm_effort_line {
    _Alignas(64) _Atomic uint64_t held_bytes;
};
static_assert(sizeof(struct shm_effort_line) == 64, "a line of its own per worker");

struct shm_effort {
    _Alignas(64) _Atomic uint64_t step_ps[SHM_EFFORT_STEPS]; /* 0: never measured */
    _Alignas(64) _Atomic uint64_t turn; /* who has it and until when: ms << 8 | slot; 0: nobody */
    struct shm_effort_line line[SHM_EFFORT_SLOTS];
};

/* Takes `bytes` for the worker in `slot` when all together then hold at most `most_bytes`, or hold nothing
 * else. `urgent`: the claim has waited long and takes the turn, if nobody else has it. */
bool shm_effort_claim(struct shm_effort *effort, uint32_t slot_count, uint32_t slot, uint64_t bytes,
                      uint64_t most_bytes, bool urgent);
/* Takes them in any case. */
void shm_effort_take(struct shm_effort *effort, uint32_t slot, uint64_t bytes);
void shm_effort_return(struct shm_effort *effort, uint32_t slot, uint64_t bytes);
/* All that is held now. */
uint64_t shm_effort_held(const struct shm_effort *effort, uint32_t slot_count);

/* One more measurement: `units` of the step took `ns`. */
void shm_effort_learn(struct shm_effort *effort, uint32_t step, int64_t ns, uint64_t units);
/* Picoseconds per unit; `preset_ps` as long as nothing was measured. */
uint64_t shm_effort_step_ps(const struct shm_effort *effort, uint32_t step, uint64_t preset_ps);

/* Master, before a worker is forked into the slot. */
void shm_effort_reset(struct shm_effort *effort, uint32_t slot);

#endif
