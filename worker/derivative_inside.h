/* What the files of the cached derivatives share: derivative.c (looking, coming and going), flight.c (joining, and the maker's
 * work), flight_table.c (who flies, who waits, whose lease it is), flight_watch.c (others' flights). For these only.
 *
 * A flight is in the table until its maker lets go or is done, or nobody waits any more. While it is `making` it belongs to
 * one thread, its maker's; else to the table, until the watch thread takes it. */
#ifndef WORKER_DERIVATIVE_INSIDE_H
#define WORKER_DERIVATIVE_INSIDE_H

#include "worker/derivative.h"
#include "worker/flight.h"

#include "base/log.h"
#include "cache/janitor.h"

#include <pthread.h>

#define WORKER_FLIGHT_BUCKETS 256u

/* A body that several answers are sent from. */
struct worker_shared_body {
    _Atomic uint32_t references;
    struct bytes bytes;
};

struct worker_flight {
    struct worker_derivatives *derivatives;
    struct worker_flight *chain;
    struct worker_flight *taken; /* watch */
    struct derivative_key key;
    /* The maker's; others look at the first, which is when it was begun. */
    _Atomic uint64_t epoch;
    struct worker_shared_body *body;
    struct derivative_file file;
    bool file_failed;
    bool is_dear;
    /* Under the lock. */
    bool listed, leased, making;
    struct worker_wanted *first, **last;
};

struct worker_derivatives {
    struct derivatives cache;
    struct shm_leaseholder holder;
    int64_t lease_ms;
    struct janitor *janitor;
    struct tier *tier;     /* NULL: none */
    int tier_answer_fd;    /* -1, or of a tier that did not answer */
    struct log_pause said; /* that the cache cannot be written */
    bool watches;
    pthread_t watch;
    /* Under the lock. */
    pthread_mutex_t lock;
    struct worker_flight *bucket[WORKER_FLIGHT_BUCKETS];
    uint32_t waiting; /* requests, in all flights */
    bool quits;
};

/* ---- flight.c ---- */

/* The flight is this thread's: who waits is answered where the derivative is there by now; the first for whom it is not makes
 * it, and the others go on waiting. The flight may be gone. */
void worker_flight_go_on(struct worker_flight *flight);
void worker_flight_free(struct worker_flight *flight);

/* ---- flight_table.c: all of these take the lock ---- */

/* Finds the flight that `wanted` is to join, and has it wait there, or begins one. NULL: no memory, or the table is closed.
 * *ret_is_ours: the caller is to make it. */
struct worker_flight *worker_flight_table_enter(struct worker_derivatives *derivatives,
                                                struct worker_wanted *wanted, bool *ret_is_ours);
enum worker_flight_when_empty { WORKER_FLIGHT_STAYS, WORKER_FLIGHT_LEAVES /* nobody can join any more */ };
/* The next who waits, who waits no more; NULL: nobody. */
struct worker_wanted *worker_flight_table_next(struct worker_flight *flight,
                                               enum worker_flight_when_empty when_empty);
/* The flight leaves the table. Who waits goes over, with the lease, to a flight in its place, which is the caller's; NULL: nobody
 * waits, or there is no memory for it, and then they stay. */
struct worker_flight *worker_flight_table_replace(struct worker_flight *flight);
/* All flights that are not being made and whose lease is to be had: they are the caller's, linked by `taken`. Puts requests
 * whose time is over, or whose client has left, from any flight into *late. */
struct worker_flight *worker_flight_table_take(struct worker_derivatives *derivatives,
                                               struct worker_wanted **late);
/* The maker's lease, where it has one: its time begins anew; it is given back. These do without the lock. */
void worker_flight_renew_lease(struct worker_flight *flight);
void worker_flight_release_lease(struct worker_flight *flight);

/* ---- flight_watch.c ---- */

/* Starts the watch thread, which takes over flights of other workers when their leases end and refuses whoever has waited too
 * long. */
RC_MUST_USE enum rc worker_flight_watch_start(struct worker_derivatives *derivatives, struct err *err);
/* Closes the table and ends the thread, if there is one. */
void worker_flight_watch_stop(struct worker_derivatives *derivatives);
/* No thread is left: refuses whoever waits still, and frees all flights. */
void worker_flight_watch_done(struct worker_derivatives *derivatives);

#endif
