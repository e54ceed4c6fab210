/* A worker: the child that serves. The master calls worker_run() in the forked child and ends the child with
 * its result.
 *
 * Threads: the control thread (the child's first; it listens to the master and does nothing else, so that it
 * can always leave when the master is gone), the HTTP event thread and the render threads. None exists before
 * the fork. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "worker/heritage.h"

/* Runs until drained or orphaned and returns the exit status. Closes every inherited descriptor but standard
 * input, output, error and the channel: in a worker the master's listeners and duplicates would keep
 * connections alive. */
int worker_run(const struct worker_heritage *heritage);

#endif
