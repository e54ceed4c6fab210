/* The headers with which a client asks for less than everything: If-None-Match, If-Modified-Since, If-Range,
 * Range (RFC 9110 §13 and §14). Text in, verdict out; pure. A header's text may be NULL: not sent. */
#ifndef WORKER_HTTP_CONDITIONAL_H
#define WORKER_HTTP_CONDITIONAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Whether the list `field` names `etag` (with its quotes) by weak comparison, or is "*". A list is believed
 * up to its first error. */
bool http_conditional_names(const char *field, const char *etag);

/* Whether the client's copy is still good: by If-None-Match alone where it was sent, else by
 * If-Modified-Since. `last_modified` 0: not known. */
bool http_conditional_is_current(const char *if_none_match, const char *if_modified_since, const char *etag,
                                 time_t last_modified);

/* Whether a Range may be obeyed under `if_range`: not sent, or exactly our strong tag. A date never suffices:
 * a file may change twice within one second. */
bool http_conditional_allows_range(const char *if_range, const char *etag);

enum http_range {
    HTTP_RANGE_ALL,     /* not sent, malformed, another unit, several: send everything */
    HTTP_RANGE_PART,    /* first..last, both within the body */
    HTTP_RANGE_OUTSIDE, /* no byte of it exists: 416 */
};

/* The outputs are set only with HTTP_RANGE_PART. */
enum http_range http_conditional_range(const char *field, uint64_t size_bytes, uint64_t *ret_first,
                                       uint64_t *ret_last);

#endif
