/* What a dead worker died of, as far as its threads have said so: strikes against requests.
 *
 * The master reads the beats of the dead worker's slot (shm/beat.h). A request whose thread committed a
 * fault of its own, or stood still until the watchdog killed the worker, gets a strike in its journal slot;
 * the others in the same worker get none, and neither does anybody when the worker was killed from outside.
 * Nothing that is read there is believed: a request is named by its connection, which must be one of that
 * worker's in the master's own table, numbers are bounded, and addresses are printed, not followed. A broken
 * worker can at most strike its own requests. */
#ifndef MASTER_INQUEST_H
#define MASTER_INQUEST_H

#include "master/crew.h"

/* After the process of `child` has ended and was heard out, before its connections are given to others. Logs
 * one line for each fault, with what was asked for and the backtrace. */
void master_inquest_hold(struct master_crew *crew, const struct master_child *child, pid_t pid);

#endif
