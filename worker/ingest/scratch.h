/* Where masters from a bucket, and pyramids for one, lie while they are worked on: a folder of this run
 * alone, locked as long as it runs. Those that killed runs have left are removed by the next run beside
 * them. Owned by the process of the batch. */
#ifndef WORKER_INGEST_SCRATCH_H
#define WORKER_INGEST_SCRATCH_H

#include "base/err.h"

struct ingest_scratch {
    char *path; /* NULL: none was needed */
    int fd;
};
#define INGEST_SCRATCH_NONE ((struct ingest_scratch){.fd = -1})

/* `beside` empty: $TMPDIR, or /var/tmp. RC_IO. */
RC_MUST_USE enum rc ingest_scratch_open(const char *beside, struct ingest_scratch *ret_scratch,
                                        struct err *err);
void ingest_scratch_close(struct ingest_scratch *scratch);

#endif
