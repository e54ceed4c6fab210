/* The master's loop: accepts, hands connections to workers, replaces dead workers, obeys signals. One thread
 * that never blocks but in epoll_wait(), takes no lock in shared memory and waits for no worker.
 * master/README.md draws it. */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include "base/settings.h"

#include <stdint.h>

struct master_sockets {
    int listen; /* public */
    int admin;  /* -1: no admin listener */
};

/* Serves until told to leave or until no worker can serve with these settings. Takes over the sockets.
 * `worker_count` is 1 to SHM_MAX_WORKERS. Returns the program's exit status; every child has ended then. In a
 * forked worker it does not return. */
int master_supervise(const struct settings *settings, uint32_t worker_count, struct master_sockets sockets);

#endif
