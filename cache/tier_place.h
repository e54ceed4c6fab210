/* Where the lower tier of derivatives lies: a bucket or a folder, behind the few things that cache/tier.c asks of it.
 *
 * Names are "folder/file", one of each. What is written appears whole or not at all under its name. All calls block, as long as the
 * store or the file system lets them; any thread of the tier, several at a time. */
#ifndef CACHE_TIER_PLACE_H
#define CACHE_TIER_PLACE_H

#include "base/bytes.h"
#include "base/settings.h"
#include "cache/tier_sweep.h"

struct tier_place;

struct tier_place_ops {
    enum rc (*start)(struct tier_place *place, struct err *err); /* in the box */
    /* In place of what `out` holds. RC_NOT_FOUND; RC_TOO_LARGE: there are more than `most_bytes`. */
    enum rc (*read)(struct tier_place *place, const char *name, size_t most_bytes, struct bytes *out,
                    struct err *err);
    enum rc (*write)(struct tier_place *place, const char *name, const void *data, size_t length,
                     struct err *err);
    enum rc (*remove)(struct tier_place *place, const char *name,
                      struct err *err); /* RC_OK if there is none */
    /* Calls `each` for every name that begins with `prefix`, which holds the "/". */
    enum rc (*list)(struct tier_place *place, const char *prefix,
                    enum rc (*each)(void *context, const char *name, struct err *err), void *context,
                    struct err *err);
    /* Optional, both or none: a bucket's own rules bound it. The derivative has been asked for; and what cache/tier_sweep.h says. */
    void (*had)(struct tier_place *place, const char *name);
    enum rc (*sweep)(struct tier_place *place, const struct tier_sweep *sweep, struct tier_swept *ret_swept,
                     struct err *err);
    void (*close)(struct tier_place *place);
};

struct tier_place {
    const struct tier_place_ops *ops;
    const char *name; /* for sentences */
    int folder_fd;    /* of a folder; -1 */
    uint16_t port[3]; /* that it connects to; 0: none */
    int lost_fd;      /* -1, or readable once the folder is only to be had by a process that opens it anew */
};

/* "s3://…" or a folder. RC_BAD_REQUEST: the settings do not fit together; RC_IO: there is no such folder;
 * RC_LATE: it does not answer, and *ret_answer_fd, the caller's, is readable when it does. Before the box. */
RC_MUST_USE enum rc tier_bucket_open(const struct settings *settings, struct tier_place **ret_place,
                                     struct err *err);
RC_MUST_USE enum rc tier_folder_open(const struct settings *settings, struct tier_place **ret_place,
                                     int *ret_answer_fd, struct err *err);

#endif
