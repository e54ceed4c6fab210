/* A blob: the bytes of one version of one source, wherever they lie.
 *
 * Sources read through it and do not know whether that is a file here, blocks on the SSD that were fetched
 * from a store, or memory. Two kinds of implementation: image_blob_from_file() below, and the origins of
 * cache/. Any thread reads, many at once. The image source owns its blob and closes it with its last
 * reference. A crash leaves nothing.
 *
 * Bytes of a remote blob may be away: a read then fails with RC_AWAY at once, and the blob remembers what was
 * asked for, so that whoever runs the job can have it fetched (cache/origin.h) and try again. Reads come in
 * rounds that way; a source tells in advance what it is going to need through image_blob_want(), which makes
 * the rounds few. */
#ifndef WORKER_IMAGE_BLOB_H
#define WORKER_IMAGE_BLOB_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image_blob {
    const struct image_blob_ops *ops;
    uint64_t size_bytes;
    atomic_uint away_reads; /* how many have failed with RC_AWAY, also where who read did without the bytes */
    atomic_bool
        is_dead; /* what is away will not come any more: open the source anew, even where its version is the same */
};

enum image_blob_patience {
    IMAGE_BLOB_NEVER_WAITS, /* only what is in memory: for the event thread */
    IMAGE_BLOB_MAY_BLOCK,   /* may wait for a disk, never for a network */
};

struct image_blob_ops {
    /* All of `length` bytes at `offset`, which lie inside the blob. RC_BUSY: not without waiting. */
    enum rc (*read)(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                    enum image_blob_patience patience, struct err *err);
    /* Notes that a part will be read soon. True: it is there. NULL where everything always is. */
    bool (*want)(struct image_blob *blob, uint64_t offset, uint64_t length);
    void (*close)(struct image_blob *blob);
};

/* A regular file. Takes over `fd` in every case. RC_UNSUPPORTED when it is no regular file, RC_IO,
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc image_blob_from_file(int fd, struct image_blob **ret_blob, struct err *err);
void image_blob_close(struct image_blob **blob); /* fits OWN() */

/* Reads exactly `length` bytes at `offset`. RC_CORRUPT when the blob ends before, RC_AWAY when some are not
 * here yet, RC_IO. */
RC_MUST_USE enum rc image_blob_read(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                                    struct err *err);
/* The same if it takes no waiting at all, else RC_BUSY. For the event thread. */
RC_MUST_USE enum rc image_blob_read_resident(struct image_blob *blob, void *data, size_t length,
                                             uint64_t offset, struct err *err);
/* How many bytes the calling thread has read in all. */
uint64_t image_blob_thread_bytes(void);
/* Announces that a part will be needed; what of it lies beyond the end does not count. True: it is there
 * already. */
bool image_blob_want(struct image_blob *blob, uint64_t offset, uint64_t length);

#endif
