/* The transport for S3 buckets and http(s) servers.
 *
 * One range request per fetch, on the condition that the file is still the same (If-Match; where the server sends no strong
 * ETag, If-Unmodified-Since and the size). A try that ends for a reason that may pass (no connection, cut off, stalled,
 * 5xx, SlowDown) is repeated, later and later and at random, until `tries` or the time is used up. An origin that has failed
 * many times in a row is left alone for a while, then tried with one request.
 *
 * An http origin's address has to be public, or in `networks`; redirects are followed within the origin's host and `hosts`.
 * An S3 endpoint is the operator's own choice and may be anywhere. Its call-backs run on the thread that fetches. */
#ifndef CACHE_WEB_TRANSPORT_H
#define CACHE_WEB_TRANSPORT_H

#include "cache/transport.h"

/* For an image root whose place begins with s3://, http:// or https://. Fills in what it needs of the system. RC_BAD_REQUEST,
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc web_transport_open(const struct settings *settings, const char *place,
                                       struct transport **ret_transport, struct origin_needs *ret_needs,
                                       struct err *err);

#endif
