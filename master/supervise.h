/* The master's loop: accepts, hands connections to workers, replaces dead workers, obeys signals. One thread
 * that never blocks but in epoll_wait(), takes no lock in shared memory and waits for no worker.
 * master/README.md draws it. */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include "master/config_file.h"

struct master_sockets {
    int listen; /* public */
    int admin;  /* -1: no admin listener */
};

/* Serves until told to leave or until no worker can serve with these settings. Takes over `config` and the sockets;
 * `argument` are the options of `serve`, for reading the configuration again. Returns the program's exit status; every
 * child has ended then. In a forked worker it does not return. */
int master_supervise(char *const *argument, struct master_config *config, struct master_sockets sockets);

#endif
