/* The head of an http answer, as far as fetching parts of files needs it. Bytes of somebody else's server: everything is checked,
 * what is odd counts as not said. Pure. */
#ifndef CACHE_HTTP_ANSWER_H
#define CACHE_HTTP_ANSWER_H

#include "cache/transport.h"

struct http_answer {
    unsigned status;
    bool has_length, has_range, is_coded; /* coded: gzip and the like, so that bytes are not the file's */
    uint64_t length_bytes;
    uint64_t range_first, range_last, range_size; /* Content-Range: bytes first-last/size */
    bool range_known;                             /* the size is, too */
    char etag[TRANSPORT_ETAG_BYTES];
    bool etag_is_weak;
    bool has_modified;
    int64_t modified_s;
    int64_t retry_after_s;  /* 0: not said */
    char bucket_region[32]; /* where an S3 store says that the bucket is; "": it does not say */
};

/* One line of the head, with or without its end. A status line starts over: interim answers and redirects come first. */
void http_answer_line(struct http_answer *answer, const char *line, size_t length);

/* The value of <Code> in an S3 error document, such as AccessDenied; letters only. False when there is none. */
bool http_answer_s3_code(const char *xml, size_t length, char *ret_code, size_t capacity);

#endif
