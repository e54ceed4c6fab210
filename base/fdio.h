/* Descriptors: reads and writes that finish, and descriptors sent between processes. Retries EINTR. Any
 * thread. */
#ifndef BASE_FDIO_H
#define BASE_FDIO_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads exactly `length` bytes at `offset`. RC_CORRUPT when the file ends before, RC_IO when the system
 * fails. */
RC_MUST_USE enum rc fdio_pread_exact(int fd, void *data, size_t length, uint64_t offset, struct err *err);
RC_MUST_USE enum rc fdio_write_all(int fd, const void *data, size_t length, struct err *err);

/* One message of a SOCK_SEQPACKET socket with at most one descriptor (`sent_fd` -1: none), never blocking.
 * RC_BUSY when the peer's queue is full, RC_IO when the peer is gone. The sender keeps its own `sent_fd`. */
RC_MUST_USE enum rc fdio_send(int socket, const void *data, size_t length, int sent_fd, struct err *err);
/* Receives one message; *ret_length 0 means the peer is gone. *ret_fd is -1 or a new close-on-exec descriptor
 * that the caller owns. RC_BUSY when nothing is there (non-blocking sockets only). */
RC_MUST_USE enum rc fdio_receive(int socket, void *data, size_t capacity, size_t *ret_length, int *ret_fd,
                                 struct err *err);

/* Where files lie that are only for a while: $TMPDIR, or /var/tmp. */
const char *fdio_scratch_folder(void);
/* Makes an empty file "vitrine-WHAT-..." there. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc fdio_scratch_file(const char *what, char **ret_path, struct err *err);

#endif
