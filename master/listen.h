/* Sockets on which the master accepts, and the limit on open files that bounds how many connections it can
 * hold. */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MASTER_LISTEN_TEXT_BYTES 80

/* Binds and listens, non-blocking and close-on-exec; the caller owns *ret_fd. `address` is ADDR:PORT as
 * settings take it; an IPv6 socket on [::] takes IPv4 as well. RC_IO says why not, in plain words when the
 * port is taken. */
RC_MUST_USE enum rc master_listen_open(const char *address, int *ret_fd, struct err *err);
/* The address it is bound to, with the port the kernel chose where 0 was asked for. */
void master_listen_text(int fd, char ret_text[MASTER_LISTEN_TEXT_BYTES]);

/* Whether the listener is bound to that address; port 0 fits every port. */
bool master_listen_is_at(int fd, const char *address);

/* Raises this process's soft limit on open files to the hard one; returns how many connections fit below it
 * beside everything else that master and workers hold open. */
int64_t master_listen_room(void);

#endif
