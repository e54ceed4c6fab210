/* The one place where result codes become HTTP. */
#ifndef WORKER_HTTP_STATUS_H
#define WORKER_HTTP_STATUS_H

#include "base/err.h"

/* RC_BAD_REQUEST 400, RC_FORBIDDEN 403, RC_NOT_FOUND 404, RC_GONE 410, RC_UNSUPPORTED 501, RC_ORIGIN 502, RC_BUSY, RC_AWAY and
 * RC_NO_MEMORY 503, RC_LATE 504, the rest 500. */
unsigned http_status_of(enum rc rc);

#endif
