/* Beats: what each thread of a worker works on, and since when it has shown no progress.
 *
 * A thread of a worker has one beat, which only it writes: set when it takes up a request, cleared when that
 * is done. When the thread crashes, the fault handler (worker/fault.c) adds signal and backtrace. The master
 * reads: while the worker lives only connection_id, alive_ms and allowed_ms (to find threads that hang),
 * after its death the rest, too. Whatever it reads may be nonsense and is bounded there; addresses are only
 * printed. A crash leaves the beats as they were: that is their purpose. The master clears them before the
 * next worker gets the slot. */
#ifndef SHM_BEAT_H
#define SHM_BEAT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_BEAT_FRAMES       32u
#define SHM_BEAT_TARGET_BYTES 224u
#define SHM_BEATS             258u /* render threads, event thread, and the last for all other threads */
#define SHM_BEAT_STRAY        (SHM_BEATS - 1)

struct shm_beat {
    _Alignas(64) _Atomic uint64_t connection_id; /* 0: works on nothing */
    _Atomic int64_t alive_ms;      /* monotonic; the last progress. 0: it waits and cannot hang */
    _Atomic uint32_t allowed_ms;   /* how much longer than usual there may be none */
    _Atomic uint32_t fault_signal; /* of its own; 0: none */
    _Atomic uint32_t frame_count;
    _Atomic int32_t thread; /* its number in the kernel */
    uint64_t frame[SHM_BEAT_FRAMES];
    char target[SHM_BEAT_TARGET_BYTES]; /* its beginning; terminated, unless it is nonsense */
};
static_assert(sizeof(struct shm_beat) == 512, "a beat is eight cache lines");

struct shm_beats {
    _Alignas(
        64) _Atomic uint32_t used; /* beats from here on were never touched; SHM_BEAT_STRAY is not counted */
    struct shm_beat beat[SHM_BEATS];
};

/* Worker: a beat for one more thread; NULL when there are more threads than beats. */
struct shm_beat *shm_beat_claim(struct shm_beats *beats);
/* Its thread: begins with a request; shows progress; waits for others (and so cannot hang) until it shows
 * progress again; is done with the request. */
void shm_beat_begin(struct shm_beat *beat, uint64_t connection_id, const char *target, int64_t now_ms);
void shm_beat_end(struct shm_beat *beat);

/* Master: how many beats are to be looked at, at most SHM_BEAT_STRAY. */
uint32_t shm_beat_count(const struct shm_beats *beats);
/* Master, before a worker is forked into the slot. */
void shm_beat_reset(struct shm_beats *beats);

#endif
