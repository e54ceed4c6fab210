/* The master's loop: accepts, hands connections to workers, replaces dead workers, obeys signals. One thread
 * that never blocks but in epoll_wait(), takes no lock in shared memory and waits for no worker.
 * master/README.md draws it. */
#ifndef MASTER_SUPERVISE_H
#define MASTER_SUPERVISE_H

#include "master/activation.h"
#include "master/config_file.h"
#include "master/program.h"
#include "master/takeover.h"

struct master_launch {
    char *const *argument;        /* the options of `serve`, for reading the configuration again */
    struct master_config *config; /* taken over, as are the listeners */
    int public, admin;            /* listeners; admin -1: none */
    bool is_public_managed, is_admin_managed; /* by the service manager, which has them too */
    const struct master_program *program;
    struct master_takeover *takeover;     /* from another master that is to leave, unless its state is NONE */
    struct master_activation *activation; /* what was kept over a restart, if anything */
};

/* Serves until told to leave, until another program has taken over, or until no worker can serve with these
 * settings. Returns the program's exit status; every worker has ended then. In a forked worker it does not
 * return. */
int master_supervise(const struct master_launch *launch);

#endif
