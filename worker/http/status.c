#include "worker/http/status.h"

unsigned http_status_of(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return 200;
    case RC_BAD_REQUEST:
        return 400;
    case RC_FORBIDDEN:
        return 403;
    case RC_NOT_FOUND:
        return 404;
    case RC_THROTTLED:
        return 429;
    case RC_GONE:
        return 410;
    case RC_UNSUPPORTED:
        return 501;
    case RC_ORIGIN:
        return 502;
    case RC_LATE:
        return 504;
    case RC_BUSY:
    case RC_AWAY:
    case RC_NO_MEMORY:
        return 503;
    case RC_CORRUPT:
    case RC_TOO_LARGE:
    case RC_IO:
    case RC_CANCELLED:
        return 500;
    }
    return 500;
}
