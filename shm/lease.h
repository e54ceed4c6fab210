/* Leases: who is making what, over all processes, so that it is made once.
 *
 * A lease says that one worker makes what belongs to a key. It holds until its owner gives it back, until its
 * deadline, or until its owner is no more (the master counts the generation of the slot up): then the next
 * that claims it has it. So an owner that dies or hangs delays the others and never blocks them.
 *
 * Who finds the lease taken is noted there by its slot and woken when it is given back; it then claims again,
 * and looks before it makes anything whether that has been done: a result must be where others find it before
 * its lease is given back. Waking is a hint (a waiter whose owner died is not woken): whoever waits looks
 * again after SHM_LEASE_LOOK_MS anyway. An owner that failed may leave word of it for those who waited
 * (shm_lease_fail): for a moment they find it where the lease was, so that not each of them fails by itself.
 * Whoever claims takes no notice of it.
 *
 * Fixed tables in the segment (one for derivatives, one for blocks of sources), in parts under a stripe each,
 * taken for the few instructions of a look-up. Any thread of any worker; the event thread too, since nothing
 * here blocks. A crash leaves its leases, which are free from the moment the slot has another generation; one
 * in the middle of a change leaves a broken stripe, whose leases are forgotten: then something may be made
 * twice, which does no harm. */
#ifndef SHM_LEASE_H
#define SHM_LEASE_H

#include "shm/stripe.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_LEASE_PARTS   256u
#define SHM_LEASE_PLACES  15u
#define SHM_LEASE_WORKERS 256u /* SHM_MAX_WORKERS */
#define SHM_LEASE_LOOK_MS 100
#define SHM_LEASE_WORD_MS 1000

/* What a lease is for: a hash that two different things do not share. */
struct shm_lease_key {
    uint64_t low, high;
};

struct shm_lease {
    _Alignas(64) struct shm_lease_key key;
    int64_t deadline_ms; /* monotonic; 0: the place is free */
    uint64_t generation; /* of the owner's slot; its upper 16 bits are the slot, or no slot: a word */
    uint64_t waiting[SHM_LEASE_WORKERS / 64]; /* slots */
};
static_assert(sizeof(struct shm_lease) == 64, "a lease is one cache line");

struct shm_lease_part {
    struct shm_stripe stripe;
    struct shm_lease lease[SHM_LEASE_PLACES];
};
static_assert(sizeof(struct shm_lease_part) == 1024, "a part is a KiB");

struct shm_lease_bell {
    _Alignas(64) _Atomic uint32_t rung;
};

struct shm_slot;

struct shm_leases {
    struct shm_lease_bell bell[SHM_LEASE_WORKERS]; /* one per slot */
    struct shm_lease_part part[SHM_LEASE_PARTS];
};

/* One worker's view. */
struct shm_leaseholder {
    struct shm_leases *leases;
    const struct shm_slot *slots; /* of the segment */
    uint32_t slot;                /* this worker's */
    uint64_t generation;          /* of that slot */
};

enum shm_lease_claim {
    SHM_LEASE_OURS,   /* make it, then give the lease back */
    SHM_LEASE_THEIRS, /* wait for the bell */
    SHM_LEASE_NONE, /* no lease to be had (the part is full, or somebody stopped in it): make it all the same */
};

/* Master, before it forks. */
void shm_lease_init(struct shm_leases *leases);

/* Claims the lease, or renews it when this worker has it: the caller knows by itself which of its threads is
 * at it. */
enum shm_lease_claim shm_lease_claim(const struct shm_leaseholder *holder, struct shm_lease_key key,
                                     int64_t now_ms, int64_t deadline_ms);
/* Gives it back, if it still is this worker's, and wakes who waits. */
void shm_lease_release(const struct shm_leaseholder *holder, struct shm_lease_key key);
/* The same, and leaves a word, not 0, for SHM_LEASE_WORD_MS. */
void shm_lease_fail(const struct shm_leaseholder *holder, struct shm_lease_key key, int64_t now_ms,
                    uint32_t word);
/* The word that its last owner has left; 0: none, or somebody has the lease. */
uint32_t shm_lease_word(const struct shm_leaseholder *holder, struct shm_lease_key key, int64_t now_ms);

/* How often this worker's bell has been rung. */
uint32_t shm_lease_rung(const struct shm_leaseholder *holder);
/* Blocks until the bell has been rung since `rung` was read, at most `most_ms`. Not for the event thread. */
void shm_lease_wait(const struct shm_leaseholder *holder, uint32_t rung, int64_t most_ms);
/* Wakes this worker's own waiting threads. */
void shm_lease_ring(const struct shm_leaseholder *holder);

#endif
