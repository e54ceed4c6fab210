/* The access log of one worker: the event thread puts lines into the slot's ring (shm/log_ring.h), a thread of its own writes them.
 *
 * The event thread never waits. When the ring is full, because a disk is full or a pipe is stuck, lines are dropped and counted:
 * in the tally, and in the error log once a minute. Lines are written in batches, several times a second: to a file by calls of
 * up to 64 KB of whole lines, to a pipe by calls small enough that the kernel does not mix them with other workers', to syslog one by
 * one. The descriptor is the master's choice and may be exchanged at any time by dup3() over its number (WORKER_FD_ACCESS).
 *
 * Where a crash leaves lines in the ring, the next worker in the slot writes them. */
#ifndef WORKER_ACCESS_LOG_H
#define WORKER_ACCESS_LOG_H

#include "base/err.h"
#include "base/settings.h"
#include "shm/log_ring.h"
#include "shm/tally.h"

struct access_log;

/* Starts the thread. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc access_log_start(const struct settings *settings, struct shm_log_ring *ring,
                                     struct shm_tally *tally, struct access_log **ret_log, struct err *err);
/* Event thread. */
void access_log_put(struct access_log *log, const char *line, size_t length);
/* Writes what is there, for at most a second, and ends the thread; if it hangs in a write, it is left there. */
void access_log_stop(struct access_log **log);

#endif
