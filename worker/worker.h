/* A worker: the child that serves. The master calls worker_run() in the forked child and ends the child with
 * its result.
 *
 * Threads: the control thread (the child's first; it listens to the master and does nothing else, so that it
 * can always leave when the master is gone), the HTTP event thread and the render threads. None exists before
 * the fork. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "worker/heritage.h"

#include <stdbool.h>

/* Runs until drained or orphaned and returns the exit status. Closes every inherited descriptor but standard
 * input, output, error and the channel: in a worker the master's listeners and duplicates would keep
 * connections alive. */
int worker_run(const struct worker_heritage *heritage);

/* The rules that single values cannot tell and the master does not know, for the master before it forks and
 * for check-config. RC_BAD_REQUEST names the key; *ret_name is it. Pure. */
RC_MUST_USE enum rc worker_check_settings(const struct settings *settings, const char **ret_name,
                                          struct err *err);

/* For check-config: reads the lists that the settings name and prints each wrong line as FILE:LINE: to standard error. False: there
 * was one. */
bool worker_check_lists(const struct settings *settings);
/* For `vitrine resolve`: prints where an identifier leads, and by which rule. False: nowhere. */
bool worker_resolve(const struct settings *settings, const char *identifier, struct err *err);

#endif
