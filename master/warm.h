/* Pictures that the running server makes and keeps: asked for one by one over its admin side, since the cache
 * is the server's, and later again while it has better things to do. For `vitrine warm` and the thumbnails of
 * a batch. */
#ifndef MASTER_WARM_H
#define MASTER_WARM_H

#include "base/bytes.h"
#include "base/settings.h"

#include <stdbool.h>

/* Whether `sizes` is a list of widths: "128,400". */
bool master_warm_are_sizes(const char *sizes);

/* Appends an identifier as it stands in a URL. RC_NO_MEMORY. */
RC_MUST_USE enum rc master_warm_append(struct bytes *target, const char *identifier, struct err *err);

/* Asks for one, and waits while the answer is 503, up to ten minutes. RC_IO: no server answers. */
RC_MUST_USE enum rc master_warm_one(const struct settings *settings, const char *target, unsigned *ret_status,
                                    struct bytes *ret_body, struct err *err);

/* Calls `one` with the request of each size of a picture, until one fails; its codes, RC_NO_MEMORY. */
RC_MUST_USE enum rc master_warm_sizes(const char *identifier, const char *sizes,
                                      enum rc (*one)(void *context, const char *target, struct err *err),
                                      void *context, struct err *err);

#endif
