/* The admin listener's other door: a UNIX socket, for whoever may open its file. Who comes in by it needs no
 * token.
 *
 * `admin_socket` is a path, "auto" or empty (none). "auto" is a folder of this server's user (the first that
 * applies of $RUNTIME_DIRECTORY, /run/vitrine for root, $XDG_RUNTIME_DIR/vitrine, /tmp/vitrine-UID) and a
 * name made of the setting `admin`, or `listen` where that is empty; so `vitrine status` finds the server by
 * the same settings, and servers side by side have sockets of their own. "auto" that does not work is a
 * warning, a path that does not work ends the start.
 *
 * The file lets in whom `admin_socket_mode` and `admin_socket_group` say; where that is only its owner, the
 * peer's user (SO_PEERCRED) is looked at as well: this user or root.
 *
 * The socket is bound beside its path and renamed onto it, so that the path always leads to a server that
 * listens. What a killed server left is replaced; a server that answers there is left alone. At the end the
 * file is removed, unless it is another server's by then. */
#ifndef MASTER_ADMIN_SOCKET_H
#define MASTER_ADMIN_SOCKET_H

#include "base/err.h"
#include "base/settings.h"

#include <stdbool.h>
#include <sys/types.h>

#define MASTER_ADMIN_SOCKET_BYTES 108

struct master_admin_socket {
    char path[MASTER_ADMIN_SOCKET_BYTES]; /* empty: there is none */
    dev_t device;
    ino_t inode;
};

/* *ret_fd is -1 where there is to be none. `replaces`: whoever listens at the path is about to leave. RC_IO,
 * RC_BUSY: another server is there. */
RC_MUST_USE enum rc master_admin_socket_open(const struct settings *settings, bool replaces,
                                             struct master_admin_socket *ret_socket, int *ret_fd,
                                             struct err *err);
void master_admin_socket_remove(struct master_admin_socket *socket);
/* Whether the peer of a connection may give orders. */
bool master_admin_socket_admits(const struct settings *settings, int fd);

/* For commands: a connection to the server of these settings; -1: none is to be had that way. */
int master_admin_socket_connect(const struct settings *settings);

#endif
