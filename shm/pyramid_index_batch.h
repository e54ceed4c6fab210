/* What a batch of queued changes does to the tables of the pyramid index: all of it in one transaction, so
 * that a writer that is killed leaves all or nothing of it. For shm/pyramid_index_writer.c only, whose thread
 * is the only one that writes. */
#ifndef SHM_PYRAMID_INDEX_BATCH_H
#define SHM_PYRAMID_INDEX_BATCH_H

#include "shm/pyramid_index_inside.h"

enum shm_index_write_kind { SHM_INDEX_WRITE_RECORD, SHM_INDEX_WRITE_TILES, SHM_INDEX_WRITE_REMOVAL };

/* One queued change. What it carries lies behind it: the value, then each blob's. */
struct shm_index_write {
    struct shm_index_write *next;
    enum shm_index_write_kind kind;
    struct shm_index_key key;
    uint32_t level;
    size_t all_bytes;
    size_t value_bytes; /* with its head */
    uint32_t blob_count;
    struct {
        uint64_t id;
        size_t bytes; /* with its head */
    } blob[];
};

static inline uint8_t *shm_index_write_value(struct shm_index_write *write)
{
    return (uint8_t *)&write->blob[write->blob_count];
}

/* Commits what `batch` and those behind it change, nothing where all of it stands there already.
 * *ret_must_sweep: blobs are to be collected now (shm/pyramid_index_sweep.h). Returns LMDB's status: where it
 * is not 0, nothing has changed. */
int shm_index_write_batch(struct shm_index *index, struct shm_index_write *batch, bool *ret_must_sweep);

#endif
