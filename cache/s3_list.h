/* What an S3 store says when it is asked which objects there are: ListObjectsV2, with keys encoded for URLs. Bytes of somebody else's
 * server. Pure. */
#ifndef CACHE_S3_LIST_H
#define CACHE_S3_LIST_H

#include "base/bytes.h"

#include <stdbool.h>

#define S3_LIST_KEY_BYTES   1025u
#define S3_LIST_TOKEN_BYTES 2048u
#define S3_LIST_ETAG_BYTES  192u

struct s3_list_page {
    bool is_truncated;
    char token[S3_LIST_TOKEN_BYTES]; /* what the next page is asked for with; empty: none */
};

struct s3_list_object {
    const char *key; /* while the call-back runs, as `etag` */
    bool is_prefix;  /* of several keys, up to the delimiter; the rest is unknown then */
    uint64_t size_bytes;
    const char *etag;   /* with its quotes; "": it is not said */
    int64_t modified_s; /* 0: it is not said */
};

/* Calls `object` for each object in the order of the document, then for each common prefix; it returns RC_OK to go on. RC_ORIGIN: the document is none of its
 * kind. Else what `object` returned. */
RC_MUST_USE enum rc s3_list_read(const char *xml, size_t length,
                                 enum rc (*object)(void *context, const struct s3_list_object *object,
                                                   struct err *err),
                                 void *context, struct s3_list_page *ret_page, struct err *err);

#endif
