#include "worker/derivative_inside.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- leases ---- */

static enum shm_lease_claim claim(struct worker_derivatives *derivatives, const struct derivative_key *key)
{
    const struct shm_lease_key lease = {key->hash.low, key->hash.high};
    int64_t now_ms = clock_monotonic_ms();
    return shm_lease_claim(&derivatives->holder, lease, now_ms, now_ms + derivatives->lease_ms);
}

void worker_flight_renew_lease(struct worker_flight *flight)
{
    if (flight->leased)
        claim(flight->derivatives, &flight->key);
}

void worker_flight_release_lease(struct worker_flight *flight)
{
    const struct shm_lease_key lease = {flight->key.hash.low, flight->key.hash.high};
    if (flight->leased)
        shm_lease_release(&flight->derivatives->holder, lease);
    flight->leased = false;
}

/* ---- the table, under the lock ---- */

static struct worker_flight **bucket_of(struct worker_derivatives *derivatives,
                                        const struct derivative_key *key)
{
    return &derivatives->bucket[key->hash.low % WORKER_FLIGHT_BUCKETS];
}

static struct worker_flight *find_flight(struct worker_derivatives *derivatives,
                                         const struct derivative_key *key)
{
    struct worker_flight *flight = *bucket_of(derivatives, key);
    while (flight != NULL &&
           (flight->key.length != key->length || memcmp(flight->key.text, key->text, key->length) != 0))
        flight = flight->chain;
    return flight;
}

static void list(struct worker_flight *flight)
{
    struct worker_flight **bucket = bucket_of(flight->derivatives, &flight->key);
    flight->chain = *bucket;
    *bucket = flight;
    flight->listed = true;
}

static void unlist(struct worker_flight *flight)
{
    if (!flight->listed)
        return;
    struct worker_flight **link = bucket_of(flight->derivatives, &flight->key);
    while (*link != flight)
        link = &(*link)->chain;
    *link = flight->chain;
    flight->listed = false;
}

static void append(struct worker_flight *flight, struct worker_wanted *wanted)
{
    wanted->next = NULL;
    *flight->last = wanted;
    flight->last = &wanted->next;
    if (flight->derivatives->waiting++ == 0)
        shm_lease_ring(&flight->derivatives->holder); /* the watch has to look more often now */
}

static struct worker_wanted *pop(struct worker_flight *flight)
{
    struct worker_wanted *wanted = flight->first;
    if (wanted == NULL)
        return NULL;
    flight->first = wanted->next;
    if (flight->first == NULL)
        flight->last = &flight->first;
    flight->derivatives->waiting--;
    return wanted;
}

static struct worker_flight *flight_new(struct worker_derivatives *derivatives,
                                        const struct derivative_key *key)
{
    struct worker_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    flight->derivatives = derivatives;
    flight->key = *key;
    flight->file = DERIVATIVE_FILE_NONE;
    flight->last = &flight->first;
    flight->epoch = shm_fences_epoch(derivatives->cache.shared->fences);
    return flight;
}

/* Another flight takes the place of this one, with all who wait. NULL: no memory. */
static struct worker_flight *succeed(struct worker_flight *flight)
{
    struct worker_flight *rest = flight_new(flight->derivatives, &flight->key);
    if (rest == NULL)
        return NULL;
    if (flight->first != NULL) {
        rest->first = flight->first;
        rest->last = flight->last;
        flight->first = NULL;
        flight->last = &flight->first;
    }
    unlist(flight);
    list(rest);
    rest->making = true;
    return rest;
}

/* What is being made was begun before a purge: nobody else may get it. */
static bool is_outdated(const struct worker_flight *flight)
{
    return flight->making &&
           derivatives_is_purged(&flight->derivatives->cache, &flight->key,
                                 atomic_load_explicit(&flight->epoch, memory_order_relaxed));
}

