/* The sketch: how often each key has been asked for lately, for far more keys than are kept, in a fixed
 * number of counters (a count-min sketch whose counters fade). What is kept where is decided by it.
 *
 * Relaxed atomics only, no lock: two that count at once may lose one. It fades a little with each count, so
 * that a counter loses half of its value while as many are counted as SHM_SKETCH_WINDOW times what is kept.
 * Any thread of any worker. A crash leaves nothing to repair. */
#ifndef SHM_SKETCH_H
#define SHM_SKETCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_SKETCH_WINDOW 10u
#define SHM_SKETCH_MOST   63u

/* What everything in the cache is found by: 128 bits of a good hash, never both 0. */
struct shm_key {
    uint64_t low, high;
};

struct shm_sketch {
    _Alignas(64) uint64_t words;          /* a power of two */
    _Alignas(64) _Atomic uint64_t hand;   /* the next word to fade, in 1/65536 */
    _Atomic uint64_t counted;             /* in all: the cache's clock */
    _Alignas(64) _Atomic uint64_t word[]; /* of eight counters */
};

/* For about so many keys. */
size_t shm_sketch_bytes(uint64_t keys);
/* In zeroed memory. */
void shm_sketch_init(struct shm_sketch *sketch, uint64_t keys);
/* One more; `kept` is how many things are kept now. Returns the count, at most SHM_SKETCH_MOST. */
uint32_t shm_sketch_add(struct shm_sketch *sketch, struct shm_key key, uint64_t kept);
uint32_t shm_sketch_count(const struct shm_sketch *sketch, struct shm_key key);
/* How many have been counted, in steps of 16: a clock that stands still when nobody asks. */
uint32_t shm_sketch_clock(const struct shm_sketch *sketch);

/* What it is worth to keep something: the more often it was asked for, the longer; the larger it is and the
 * longer ago it was last asked for, the shorter. `idle` in steps of the clock, `kept` as above. */
double shm_sketch_worth(uint32_t count, uint64_t size_bytes, uint32_t idle, uint64_t kept);

#endif
