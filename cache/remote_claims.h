/* Claims: who of a server's workers fetches what, so that each look at a file and each block is fetched once.
 *
 * Whoever is to fetch something claims its lease (shm/lease.h) first. What another worker is at becomes a flight all the same, only
 * that nothing is submitted: a thread, one per remote origin, waits for the others' leases and lands it when the bytes are there,
 * when the other has failed (its waiters hear why), or when the other is no more: then its waiters start over, and one of
 * them claims. So nobody holds a thread while waiting, and an owner that dies or hangs delays the others until its
 * lease ends. Leases are given back block by block as these are written. The same thread lets those go who wait for a look that takes too long
 * (cache/remote_stale.h).
 *
 * For remote.c and remote_flight.c. Without origin_share(), or where blocks are kept in memory only, everything is
 * this worker's to fetch. A crash leaves leases that end with the worker's generation. */
#ifndef CACHE_REMOTE_CLAIMS_H
#define CACHE_REMOTE_CLAIMS_H

#include "cache/remote_flight.h"

/* Any thread, under the remote's mutex or without. True: fetch it, then give it back. */
bool remote_claim_look(struct remote *remote, const char *path);
bool remote_claim_block(const struct remote_content *content, uint64_t block);
void remote_give_back_block(const struct remote_content *content, uint64_t block);
/* Bytes still come: the lease is to hold longer. */
void remote_claim_longer(struct remote_flight *flight);
/* The flight has landed: gives back what it still has. `rc`: how; who waits elsewhere hears that, and when to come again. */
void remote_give_back(struct remote_flight *flight, enum rc rc, const struct err *err);

/* Under the mutex: the flight is another worker's; lands by itself. */
void remote_watch_flight(struct remote_flight *flight);
/* The thread. */
RC_MUST_USE enum rc remote_watch_start(struct remote *remote, struct err *err);
/* After it was cancelled: lands what it watches still and ends. */
void remote_watch_stop(struct remote *remote);

#endif
