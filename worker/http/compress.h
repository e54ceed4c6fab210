/* Bodies of text made smaller for clients that say they can read that (RFC 9110 §12.5.3). Pure but for memory; any thread.
 *
 * The same text makes the same bytes, always: an answer that a worker began is continued by another. */
#ifndef WORKER_HTTP_COMPRESS_H
#define WORKER_HTTP_COMPRESS_H

#include "base/bytes.h"

enum http_coding { HTTP_IDENTITY, HTTP_GZIP, HTTP_ZSTD };

/* What the client would rather have, zstd before gzip where it does not care. `accept_encoding` NULL: identity. */
enum http_coding http_compress_choose(const char *accept_encoding);
/* "gzip", "zstd"; NULL for identity. */
const char *http_compress_name(enum http_coding coding);
/* Replaces the body, unless the coding is identity or the body is so short that it would gain nothing: *ret_coding is what it is in
 * then. RC_NO_MEMORY. */
RC_MUST_USE enum rc http_compress_body(enum http_coding coding, struct bytes *body,
                                       enum http_coding *ret_coding, struct err *err);

#endif
