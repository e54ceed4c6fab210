/* One page of an S3 listing (ListObjectsV2), and the answer to the beginning of an upload in parts: XML of somebody else's server.
 * Pure. */
#ifndef WORKER_INGEST_BUCKET_LIST_H
#define WORKER_INGEST_BUCKET_LIST_H

#include "base/bytes.h"

#include <stdbool.h>

struct ingest_bucket_entry {
    const char *key;  /* in the bucket */
    const char *etag; /* with its quotes; "" where there is none */
    uint64_t size_bytes;
};

/* Calls `take` for each object; what it returns other than RC_OK ends the reading. *ret_token is how the
 * next page is asked for, with a NUL, or empty: this is the last. RC_CORRUPT: this is no listing. */
RC_MUST_USE enum rc ingest_bucket_list_read(const char *xml, size_t length,
                                            enum rc (*take)(void *context,
                                                            const struct ingest_bucket_entry *entry,
                                                            struct err *err),
                                            void *context, struct bytes *ret_token, struct err *err);

/* The name of an upload in parts that a bucket has begun, with a NUL. RC_CORRUPT: the answer names none. */
RC_MUST_USE enum rc ingest_bucket_list_upload(const char *xml, size_t length, struct bytes *ret_id,
                                              struct err *err);

#endif
