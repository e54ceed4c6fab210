/* The roll: the names of all pictures below the image root, for the gallery's search.
 *
 * It is made by walking the folders, in a thread of its own, when somebody first searches, and made anew when
 * somebody searches and it is older than ten seconds or fifty times what making it took; meanwhile the old
 * one answers. With a cache directory the workers share it as a file: one walks (a lock of the file system,
 * which a crash releases), the others wait for its file. A search scans it from one end to the other, some
 * gigabytes a second. Any render thread. What a crash leaves: at most a temporary file, which the next walk
 * writes over. */
#ifndef WORKER_WEB_ROLL_H
#define WORKER_WEB_ROLL_H

#include "cache/origin.h"
#include "worker/web/roll_file.h"

struct web_roll;

struct web_roll_options {
    struct origin *origin;
    uint64_t root; /* tells this image root from others in the same cache directory */
    int folder_fd; /* where the file lies, stays the caller's; -1: nowhere */
};

RC_MUST_USE enum rc web_roll_new(const struct web_roll_options *options, struct web_roll **ret_roll,
                                 struct err *err);
/* Ends a walk that is under way. Every reference to a file must have been given back. */
void web_roll_free(struct web_roll **roll);

/* The roll there is, one reference; waits a moment (a third of a second at most) where there is none yet.
 * NULL: still none; *ret_names says how many names the walk has met so far. Starts a walk where one is due.
 * RC_UNSUPPORTED and others of origin_visit(): the last walk failed at the root. */
RC_MUST_USE enum rc web_roll_get(struct web_roll *roll, struct web_roll_file **ret_file, uint64_t *ret_names,
                                 struct err *err);

#endif
