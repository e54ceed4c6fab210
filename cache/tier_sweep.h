/* Brings the lower tier in a folder down to a number of bytes: the derivatives that were written or had longest ago go first.
 *
 * When each was had is told by its file's times: whoever takes one marks it as read (`had` of cache/tier_place.h). A sweep goes through the
 * folder slowly: once to count sizes by age, and again, where there is too much, to remove what is older than what may stay. It holds
 * nothing but those counts. It removes files that are named as the tier's derivatives are, and what a crashed writer has left,
 * and never anything else. Several servers may sweep at once: they remove the same files, and count what is gone already as removed.
 *
 * Blocks on the file system, perhaps for minutes: the tier's own thread for it (cache/tier_room.h). A crash leaves the folder swept in
 * part. */
#ifndef CACHE_TIER_SWEEP_H
#define CACHE_TIER_SWEEP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct tier_sweep {
    uint64_t most_bytes;            /* nothing has to go where there is no more */
    uint64_t down_to_bytes;         /* else it is brought down to that */
    bool is_full;                   /* the disk is: an eighth of what is there goes in any case */
    bool (*goes_on)(void *context); /* asked before each file; false ends the sweep */
    void *context;
};

struct tier_swept {
    uint64_t bytes;   /* that are left, in whole blocks of 4 KiB */
    uint64_t removed; /* files */
};

/* RC_IO; RC_CANCELLED: it did not go on. `folder_fd` is of the tier, and stays open. */
RC_MUST_USE enum rc tier_sweep(int folder_fd, const struct tier_sweep *sweep, struct tier_swept *ret_swept,
                               struct err *err);

#endif
