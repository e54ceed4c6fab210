/* Taking connections from a listener into the table, within the limits. Never waits. */
#ifndef MASTER_ACCEPT_H
#define MASTER_ACCEPT_H

#include "base/log.h"
#include "base/settings.h"
#include "master/connection.h"
#include "shm/segment.h"

#include <stdbool.h>
#include <stdint.h>

struct master_acceptor {
    int fd; /* the listener; -1: closed */
    bool is_admin;
    const struct settings *local; /* of a UNIX socket: says who may come in; else NULL */
    uint64_t event_data;          /* what epoll says of this listener */
    bool is_paused;               /* out of descriptors: not listened to until resume_at_ms */
    int64_t resume_at_ms;
    struct log_pause refused;
    uint64_t refusals_unlogged;
};

/* Accepts a bounded number of connections, which then wait in the table; refused ones are closed and logged
 * at most once a second. True when there may be more. */
bool master_accept(struct master_acceptor *acceptor, struct master_connections *connections,
                   struct shm_segment *segment);
/* Listens again when a pause is over and stops when one begins. Returns when it has to be called next, 0: no
 * matter. */
int64_t master_acceptor_resume(struct master_acceptor *acceptor, int epoll, int64_t now_ms);
void master_acceptor_close(struct master_acceptor *acceptor);

#endif
