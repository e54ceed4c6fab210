/* The commands that speak to a running server: purge, prune, status, warm. Each asks its admin socket
 * (master/admin_socket.h), or where there is none to be had its admin listener; it has paths, address and
 * token from the same settings as the server (-c FILE, --set, $VITRINE_ADMIN_TOKEN). Own process, one
 * thread. */
#ifndef MASTER_ASK_H
#define MASTER_ASK_H

#include "base/bytes.h"
#include "base/settings.h"

/* One request over a connection of its own. RC_IO: no server answers there. */
RC_MUST_USE enum rc master_ask(const struct settings *settings, const char *method, const char *target,
                               unsigned *ret_status, struct bytes *ret_body, struct err *err);

/* The commands: `argument` is what follows the name of the command. The exit status. */
int master_ask_purge(char *const *argument);
int master_ask_prune(char *const *argument);
int master_ask_status(char *const *argument);
int master_ask_warm(char *const *argument);

#endif