static struct worker_flight *enter(struct worker_derivatives *derivatives, struct worker_wanted *wanted,
                                   bool *ret_is_ours)
{
    struct worker_flight *flight = find_flight(derivatives, &wanted->key);
    *ret_is_ours = flight == NULL || is_outdated(flight);
    if (flight != NULL && !*ret_is_ours) {
        append(flight, wanted);
        return flight;
    }
    if (flight != NULL) { /* its lease, which is this worker's, is the other's as well */
        flight = succeed(flight);
        if (flight != NULL)
            flight->leased = claim(derivatives, &wanted->key) == SHM_LEASE_OURS;
        return flight;
    }
    flight = flight_new(derivatives, &wanted->key);
    if (flight == NULL)
        return NULL;
    enum shm_lease_claim claimed = claim(derivatives, &wanted->key);
    list(flight);
    flight->leased = claimed == SHM_LEASE_OURS;
    flight->making = claimed != SHM_LEASE_THEIRS;
    if (!flight->making) {
        *ret_is_ours = false;
        append(flight, wanted);
    }
    return flight;
}

/* ---- what takes the lock ---- */

struct worker_flight *worker_flight_table_enter(struct worker_derivatives *derivatives,
                                                struct worker_wanted *wanted, bool *ret_is_ours)
{
    *ret_is_ours = false;
    pthread_mutex_lock(&derivatives->lock);
    struct worker_flight *flight = derivatives->quits ? NULL : enter(derivatives, wanted, ret_is_ours);
    pthread_mutex_unlock(&derivatives->lock);
    return flight;
}

struct worker_wanted *worker_flight_table_next(struct worker_flight *flight,
                                               enum worker_flight_when_empty when_empty)
{
    struct worker_derivatives *derivatives = flight->derivatives;
    pthread_mutex_lock(&derivatives->lock);
    struct worker_wanted *wanted = pop(flight);
    if (wanted == NULL && when_empty == WORKER_FLIGHT_LEAVES)
        unlist(flight);
    pthread_mutex_unlock(&derivatives->lock);
    return wanted;
}

struct worker_flight *worker_flight_table_replace(struct worker_flight *flight)
{
    struct worker_derivatives *derivatives = flight->derivatives;
    struct worker_flight *rest = NULL;
    pthread_mutex_lock(&derivatives->lock);
    bool was_listed = flight->listed;
    if (was_listed && flight->first != NULL)
        rest = succeed(flight);
    if (rest != NULL) { /* and the lease */
        rest->leased = flight->leased;
        flight->leased = false;
    } else if (flight->first == NULL) {
        unlist(flight);
    }
    bool has_left = was_listed && !flight->listed;
    pthread_mutex_unlock(&derivatives->lock);
    if (has_left)
        worker_flight_release_lease(flight); /* nothing, where it went to the other */
    return rest;
}

/* Takes those out of the flight whose time is over or whose client has left. */
static void take_late(struct worker_flight *flight, int64_t now_ms, struct worker_wanted **late)
{
    struct worker_wanted **link = &flight->first;
    while (*link != NULL) {
        struct worker_wanted *wanted = *link;
        if (now_ms <= wanted->deadline_ms && !http_exchange_abandoned(wanted->exchange)) {
            link = &wanted->next;
            continue;
        }
        *link = wanted->next;
        wanted->next = *late;
        *late = wanted;
        flight->derivatives->waiting--;
    }
    flight->last = link;
}

struct worker_flight *worker_flight_table_take(struct worker_derivatives *derivatives,
                                               struct worker_wanted **late)
{
    struct worker_flight *taken = NULL;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&derivatives->lock);
    for (uint32_t i = 0; i < WORKER_FLIGHT_BUCKETS; i++)
        for (struct worker_flight *flight = derivatives->bucket[i]; flight != NULL; flight = flight->chain) {
            take_late(flight, now_ms, late);
            if (flight->making)
                continue;
            enum shm_lease_claim claimed = claim(derivatives, &flight->key);
            if (claimed == SHM_LEASE_THEIRS)
                continue;
            flight->leased = claimed == SHM_LEASE_OURS;
            flight->making = true;
            flight->taken = taken;
            taken = flight;
        }
    pthread_mutex_unlock(&derivatives->lock);
    return taken;
}
