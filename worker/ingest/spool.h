/* Encoded tiles on their way into a file whose beginning is not known yet: each level of a pyramid collects
 * its tiles in a spool, and all are copied behind the directories once their sizes are known.
 *
 * A little stays in memory, more lies in a file without a name in the destination's folder, so that a full
 * disk is noticed where it matters and a crash leaves nothing. One thread. */
#ifndef WORKER_INGEST_SPOOL_H
#define WORKER_INGEST_SPOOL_H

#include "base/bytes.h"

struct ingest_spool {
    const char *folder; /* borrowed; where the file is made */
    uint64_t length_bytes;
    int fd;              /* -1: nothing has been written yet */
    uint64_t file_bytes; /* of it; what comes behind is in `held` */
    struct bytes held;
};

void ingest_spool_init(struct ingest_spool *spool, const char *folder);
void ingest_spool_done(struct ingest_spool *spool); /* fits OWN(); also after a failure */

/* RC_IO (the disk is full, say), RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_spool_append(struct ingest_spool *spool, const void *data, size_t length,
                                        struct err *err);

/* Writes everything to `fd` at `offset`. RC_IO. */
RC_MUST_USE enum rc ingest_spool_copy(const struct ingest_spool *spool, int fd, uint64_t offset,
                                      struct err *err);

/* A new file without a name in `folder`, for reading and writing. RC_IO, RC_NOT_FOUND, RC_FORBIDDEN. */
RC_MUST_USE enum rc ingest_spool_file(const char *folder, int *ret_fd, struct err *err);

/* All of `length` bytes at `offset`, however many calls that takes. RC_IO. */
RC_MUST_USE enum rc ingest_spool_write_at(int fd, const void *data, size_t length, uint64_t offset,
                                          struct err *err);

#endif
