/* The lower tier of derivatives: dear ones are kept in a bucket or a folder, too, where several servers share them and they outlive
 * this server's own cache.
 *
 * An entry there is the file of the cache, byte for byte, and checks itself in the same way (cache/derivative_entry.h); its name is made
 * of the source's mark and the key's hash. Derivatives of a replaced source have other keys; what has been purged is told by the tier's
 * own list (cache/tier_purges.h), which one worker of each server reads every `revalidate` seconds, at most ten: what others purge
 * is purged here as well. Nothing is taken from a tier whose list could not be had for a minute.
 *
 * The tier may be slow, full or gone. Whoever asks it waits without a thread, and no longer than `derivative_tier_wait`; after five failures in a
 * row it is left alone for a second, then two ... half a minute. Only its own threads ever touch it: four that read, one that
 * writes and keeps the list, one that makes room in a folder (cache/tier_room.h). One that hangs in a file system is left hanging; when all do, nobody waits any more.
 *
 * One per worker, opened before the box. A crash leaves what was not written unwritten. */
#ifndef CACHE_TIER_H
#define CACHE_TIER_H

#include "cache/derivatives.h"
#include "cache/tier_place.h"

struct tier;

/* Embedded in whatever waits; the tier's from tier_ask() until `ready` is called. */
struct tier_waiter {
    /* Once, by a thread of the tier. RC_OK: `body` is the caller's to take (malloc'ed, all of it the derivative's). RC_CANCELLED: the
     * server is going down. Anything else: it is to be rendered. */
    void (*ready)(struct tier_waiter *waiter, enum rc rc, struct bytes *body);
};

struct tier_needs {
    int folder_fd; /* to be read and written; -1 */
    uint16_t port[3];
};

/* By settings->derivative_tier. `cache` has to stay, and have a folder. RC_BAD_REQUEST, RC_IO, RC_NO_MEMORY. RC_LATE: a folder that does not
 * answer now; *ret_answer_fd, the caller's, is readable when it does, and it takes another process to open it then. */
RC_MUST_USE enum rc tier_open(const struct settings *settings, struct derivatives *cache,
                              struct tier **ret_tier, int *ret_answer_fd, struct err *err);
struct tier_needs tier_needs(const struct tier *tier);
/* -1, or readable once its folder is only to be had by a process that opens it anew. */
int tier_lost_fd(const struct tier *tier);
/* Starts its threads: in the box. `note` is told what a person should know. */
RC_MUST_USE enum rc tier_start(struct tier *tier, void (*note)(const char *sentence), struct err *err);
/* Whoever waits, now and later, gets RC_CANCELLED. */
void tier_cancel(struct tier *tier);
void tier_close(struct tier **tier);

/* What costs so much is worth asking for, and what has cost so much is worth keeping. Any thread; `tier` NULL: nothing is. */
bool tier_may_have(const struct tier *tier, double cost_ms);
bool tier_is_dear(const struct tier *tier, double cost_ms);

/* Looks for a derivative. False: the tier is not to be asked now; nothing else happens. Any thread. */
bool tier_ask(struct tier *tier, const struct derivative_key *key, struct tier_waiter *waiter);
/* Copies the cache's file there, some time. Any thread. */
void tier_keep(struct tier *tier, const struct derivative_key *key);
/* Purges it: nothing made before `epoch` is taken from it by this server from now on, and the others are told. Waits for that, ten
 * seconds at most. RC_LATE, RC_IO ...: they may not have heard of it. Render threads. */
RC_MUST_USE enum rc tier_purge(struct tier *tier, enum shm_purge purge, const char *text, uint64_t epoch,
                               struct err *err);

#endif
