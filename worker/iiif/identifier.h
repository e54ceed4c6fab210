/* An identifier → the path below the image root and the page. Pure.
 *
 * `a/b.tif;2` is page 2 of a/b.tif. Refused here with RC_NOT_FOUND, before any file is touched: empty,
 * absolute, with an empty, `.` or `..` component, with control bytes; components that begin with a dot
 * (hidden files). What remains is opened beneath the root by cache/origin, which follows no link out of
 * it. */
#ifndef WORKER_IIIF_IDENTIFIER_H
#define WORKER_IIIF_IDENTIFIER_H

#include "worker/iiif/request.h"

struct iiif_identifier {
    char path[IIIF_MAX_IDENTIFIER_BYTES + 1];
    uint32_t page; /* from 1 */
};

/* The length of the identifier without its page: where ";2" begins, or all of it. */
size_t iiif_identifier_image_bytes(const char *identifier);

RC_MUST_USE enum rc iiif_identifier_read(const char *identifier, struct iiif_identifier *ret_identifier,
                                         struct err *err);

#endif
