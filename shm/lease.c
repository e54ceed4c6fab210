#include "shm/lease.h"

#include "shm/segment.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static_assert(SHM_LEASE_WORKERS == SHM_MAX_WORKERS, "every slot can wait");

/* The stripe is held for less than a microsecond: whoever does not get it in this time has met one that was
 * stopped. */
#define PATIENCE_US 200u

#define GENERATION_BITS 48
#define NO_SLOT         0xffffu /* in place of the owner's: what follows is a word */

void shm_lease_init(struct shm_leases *leases)
{
    memset(leases, 0, sizeof *leases);
    for (uint32_t i = 0; i < SHM_LEASE_PARTS; i++)
        shm_stripe_init(&leases->part[i].stripe);
}

/* ---- owners ---- */

static uint64_t name_of(uint32_t slot, uint64_t generation)
{
    return (uint64_t)slot << GENERATION_BITS | (generation & ((UINT64_C(1) << GENERATION_BITS) - 1));
}

static bool is_alive(const struct shm_leaseholder *holder, uint64_t owner)
{
    if (owner >> GENERATION_BITS >= SHM_LEASE_WORKERS)
        return false;
    const struct shm_slot *slot = &holder->slots[owner >> GENERATION_BITS];
    uint64_t generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    return atomic_load_explicit(&slot->state, memory_order_relaxed) != SHM_SLOT_FREE &&
           name_of((uint32_t)(owner >> GENERATION_BITS), generation) == owner;
}

static bool is_held(const struct shm_leaseholder *holder, const struct shm_lease *lease, int64_t now_ms)
{
    return lease->deadline_ms > now_ms && is_alive(holder, lease->generation);
}

/* ---- places ---- */

static struct shm_lease_part *take_part(const struct shm_leaseholder *holder, struct shm_lease_key key)
{
    struct shm_lease_part *part = &holder->leases->part[key.high % SHM_LEASE_PARTS];
    enum shm_stripe_taken taken = shm_stripe_take(&part->stripe, PATIENCE_US);
    if (taken == SHM_STRIPE_BROKEN)
        memset(part->lease, 0, sizeof part->lease);
    return taken == SHM_STRIPE_BUSY ? NULL : part;
}

static struct shm_lease *find(struct shm_lease_part *part, struct shm_lease_key key)
{
    for (uint32_t i = 0; i < SHM_LEASE_PLACES; i++) {
        struct shm_lease *lease = &part->lease[i];
        if (lease->deadline_ms != 0 && lease->key.low == key.low && lease->key.high == key.high)
            return lease;
    }
    return NULL;
}

/* A place for another lease: free, or of one that holds no more. */
static struct shm_lease *find_place(const struct shm_leaseholder *holder, struct shm_lease_part *part,
                                    int64_t now_ms)
{
    for (uint32_t i = 0; i < SHM_LEASE_PLACES; i++)
        if (!is_held(holder, &part->lease[i], now_ms))
            return &part->lease[i];
    return NULL;
}

enum shm_lease_claim shm_lease_claim(const struct shm_leaseholder *holder, struct shm_lease_key key,
                                     int64_t now_ms, int64_t deadline_ms)
{
    uint64_t us = name_of(holder->slot, holder->generation);
    struct shm_lease_part *part = take_part(holder, key);
    if (part == NULL)
        return SHM_LEASE_NONE;
    enum shm_lease_claim claim = SHM_LEASE_OURS;
    struct shm_lease *lease = find(part, key);
    if (lease != NULL && lease->generation != us && is_held(holder, lease, now_ms)) {
        lease->waiting[holder->slot / 64] |= UINT64_C(1) << holder->slot % 64;
        claim = SHM_LEASE_THEIRS;
    } else if (lease != NULL) { /* ours, or of one that is no more: who waits for it goes on waiting */
        lease->generation = us;
        lease->deadline_ms = deadline_ms;
    } else if ((lease = find_place(holder, part, now_ms)) != NULL) {
        *lease = (struct shm_lease){.key = key, .deadline_ms = deadline_ms, .generation = us};
    } else {
        claim = SHM_LEASE_NONE;
    }
    shm_stripe_give(&part->stripe);
    return claim;
}

/* ---- bells ---- */

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *most)
{
    return syscall(SYS_futex, word, operation, value, most, NULL, 0);
}

static void ring(struct shm_leases *leases, uint32_t slot)
{
    atomic_fetch_add_explicit(&leases->bell[slot].rung, 1, memory_order_release);
    futex(&leases->bell[slot].rung, FUTEX_WAKE, INT_MAX, NULL);
}

static void give_back(const struct shm_leaseholder *holder, struct shm_lease_key key,
                      const struct shm_lease *left_behind)
{
    uint64_t waiting[SHM_LEASE_WORKERS / 64] = {0};
    struct shm_lease_part *part = take_part(holder, key);
    if (part == NULL)
        return; /* until its deadline */
    struct shm_lease *lease = find(part, key);
    if (lease != NULL && lease->generation == name_of(holder->slot, holder->generation)) {
        memcpy(waiting, lease->waiting, sizeof waiting);
        *lease = *left_behind;
    }
    shm_stripe_give(&part->stripe);
    for (uint32_t slot = 0; slot < SHM_LEASE_WORKERS; slot++)
        if ((waiting[slot / 64] >> slot % 64 & 1) != 0)
            ring(holder->leases, slot);
}

void shm_lease_release(const struct shm_leaseholder *holder, struct shm_lease_key key)
{
    const struct shm_lease nothing = {.deadline_ms = 0};
    give_back(holder, key, &nothing);
}

void shm_lease_fail(const struct shm_leaseholder *holder, struct shm_lease_key key, int64_t now_ms,
                    uint32_t word)
{
    const struct shm_lease left = {
        .key = key, .deadline_ms = now_ms + SHM_LEASE_WORD_MS, .generation = name_of(NO_SLOT, word)};
    give_back(holder, key, &left);
}

uint32_t shm_lease_word(const struct shm_leaseholder *holder, struct shm_lease_key key, int64_t now_ms)
{
    struct shm_lease_part *part = take_part(holder, key);
    if (part == NULL)
        return 0;
    const struct shm_lease *lease = find(part, key);
    bool is_word = lease != NULL && lease->generation >> GENERATION_BITS == NO_SLOT &&
                   lease->deadline_ms > now_ms;
    uint32_t word = is_word ? (uint32_t)lease->generation : 0;
    shm_stripe_give(&part->stripe);
    return word;
}

uint32_t shm_lease_rung(const struct shm_leaseholder *holder)
{
    return atomic_load_explicit(&holder->leases->bell[holder->slot].rung, memory_order_acquire);
}

void shm_lease_wait(const struct shm_leaseholder *holder, uint32_t rung, int64_t most_ms)
{
    const struct timespec most = {.tv_sec = most_ms / 1000, .tv_nsec = most_ms % 1000 * 1000000};
    if (shm_lease_rung(holder) == rung)
        futex(&holder->leases->bell[holder->slot].rung, FUTEX_WAIT, rung, &most);
}

void shm_lease_ring(const struct shm_leaseholder *holder)
{
    ring(holder->leases, holder->slot);
}
