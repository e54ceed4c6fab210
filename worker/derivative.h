/* Derivatives that are looked up before they are made, and made once for all who ask.
 *
 * A request first looks whether its derivative is there (cache/derivatives.h). If not, it joins that one's flight (worker/flight.h):
 * the first of this worker claims the lease (shm/lease.h) and makes it, the others wait, suspended, without holding a thread.
 * When it is made they all get it: those of this worker the very bytes, those of other workers what was stored before the
 * lease was given back. A maker that fails because of its own client or its own time hands over to the next who waits; one that
 * dies with its worker is followed by whoever looks next, another worker's watch thread at the latest after
 * SHM_LEASE_LOOK_MS. A maker whose client reads slowly lets go, so that nobody waits for a stranger's line.
 *
 * One per worker, with one thread of its own (the watch). Whoever joins must be suspended; from then on any thread may
 * answer it. A crash leaves leases that end with the worker's generation, and perhaps a temporary file. */
#ifndef WORKER_DERIVATIVE_H
#define WORKER_DERIVATIVE_H

#include "cache/derivatives.h"
#include "cache/tier.h"
#include "worker/heritage.h"
#include "worker/http/reply.h"

struct worker_derivatives;
struct worker_flight;

/* A request that wants a derivative; in its exchange's arena, into which small ones that were kept are read, too. */
struct worker_wanted {
    struct worker_wanted *next;
    struct http_exchange *exchange;
    struct arena *arena;
    int64_t deadline_ms;
    /* One of these is called once, by any thread; the request may be gone afterwards. */
    void (*answer)(struct worker_wanted *wanted, const struct http_content *content);
    void (*refuse)(struct worker_wanted *wanted, const struct err *err);
    /* Its turn to make it, with `flight` (NULL: for itself alone). False: it could not, and *ret_err says why. */
    bool (*make)(struct worker_wanted *wanted, struct worker_flight *flight, struct err *ret_err);
    struct derivative_key key;
};

/* `folder` is the cache's folder of derivatives or -1; it stays the caller's. Before the box. */
RC_MUST_USE enum rc worker_derivatives_new(const struct worker_heritage *heritage, int folder,
                                           struct worker_derivatives **ret_derivatives, struct err *err);
/* Starts the watch thread: in the box. */
RC_MUST_USE enum rc worker_derivatives_start(struct worker_derivatives *derivatives, struct err *err);
/* Ends the watch thread. Before the render threads are stopped; nobody begins to wait any more. */
void worker_derivatives_quit(struct worker_derivatives *derivatives);
/* After the render threads: whoever waits still is refused. */
void worker_derivatives_free(struct worker_derivatives **derivatives);
/* For purging and pruning. */
struct derivatives *worker_derivatives_cache(struct worker_derivatives *derivatives);
/* NULL: there is none. */
struct tier *worker_derivatives_tier(struct worker_derivatives *derivatives);
/* -1, or readable when another worker could use a tier that this one cannot: one that did not answer when it was to be opened, or that has
 * been mounted anew. `derivatives` may be NULL. */
int worker_derivatives_answer_fd(const struct worker_derivatives *derivatives);

/* Looks it up. HIT: it has been answered. */
enum derivatives_found worker_derivative_look(struct worker_derivatives *derivatives,
                                              struct worker_wanted *wanted, enum derivatives_look look);

#endif
