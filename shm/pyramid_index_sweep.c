#include "shm/pyramid_index_sweep.h"

#include "base/own.h"

#include <errno.h>
#include <string.h>

#define LOOK_EVERY   4096u /* records, whether the server is going down */
#define MOST_REMOVED 200000u

/* The blobs there are, in order of their ids, and which of them some record names. */
struct census {
    uint64_t *id;
    bool *is_used;
    size_t count, capacity;
};

static void census_done(struct census *census)
{
    free(census->id);
    free(census->is_used);
}

/* How many blobs were left last time; its name is shorter than that of any blob. */
static MDB_val name_of_count(void)
{
    static uint8_t name[] = {'n'};
    return (MDB_val){sizeof name, name};
}

static uint64_t read_count(const struct shm_index *index, MDB_txn *txn)
{
    MDB_val key = name_of_count(), value;
    uint64_t count = 0;
    if (mdb_get(txn, index->file.table[SHM_INDEX_BLOBS], &key, &value) == 0 &&
        value.mv_size == SHM_INDEX_HEAD_BYTES && shm_index_is_sealed(index->options.dialect, &key, &value))
        memcpy(&count, (const uint8_t *)value.mv_data + 4, sizeof count);
    return count;
}

static int write_count(const struct shm_index *index, MDB_txn *txn, uint64_t count)
{
    uint8_t data[SHM_INDEX_HEAD_BYTES];
    MDB_val key = name_of_count(), value = {sizeof data, data};
    shm_index_seal(index->options.dialect, &key, count, data, sizeof data);
    return mdb_put(txn, index->file.table[SHM_INDEX_BLOBS], &key, &value, 0);
}

bool shm_index_sweep_is_due(const struct shm_index *index, MDB_txn *txn)
{
    MDB_stat stat;
    if (mdb_stat(txn, index->file.table[SHM_INDEX_BLOBS], &stat) != 0 ||
        stat.ms_entries < SHM_INDEX_SWEEP_LEAST)
        return false;
    uint64_t left = read_count(index, txn);
    return stat.ms_entries >= 2 * left;
}

/* ---- counting ---- */

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int list_blobs(const struct shm_index *index, MDB_txn *txn, struct census *census)
{
    MDB_cursor *cursor;
    MDB_stat stat;
    MDB_val key, value;
    int status = mdb_stat(txn, index->file.table[SHM_INDEX_BLOBS], &stat);
    if (status != 0)
        return status;
    census->capacity = stat.ms_entries;
    census->id = calloc(census->capacity + 1, sizeof *census->id);
    census->is_used = calloc(census->capacity + 1, sizeof *census->is_used);
    if (census->id == NULL || census->is_used == NULL)
        return ENOMEM;
    status = mdb_cursor_open(txn, index->file.table[SHM_INDEX_BLOBS], &cursor);
    if (status != 0)
        return status;
    while ((status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0 && census->count < census->capacity)
        if (key.mv_size == sizeof *census->id)
            memcpy(&census->id[census->count++], key.mv_data, sizeof *census->id);
    mdb_cursor_close(cursor);
    qsort(census->id, census->count, sizeof *census->id, by_id);
    return status == MDB_NOTFOUND ? 0 : status;
}

static void mark(struct census *census, const uint8_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id;
        memcpy(&id, ids + i * sizeof id, sizeof id);
        const uint64_t *found = bsearch(&id, census->id, census->count, sizeof id, by_id);
        if (found != NULL)
            census->is_used[found - census->id] = true;
    }
}

static bool is_stopping(struct shm_index *index)
{
    pthread_mutex_lock(&index->queue_lock);
    bool stops = index->is_stopping;
    pthread_mutex_unlock(&index->queue_lock);
    return stops;
}

/* A record that does not hold is found by nobody: what it names is not in use. */
static int mark_used(struct shm_index *index, MDB_txn *txn, struct census *census)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint32_t seen = 0;
    int status = mdb_cursor_open(txn, index->file.table[SHM_INDEX_IMAGES], &cursor);
    if (status != 0)
        return status;
    while ((status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t count = 0;
        if (shm_index_is_sealed(index->options.dialect, &key, &value) && shm_index_blob_ids(&value, &count))
            mark(census, (const uint8_t *)value.mv_data + SHM_INDEX_HEAD_BYTES + 1, (uint32_t)count);
        if (++seen % LOOK_EVERY == 0 && is_stopping(index)) {
            status = EINTR;
            break;
        }
    }
    mdb_cursor_close(cursor);
    return status == MDB_NOTFOUND ? 0 : status;
}

/* ---- removing ---- */

static int remove_unused(const struct shm_index *index, MDB_txn *txn, const struct census *census)
{
    uint64_t used = 0, removed = 0;
    for (size_t i = 0; i < census->count; i++) {
        struct shm_index_name name;
        if (census->is_used[i]) {
            used++;
            continue;
        }
        if (removed++ >= MOST_REMOVED) /* the rest next time, which is soon: only what is in use counts */
            continue;
        int status = mdb_del(txn, index->file.table[SHM_INDEX_BLOBS],
                             shm_index_name_blob(&name, census->id[i]), NULL);
        if (status != 0 && status != MDB_NOTFOUND)
            return status;
    }
    return write_count(index, txn, used);
}

void shm_index_sweep(struct shm_index *index)
{
    OWN(census_done) struct census census = {.count = 0};
    MDB_txn *txn = NULL;
    if (index->file.env == NULL)
        return;
    shm_index_enter(&index->file, index->options.shared);
    int status = mdb_txn_begin(index->file.env, NULL, 0, &txn);
    /* Another process may have done it meanwhile. */
    bool is_due = status == 0 && shm_index_sweep_is_due(index, txn);
    if (is_due)
        status = list_blobs(index, txn, &census);
    if (is_due && status == 0)
        status = mark_used(index, txn, &census);
    if (is_due && status == 0)
        status = remove_unused(index, txn, &census);
    if (is_due && status == 0)
        status = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    shm_index_leave();
    if (shm_index_is_damage(status))
        shm_index_file_doubt(&index->file, index->options.shared);
}
