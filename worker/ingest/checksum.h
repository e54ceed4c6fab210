/* XXH64: what reports call a checksum, and what a file is compared with that was just written. Against
 * damage, not against an adversary. */
#ifndef WORKER_INGEST_CHECKSUM_H
#define WORKER_INGEST_CHECKSUM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct ingest_checksum; /* of bytes that come in pieces; one thread */

RC_MUST_USE enum rc ingest_checksum_new(struct ingest_checksum **ret, struct err *err);
void ingest_checksum_free(struct ingest_checksum **checksum); /* fits OWN() */
void ingest_checksum_add(struct ingest_checksum *checksum, const void *data, size_t length);
uint64_t ingest_checksum_value(const struct ingest_checksum *checksum);

/* Of `length` bytes of a file from `offset` on. RC_CORRUPT when it ends before, RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_checksum_file(int fd, uint64_t offset, uint64_t length, uint64_t *ret_value,
                                         struct err *err);

#endif
