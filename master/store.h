/* What is kept over a restart, by the service manager: the listeners, the journal, the table of connections
 * and the connections themselves, so that the next process goes on where this one stopped.
 *
 * The table is a file in memory: a JOURNAL record (master/handover.h), one PLACE for each place of the
 * table, END. A connection is recognised by its socket's cookie, which the kernel never gives twice; the
 * manager forgets those that end meanwhile. */
#ifndef MASTER_STORE_H
#define MASTER_STORE_H

#include "master/activation.h"
#include "master/connection.h"
#include "master/notify.h"
#include "shm/journal.h"

/* So many connections are kept; the manager compares each with each. What is beyond ends with this process.
 */
#define MASTER_STORE_MOST 1024u

struct master_store {
    const struct master_connections *connections;
    const struct shm_journal *journal;
    uint32_t max_connections;
    int public, admin; /* -1: the manager has it itself */
};

/* Gives everything to the manager; no worker lives. When it succeeds this process must end without touching
 * a connection. */
RC_MUST_USE enum rc master_store_keep(const struct master_store *store, const struct master_notify *notify,
                                      struct err *err);

/* Whether what was kept is whole and has tables of this size. */
RC_MUST_USE enum rc master_store_check(const struct master_activation *activation, uint32_t max_connections,
                                       struct err *err);
/* Takes the kept connections into the empty table, as far as they are there. */
RC_MUST_USE enum rc master_store_restore(struct master_activation *activation,
                                         struct master_connections *connections, struct err *err);
/* The manager shall forget what it kept: it would keep connections open that end. */
void master_store_forget(const struct master_notify *notify);

#endif
