/* The new master's side of an upgrade: taking everything in from the one that started it. Supervisor's
 * thread; before the loop main(). */
#ifndef MASTER_TAKEOVER_H
#define MASTER_TAKEOVER_H

#include "master/connection.h"
#include "shm/journal.h"

#include <stdbool.h>
#include <stdint.h>

enum master_takeover_state {
    TAKEOVER_NONE,  /* started on its own */
    TAKEOVER_BEGUN, /* has what workers need; they are to become ready */
    TAKEOVER_READY, /* has said so; the connections come next */
    TAKEOVER_TAKEN, /* has them; the other master is about to leave */
};

struct master_takeover {
    enum master_takeover_state state;
    int channel; /* to the old master; -1: none */
    int journal; /* descriptors until somebody takes them; -1 */
    int public, admin;
    uint32_t max_connections;
    bool shall_reload; /* once it serves */
};

/* Finds out whether another master has started this one, and hears what it says first. RC_OK with
 * TAKEOVER_NONE where nobody did. */
RC_MUST_USE enum rc master_takeover_begin(struct master_takeover *ret_takeover, struct err *err);
void master_takeover_done(struct master_takeover *takeover);

/* The workers are ready. */
RC_MUST_USE enum rc master_takeover_say_ready(struct master_takeover *takeover, struct err *err);
/* The channel has an event after READY: takes every connection into the empty table. */
RC_MUST_USE enum rc master_takeover_take(struct master_takeover *takeover,
                                         struct master_connections *connections, struct err *err);

#endif
