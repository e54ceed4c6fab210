/* The flight of a derivative (worker/derivative.h): all requests of this worker that want the same one while it is made. One of
 * them makes it, the maker, on whatever thread it is, and tells the flight what becomes of it; the others wait, suspended.
 *
 * Called by the steps of a request (worker/request*.c, worker/answer.c), on any thread. The maker has its flight from
 * worker_flight_join() or from the `make` of its worker_wanted, and leads it to exactly one of end and fail. A crash ends the
 * flight with its lease: other workers' watch threads go on. */
#ifndef WORKER_FLIGHT_H
#define WORKER_FLIGHT_H

#include "worker/derivative.h"

/* Joins the flight. True: it waits, or has been answered and is gone; *ret_flight is not touched. False: the caller makes it,
 * with *ret_flight (NULL: for itself alone). */
bool worker_flight_join(struct worker_derivatives *derivatives, struct worker_wanted *wanted,
                        struct worker_flight **ret_flight);

/* The maker; all of these but share accept NULL. */

/* The whole body, taken over: where to send it from. The caller sends it, then calls worker_flight_end(). */
struct http_content worker_flight_share(struct worker_flight *flight, struct bytes *body);
/* More of a body that is not collected. */
void worker_flight_add(struct worker_flight *flight, const void *data, size_t length);
/* The maker's client is slow: others make it for themselves, or one for all of them. */
void worker_flight_let_go(struct worker_flight *flight);
/* It was dear: the lower tier shall have it, too. */
void worker_flight_is_dear(struct worker_flight *flight);
/* Whether others wait for it here. */
bool worker_flight_is_awaited(struct worker_flight *flight);
/* It is made: stores it, answers who waits. Blocks on the disc. The flight is gone. */
void worker_flight_end(struct worker_flight *flight);
/* It is not. The flight is gone. */
void worker_flight_fail(struct worker_flight *flight, const struct err *err);

#endif
