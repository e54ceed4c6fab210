/* Descriptors that the service manager has given this process: listeners of its socket units, and what a
 * former process of the service has asked it to keep (master/store.h). Before the loop. */
#ifndef MASTER_ACTIVATION_H
#define MASTER_ACTIVATION_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Names of descriptors; those of listeners are for socket units (FileDescriptorName=). */
#define MASTER_ACTIVATION_PUBLIC      "vitrine-public"
#define MASTER_ACTIVATION_ADMIN       "vitrine-admin"
#define MASTER_ACTIVATION_KEPT_PUBLIC "kept-public"
#define MASTER_ACTIVATION_KEPT_ADMIN  "kept-admin"
#define MASTER_ACTIVATION_JOURNAL     "journal"
#define MASTER_ACTIVATION_TABLE       "table"
#define MASTER_ACTIVATION_CONNECTION  "c" /* of many: all names together have to fit into 128 KB */

struct master_activation {
    int public, admin;           /* -1: none, as everywhere here */
    int kept_public, kept_admin; /* listeners */
    int journal, table;
    int *connection;
    uint32_t connection_count;
    bool has_kept; /* something was kept over a restart, and the manager still has it */
};

/* Takes what LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES speak of, and removes the variables. A listener of
 * another name is the public one, a second one the admin listener. What nobody knows is closed, with a
 * warning. */
RC_MUST_USE enum rc master_activation_take(struct master_activation *ret_activation, struct err *err);
/* Closes what was kept over a restart, but for listeners. */
void master_activation_drop(struct master_activation *activation);
/* Closes what is left. */
void master_activation_done(struct master_activation *activation);

#endif
