/* What is known of the files of a remote origin, and whether it still holds.
 *
 * Per path: the newest version that the origin has confirmed and when, with what has been fetched of it (cache/block_file.h), or that there
 * is no such file. A version is learned from a look (cache/remote_flight.h), or from the block store, where another worker, or
 * this one before it was started again, has left it. It is used for `revalidate` without asking, and longer while the origin is
 * away (cache/remote_stale.h). Bounded: what was not used for longest and nobody reads is forgotten first.
 *
 * For remote.c, which owns it, and the other files of that name. What is "under the lock" is under the remote's mutex, which is not held
 * during I/O but for looking at a block file's header. Private to a process; a crash loses nothing: the block store has it. */
#ifndef CACHE_REMOTE_KNOWN_H
#define CACHE_REMOTE_KNOWN_H

#include "base/bytes.h"
#include "base/log.h"
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
    int64_t refused_ms;             /* likewise that it may not be had */
    bool looking;                   /* a look is on its way */
    int64_t looked_ms;              /* since when */
    uint32_t replaced;              /* how often in a row, while it was read */
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
    struct log_pause complained;
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

/* The name of a file in the block store; false when it is too long. */
bool remote_name(const struct remote *remote, const char *path, char ret_name[BLOCK_NAME_BYTES]);

/* ---- versions ---- */

/* Takes over `blocks` in every case. RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_content_new(struct remote *remote, struct block_file *blocks,
                                       struct remote_content **ret_content, struct err *err);
struct remote_content *remote_content_ref(struct remote_content *content);
void remote_content_unref(struct remote_content *content);

/* ---- paths ---- */

/* Under the lock. NULL: it is not known. */
struct remote_file *remote_known_find(const struct remote *remote, const char *path);
/* Under the lock. NULL: no memory. */
struct remote_file *remote_known_find_or_add(struct remote *remote, const char *path);
/* Under the lock: forgets the files that were not used for longest, down to `most`; not those that somebody waits for or reads. */
void remote_known_forget_down_to(struct remote *remote, uint32_t most);
/* The same, half of them. */
void remote_known_make_room(struct remote *remote);
/* Files that were deleted, by any worker, and that nobody here reads: to be looked up anew. `context`: the remote. Takes the lock; on the
 * block store's thread. */
void remote_known_let_go_of_deleted(void *context);

/* ---- whether it still holds ---- */

/* Whether what the origin said then still counts: nothing has been purged since. */
bool remote_known_is_trusted(const struct remote *remote, int64_t asked_ms);
/* How long ago the version was confirmed, by whichever worker; INT64_MAX: it is not. */
int64_t remote_known_age_ms(struct remote_content *content);
/* Under the lock: whether what is known of the file may be used without asking, or without waiting for the answer. */
bool remote_known_is_current(struct remote *remote, struct remote_file *file);
/* Under the lock, of what is current: when the origin has confirmed it; 0, which is as good as now, where it is used because the origin is
 * away. */
int64_t remote_known_confirmed_ms(const struct remote *remote, const struct remote_file *file);

#endif
