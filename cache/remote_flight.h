/* Flights: what is on its way from an origin. For remote.c, which says when, and remote_flight.c; nobody else. */
#ifndef CACHE_REMOTE_FLIGHT_H
#define CACHE_REMOTE_FLIGHT_H

#include "base/bytes.h"
#include "base/recent.h"
#include "cache/origin_kinds.h"
#include "cache/remote.h"

#include <pthread.h>

#define REMOTE_BUCKETS 1024u

/* One version of a file. Counted: its file, its blobs and its flights hold it. */
struct remote_content {
    atomic_uint references;
    struct remote *remote;
    struct block_file *blocks;
    bool any_wanted;
    uint8_t *wanted, *flying; /* a bit per block, under the remote's mutex */
};

/* One path. Under the remote's mutex, as all of this. */
struct remote_file {
    struct remote *remote;
    struct recent_entry recent;
    struct remote_content *content; /* the newest known; NULL: none */
    int64_t checked_ms;             /* monotonic; 0: not since it is in memory */
    int64_t absent_ms;              /* when the origin has said that there is no such file; 0: it has not */
    bool looking;                   /* a look is on its way */
    int64_t looked_ms;              /* since when */
    uint64_t next_number;
    struct remote_flight *flights;
    struct origin_waiter *waiters;
    char path[];
};

struct remote {
    struct origin origin; /* first */
    struct remote_options options;
    struct transport *transport;
    struct block_store *store;
    struct remote_folders *folders; /* NULL: they cannot be listed */
    pthread_mutex_t mutex;
    bool cancelled;
    const _Atomic int64_t *distrusted_ms; /* what was said before is asked again; or NULL */
    int64_t complained_ms;
    bool silent;          /* cache/remote_stale.h */
    int64_t stale_due_ms; /* when it has to be looked at again; 0: no look is waited for */
    struct recent files;
    /* cache/remote_claims.h */
    struct shm_leaseholder holder;
    bool served, shares, watches, watch_stops;
    pthread_t watch;
    struct remote_flight *watched;
    struct recent_entry *bucket[REMOTE_BUCKETS];
};

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

/* ---- of remote.c, for remote_flight.c and remote_stale.c ---- */

/* Takes over `blocks` in every case. */
RC_MUST_USE enum rc remote_content_new(struct remote *remote, struct block_file *blocks,
                                       struct remote_content **ret_content, struct err *err);
struct remote_content *remote_content_ref(struct remote_content *content);
void remote_content_unref(struct remote_content *content);
/* Under the lock: gives up what was not used for longest. */
void remote_make_room(struct remote *remote);
/* The name of a file in the block store; false when it is too long. */
bool remote_name(const struct remote *remote, const char *path, char ret_name[BLOCK_NAME_BYTES]);
int64_t remote_age_ms(struct remote_content *content);
/* Whether what the origin said then still counts: nothing has been purged since. */
bool remote_is_trusted(const struct remote *remote, int64_t asked_ms);
/* Under the lock, once in five seconds: that the origin does not answer, for this reason. */
void remote_complain(struct remote *remote, const char *path, const char *reason);

#endif
