/* The old master's side of an upgrade: starting the program that is to take over, and handing everything to
 * it.
 *
 * Nothing changes for the server until the new program has said READY; what happens then takes milliseconds.
 * Whatever goes wrong, this master still has all that it had. Supervisor's thread. */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include "master/connection.h"
#include "master/program.h"
#include "shm/journal.h"

#include <stdbool.h>
#include <stdint.h>

struct master_upgrade {
    pid_t pid;      /* of the new program; 0: none */
    bool has_ended; /* and was waited for: the number may be somebody else's */
    int channel;    /* to it; -1: none */
    int64_t deadline_ms;
};

/* Starts the program and tells it what it needs to get its workers ready. `admin` may be -1. */
RC_MUST_USE enum rc master_upgrade_begin(struct master_upgrade *upgrade, const struct master_program *program,
                                         const struct shm_journal *journal, uint32_t max_connections,
                                         int public, int admin, struct err *err);
/* The channel has an event: RC_OK when the program is ready to take over. RC_BUSY: nothing yet. Anything
 * else: it will not. */
RC_MUST_USE enum rc master_upgrade_hear(struct master_upgrade *upgrade, struct err *err);
/* No worker lives and none of their words is unheard: gives the table away. When it succeeds this process
 * must end without touching a connection. */
RC_MUST_USE enum rc master_upgrade_hand_over(struct master_upgrade *upgrade,
                                             const struct master_connections *connections, bool shall_reload,
                                             struct err *err);
/* Kills the new program with all it has started, and waits for its end. */
void master_upgrade_abandon(struct master_upgrade *upgrade);

#endif
