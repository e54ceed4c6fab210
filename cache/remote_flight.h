/* Flights: what is on its way from an origin. For cache/remote*.c only: remote.c says when. */
#ifndef CACHE_REMOTE_FLIGHT_H
#define CACHE_REMOTE_FLIGHT_H

#include "cache/remote_known.h"

struct remote_flight {
    struct transport_fetch fetch; /* first */
    struct remote_flight *next, *start_next;
    struct remote_file *file;
    struct remote_content *asked; /* what was known when it set out, or NULL */
    struct remote_content
        *content; /* of which this is a part; for a look: `asked` until another version is found */
    uint64_t number;
    bool elsewhere; /* another worker fetches it: nothing was submitted */
    struct remote_flight *watch_next;
    int64_t claimed_ms;
    uint64_t first_block, block_count; /* marked as flying; not for a look */
    uint64_t at;                       /* of the next byte that comes */
    bool replaced;                     /* it is of another version now */
    bool unchanged;                    /* it is what `asked` is */
    uint8_t *block;                    /* being put together */
};

/* Both under the lock: what they make hangs in file->flights and, by start_next, in *flights for the caller to submit. */
/* Asks whether the file is what it was, or what it is; nothing if that is on its way. RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_flight_look(struct remote_file *file, struct remote_flight **flights,
                                       struct err *err);
/* Fetches what was wanted and is neither here nor on its way. RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_flight_fetch(struct remote_file *file, struct remote_flight **flights,
                                        struct err *err);

/* It has come, or failed with `rc`: whoever waits is told, and the flight is gone. */
void remote_flight_land(struct remote_flight *flight, enum rc rc, const struct err *err);

#endif
