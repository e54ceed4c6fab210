/* The box: everything a worker gives up before it looks at the first byte that a stranger made.
 *
 * In this order: root's rights (the setting `user`), the way back to any (no_new_privs), every file but the
 * image roots and the cache (Landlock), core files and memory beyond `worker_max_memory`, and all system
 * calls that serving does not need (seccomp). What a process would have to do to get out, such as to start a
 * program, to connect or to trace another, raises SIGSYS and counts as a fault of the request that led to
 * it. Any other call that is not on the list fails with EPERM: libraries try calls and do without, and an
 * update of one shall not be an outage.
 *
 * With sandbox = false only the user is changed; under a sanitizer nothing is done, since it needs more than
 * a worker does. Called once by the only thread of a new worker: rights belong to threads, and those made
 * later inherit them. There is no way out but the end of the process. */
#ifndef WORKER_BOX_H
#define WORKER_BOX_H

#include "base/roots.h"
#include "base/settings.h"

#include <sys/types.h>

/* Whom a worker will become; -1 where it stays who it is. For what has to be theirs beforehand. */
void worker_box_user(const struct settings *settings, uid_t *ret_user, gid_t *ret_group);

#define WORKER_BOX_MOST_PORTS (4 * ROOTS_MOST + 3) /* of image roots and the lower tier */

/* What stays open. */
struct worker_box_openings {
    int root_fd[ROOTS_MOST]; /* the image roots, in the order of the setting; -1: not a folder */
    size_t root_count;
    int cache_fd; /* the cache directory, or -1 */
    int derivatives_fd; /* a folder in it, or -1: named by itself, since the kernel goes up from each file to what is named */
    int tier_fd; /* the folder of the lower tier, or -1 */
    /* Whether it may make connections: over TCP to `port` (where the kernel's Landlock knows ports), and to name
     * servers; and read what that takes: /etc, certificates. */
    bool network;
    uint16_t port[WORKER_BOX_MOST_PORTS]; /* 0: none */
    size_t port_count;
};

/* *ret_note is a sentence for the log about what the kernel lacks, or NULL. RC_IO: there is no such user, or it
 * cannot read the images; RC_UNSUPPORTED: the kernel refuses. The process is then half in the box and has to
 * leave. */
RC_MUST_USE enum rc worker_box_enter(const struct settings *settings,
                                     const struct worker_box_openings *openings, const char **ret_note,
                                     struct err *err);

/* The box of a converter: it may read the one file behind `source_fd` and work in the one folder behind
 * `folder_fd`. It stays the user who started it, because its files are that user's, but root's other rights
 * than to read and write any file are given up. As above otherwise. */
RC_MUST_USE enum rc worker_box_enter_converter(const struct settings *settings, int source_fd, int folder_fd,
                                               const char **ret_note, struct err *err);

#endif
