/* The origin: where the sources are. The only way from an identifier's path to bytes.
 *
 * Several image roots are one origin (cache/origin_several.c): the first of them that has a file wins. Of a single root there are three kinds behind one interface: a folder (openat2 beneath its root, nothing else); and, through blocks kept on the SSD
 * (cache/remote.h), an S3 bucket or an http(s) server (cache/web_transport.h), or a folder on a network file system
 * (cache/lane_transport.h). Opened once per worker after fork and before the box; used by all its threads.
 *
 * A folder answers at once, if need be by waiting for its disk. The others never wait: what they do not know yet, or
 * whether it is still true, they say with RC_AWAY. The caller then leaves its thread, has origin_await() fetch what is missing
 * and starts over when its waiter is called. What was asked for and was away (image_blob_read, image_blob_want) is
 * fetched in one go. So fetching never holds a render thread. */
#ifndef CACHE_ORIGIN_H
#define CACHE_ORIGIN_H

#include "base/arena.h"
#include "base/roots.h"
#include "base/settings.h"
#include "shm/lease.h"
#include "worker/image/blob.h"

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct origin;

#define ORIGIN_MOST_PORTS 4u

/* Which state of a file this is: changes whenever the file is replaced or rewritten. */
struct origin_version {
    uint64_t size_bytes;
    uint64_t inode; /* or a hash of the ETag */
    struct timespec modified;
    /* No part of it: when the origin has said so (monotonic), where that is not just now; else 0. */
    int64_t confirmed_ms;
};

/* Embedded in whatever waits; the origin's from origin_await() until `ready` is called. */
struct origin_waiter {
    struct origin_waiter *next;
    uint64_t until;
    /* RC_OK: start over. Otherwise nothing came, and `err` says why. Called once, by a thread that may not be kept (or by
     * origin_await() itself). */
    void (*ready)(struct origin_waiter *waiter, enum rc rc, const struct err *err);
};

/* What a root needs of the system; for the box. */
struct origin_needs {
    int root_fd; /* a folder's, else -1; stays the origin's */
    bool network;
    uint16_t port[ORIGIN_MOST_PORTS]; /* it connects to these; the rest 0 */
};

/* As settings->images says. A folder that does not answer within `fetch_timeout`, or five seconds, is no failure: see origin_answer_fd(). `blocks_fd` is where blocks are kept (CACHE_BLOCKS; stays the caller's) or -1. RC_BAD_REQUEST when the settings do not fit together, RC_IO when there is no such folder. */
RC_MUST_USE enum rc origin_open(const struct settings *settings, int blocks_fd, struct origin **ret_origin,
                                struct err *err);
/* What can be known to be wrong with the addresses of image roots and of the lower tier, and with the S3 settings, without asking anybody;
 * the setting's name in *ret_name. RC_BAD_REQUEST. */
RC_MUST_USE enum rc origin_check_addresses(const struct settings *settings, const char **ret_name,
                                           struct err *err);
/* Shares the fetching with the server's other workers, so that nothing is fetched twice. What the origin said before *distrusted_ms
 * (monotonic, changed by others; NULL: never) it is asked again. The memory of both outlives the origin. Before origin_start(). */
void origin_share(struct origin *origin, const struct shm_leaseholder *holder,
                  const _Atomic int64_t *distrusted_ms);
/* Starts the threads of an origin that has some. After the box. */
RC_MUST_USE enum rc origin_start(struct origin *origin, struct err *err);
/* From now on nothing is fetched: every waiter, now and later, gets RC_CANCELLED. */
void origin_cancel(struct origin *origin);
void origin_close(struct origin **origin);
/* Of each root; returns how many there are. */
size_t origin_needs(const struct origin *origin, struct origin_needs ret_needs[ROOTS_MOST]);
/* -1, or readable when another worker, which opens the folder before it is in its box, could use one that this one cannot: it did not answer
 * when it was to be opened (and everything fails with RC_LATE), or has been mounted anew. Stays the origin's. */
int origin_answer_fd(const struct origin *origin);

/* Opens a file for reading. In a folder: beneath the root only, so links may lead about below it and never out of it.
 * RC_NOT_FOUND (also for directories, devices, and what lies beyond the root), RC_FORBIDDEN, RC_AWAY, RC_IO. */
RC_MUST_USE enum rc origin_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                     struct origin_version *ret_version, struct err *err);
/* The version a fresh open would find. Same codes. */
RC_MUST_USE enum rc origin_stat_file(struct origin *origin, const char *path,
                                     struct origin_version *ret_version, struct err *err);
/* RC_NOT_FOUND, RC_FORBIDDEN: the file was waited for a moment ago, and the origin has said so; without this, who can do without it would
 * wait again and again. */
RC_MUST_USE enum rc origin_last_word(struct origin *origin, const char *path, struct err *err);
/* After RC_AWAY: fetches what is missing of the file at `path`, or lists the folder where it ends with a slash, then calls the waiter. Any
 * thread. */
void origin_await(struct origin *origin, const char *path, struct origin_waiter *waiter);

/* The same without waiting: so that several are on their way at once. */
void origin_prefetch(struct origin *origin, const char *path);
/* The same for a thread that has nothing else to do: returns when it may start over, or why not. */
RC_MUST_USE enum rc origin_wait(struct origin *origin, const char *path, struct err *err);

/* What lies in a folder. */
struct origin_entry {
    const char *name;
    bool is_folder;
    bool is_link;                  /* what it leads to lies below the root, and has another name there */
    struct origin_version version; /* of a file */
};

#define ORIGIN_MOST_ENTRIES 100000u

/* Files and folders below `path` ("": the root), hidden ones and anything else left out, in no order; in the arena. RC_NOT_FOUND: there is
 * no such folder. RC_UNSUPPORTED: this kind of origin cannot be listed. RC_TOO_LARGE: more than ORIGIN_MOST_ENTRIES. Blocks on the
 * file system. */
RC_MUST_USE enum rc origin_list(struct origin *origin, const char *path, struct arena *arena,
                                struct origin_entry **ret_entries, size_t *ret_count, struct err *err);

/* The same names one by one, without what has to be looked up for each: for folders of any size. */
struct origin_name {
    const char *name; /* until the visit returns */
    bool is_folder, is_link;
};
/* `visit` is called for each, in no order, and ends it by returning anything but RC_OK, which is returned. Codes of
 * origin_list(). Blocks on the file system. */
RC_MUST_USE enum rc origin_visit(struct origin *origin, const char *path,
                                 enum rc (*visit)(void *context, const struct origin_name *name,
                                                  struct err *err),
                                 void *context, struct err *err);

uint64_t origin_version_hash(const struct origin_version *version);

#endif
