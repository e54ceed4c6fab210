/* Percent-encoding of one path segment (RFC 3986 §2.1), both ways. Pure; any thread. */
#ifndef WORKER_IIIF_PERCENT_H
#define WORKER_IIIF_PERCENT_H

#include "base/err.h"

#include <stddef.h>

/* Decodes once into `out`, which gets no terminator. `name` says in the sentence what it is. RC_BAD_REQUEST:
 * a % without its two digits, or a byte of value zero. `too_long` where `capacity` does not hold it. */
RC_MUST_USE enum rc iiif_percent_decode(const char *name, const char *raw, size_t length, char *out,
                                        size_t capacity, size_t *ret_length, enum rc too_long,
                                        struct err *err);

/* How many bytes iiif_percent_encode() writes at most, with the terminator. */
#define IIIF_PERCENT_ENCODED_BYTES(length) (3 * (length) + 1)

/* Writes a segment with everything encoded that is neither unreserved nor one of "!$'()*+,;=:@", '/' as %2F.
 * Returns its length; `out` is terminated. */
size_t iiif_percent_encode(const char *segment, size_t length, char *out);

#endif
