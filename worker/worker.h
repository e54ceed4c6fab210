/* A worker: the child that serves. Called by the master in the forked child; never returns to it. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "worker/heritage.h"

/* Runs until drained or orphaned and returns the exit status. */
int worker_run(const struct worker_heritage *heritage);

#endif
