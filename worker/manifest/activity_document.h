/* The log of changes as IIIF Change Discovery 1.0, level 2: an ordered collection and its pages. Pure but for
 * the log; any thread.
 *
 * Every record is two activities, since a manifest and a collection are there in two versions of the
 * Presentation API, each at its own address. Pages are named by their place from the beginning of time, so
 * that a full one never changes but for losing its `prev`. */
#ifndef WORKER_MANIFEST_ACTIVITY_DOCUMENT_H
#define WORKER_MANIFEST_ACTIVITY_DOCUMENT_H

#include "worker/manifest/activity_log.h"

/* RC_NO_MEMORY, RC_IO. */
RC_MUST_USE enum rc activity_document_collection(const struct activity_log *log, const char *base_url,
                                                 struct bytes *out, struct err *err);
/* RC_NOT_FOUND: there is no such page, or not any more. */
RC_MUST_USE enum rc activity_document_page(const struct activity_log *log, const char *base_url,
                                           uint64_t page, struct arena *arena, struct bytes *out,
                                           struct err *err);

#endif
