/* One request to a bucket: signed, tried again where that may help, its answer judged. For bucket.c and
 * bucket_put.c. */
#ifndef WORKER_INGEST_BUCKET_REQUEST_H
#define WORKER_INGEST_BUCKET_REQUEST_H

#include "cache/transport.h"
#include "cache/web_address.h"
#include "worker/ingest/bucket.h"

#include <stddef.h>

struct ingest_bucket {
    struct web_address address; /* of the bucket alone */
    struct s3_keys *keys;
    const char *name; /* of the bucket, for sentences */
    char *url, *key;
};

struct ingest_bucket_request {
    const char *method, *key, *query; /* the query encoded, sorted by name, as signing wants it; "": none */
    const char *if_match;             /* "": none */
    size_t first_bytes;               /* only these; 0: all */
    const void *body;
    size_t body_length;
    const char *payload; /* its SHA-256; NULL: no body */
    /* Where the answer goes: a file from its beginning, or memory up to `most_bytes`. */
    int fd;
    struct bytes *out;
    size_t most_bytes;
    char *ret_etag; /* of TRANSPORT_ETAG_BYTES, with its quotes; NULL: nobody asks */
    const char *
        expect; /* what the answer in `out` must contain: some say 200 and then report a failure. NULL: nothing */
};

/* RC_NOT_FOUND, RC_FORBIDDEN, RC_BUSY (`if_match` does not, or the store is), RC_ORIGIN, RC_LATE,
 * RC_UNSUPPORTED, RC_TOO_LARGE, RC_IO. */
RC_MUST_USE enum rc ingest_bucket_ask(struct ingest_bucket *bucket,
                                      const struct ingest_bucket_request *request, struct err *err);

#endif
