/* What the two halves of the pyramid index share: pyramid_index.c, which reads, and pyramid_index_writer.c
 * with its batches (pyramid_index_batch.c, pyramid_index_sweep.c). For these only. */
#ifndef SHM_PYRAMID_INDEX_INSIDE_H
#define SHM_PYRAMID_INDEX_INSIDE_H

#include "shm/pyramid_index_file.h"

#include <assert.h>
#include <pthread.h>

#define SHM_INDEX_IDLE 16u /* readers at a time that need not make a transaction */

/* Every value: checksum (4), version of the source (8), content. */
#define SHM_INDEX_HEAD_BYTES 12u

struct shm_index_write;

struct shm_index {
    struct shm_index_options options;
    char *directory;
    /* Held for reading by whoever uses `file`, for writing while it is exchanged or grown; only the writer's
     * thread does the latter. */
    pthread_rwlock_t file_lock;
    struct shm_index_file file;
    pthread_mutex_t idle_lock;
    MDB_txn *idle[SHM_INDEX_IDLE]; /* reset, to be renewed */
    uint32_t idle_count;
    /* The writer's. */
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_grew, queue_emptied;
    struct shm_index_write *first, **last;
    size_t queue_bytes;
    uint32_t queue_count, settling; /* settling: who waits for the queue to be empty */
    bool is_writing, is_stopping;
    atomic_bool needs_care; /* the file is in doubt or has grown: the writer is to look after it */
    int64_t readers_checked_ms, written_ms;
    pthread_t writer;
};

static inline void shm_index_count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* The keys of the three tables; their lengths 16, 17 and 8 also keep them apart. */
struct shm_index_name {
    uint8_t bytes[17];
    MDB_val val;
};
MDB_val *shm_index_name_image(struct shm_index_name *name, const struct shm_index_key *key);
MDB_val *shm_index_name_tiles(struct shm_index_name *name, const struct shm_index_key *key, uint32_t level);
MDB_val *shm_index_name_blob(struct shm_index_name *name, uint64_t id);

/* The value of an image begins, behind its head, with the number of blobs that its record needs (1) and
 * their ids (8 each), so that those which nobody needs can be told. False: the value is too short for what
 * it says. */
bool shm_index_blob_ids(const MDB_val *value, size_t *ret_count);

/* Fills in the head of a value whose content stands behind it, and tells whether it fits the content. */
void shm_index_seal(uint64_t dialect, const MDB_val *key, uint64_t version, uint8_t *value, size_t length);
bool shm_index_is_sealed(uint64_t dialect, const MDB_val *key, const MDB_val *value);

/* Whether LMDB's failure says that the file is broken. */
bool shm_index_is_damage(int status);

/* Makes a few idle transactions for a file that was just opened, and ends all, before it is closed. */
void shm_index_idle_fill(struct shm_index *index);
void shm_index_idle_drain(struct shm_index *index);

/* The writer's thread; RC_NO_MEMORY. */
RC_MUST_USE enum rc shm_index_writer_start(struct shm_index *index, struct err *err);
void shm_index_writer_stop(struct shm_index *index);
/* Wakes it up to look after the file. */
void shm_index_want_care(struct shm_index *index);

#endif
