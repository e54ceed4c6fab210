/* How an S3 store is asked which objects there are (ListObjectsV2, keys encoded for URLs), and what it says to that and to the beginning
 * of an upload in parts: XML of somebody else's server. Pure. */
#ifndef CACHE_S3_LIST_H
#define CACHE_S3_LIST_H

#include "base/bytes.h"

#include <stdbool.h>

#define S3_LIST_KEY_BYTES    1025u
#define S3_LIST_TOKEN_BYTES  2048u
#define S3_LIST_ETAG_BYTES   192u
#define S3_LIST_UPLOAD_BYTES 2048u

struct s3_list_page {
    bool is_truncated;
    char token[S3_LIST_TOKEN_BYTES]; /* what the next page is asked for with */
};

struct s3_list_object {
    const char *key; /* while the call-back runs, as `etag` */
    bool is_prefix;  /* of several keys, up to the delimiter; the rest is unknown then */
    uint64_t size_bytes;
    const char *etag;   /* with its quotes; "": it is not said */
    int64_t modified_s; /* 0: it is not said */
};

/* Appends the query, with its NUL, for the page behind `token` ("": the first) of the keys that begin with `root` and then
 * `prefix`. `in_folder`: not beyond the next slash, where a common prefix stands for the rest. */
RC_MUST_USE enum rc s3_list_query(const char *token, bool in_folder, const char *root, const char *prefix,
                                  struct bytes *query, struct err *err);

/* Calls `object` for each object in the order of the document, then for each common prefix; it returns RC_OK to
 * go on. *page_io is what the page before has left (zeros at first), and becomes what the next is asked for with. RC_ORIGIN: the document is none of its kind, breaks off, or leads to itself. Else what `object` returned. */
RC_MUST_USE enum rc s3_list_read(const char *xml, size_t length,
                                 enum rc (*object)(void *context, const struct s3_list_object *object,
                                                   struct err *err),
                                 void *context, struct s3_list_page *page_io, struct err *err);

/* The name of an upload in parts that the store has begun. RC_ORIGIN: the answer names none. */
RC_MUST_USE enum rc s3_list_upload(const char *xml, size_t length, char ret_id[S3_LIST_UPLOAD_BYTES],
                                   struct err *err);

#endif
