/* How a batch knows what is done: each pyramid says in itself which version of its master it was made of,
 * and how.
 *
 * A few lines of text right behind the file's header, where no reader looks (ingest_convert() puts them
 * there):
 *     vitrine ingest 1
 *     source 48211034 1763704321.482910000      bytes, and time of last change (in a bucket: the ETag)
 *     profile=srgb alpha=keep …                 the variant
 * Since a pyramid gets its final name only when it is whole, the record and the work it stands for come into
 * being in the same moment, wherever a run is killed; several machines may work into one folder; and the
 * record moves and vanishes with the file. Nothing else is kept. */
#ifndef WORKER_INGEST_RECORD_H
#define WORKER_INGEST_RECORD_H

#include "base/bytes.h"

#include "worker/ingest/convert.h"

#include <stdbool.h>

/* Appends the record of a pyramid, with its NUL. RC_TOO_LARGE never with the variants there are. */
RC_MUST_USE enum rc ingest_record_make(uint64_t source_bytes, const char *source_version, const char *variant,
                                       struct bytes *out, struct err *err);

/* Whether the file at `path` is a pyramid with this very record. Reads one block of it. */
bool ingest_record_is_in(const char *path, const char *record);
/* The same of a file's first bytes. */
#define INGEST_RECORD_REACH_BYTES (16u + INGEST_MAX_RECORD_BYTES)
bool ingest_record_is_at(const uint8_t *first, size_t length, const char *record);

#endif
