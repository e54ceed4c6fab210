#include "shm/pyramid_index_batch.h"

#include "shm/pyramid_index_sweep.h"

#include <string.h>

static bool is_same(const MDB_val *known, const uint8_t *value, size_t length)
{
    return known->mv_size == length && memcmp(known->mv_data, value, length) == 0;
}

/* Puts a value unless it stands there already. */
static int put(MDB_txn *txn, MDB_dbi table, MDB_val *key, const uint8_t *value, size_t length, bool *changed)
{
    MDB_val known, place = {.mv_size = length};
    int status = mdb_get(txn, table, key, &known);
    if (status == 0 && is_same(&known, value, length))
        return 0;
    if (status != 0 && status != MDB_NOTFOUND)
        return status;
    *changed = true;
    status = mdb_put(txn, table, key, &place, MDB_RESERVE);
    if (status == 0)
        memcpy(place.mv_data, value, length);
    return status;
}

/* A cursor's place after a deletion at the end of a page is nothing to build on: each is looked for anew. */
static int drop_tiles(MDB_txn *txn, const struct shm_index_file *file, const struct shm_index_key *key)
{
    struct shm_index_name name;
    MDB_cursor *cursor;
    int status = mdb_cursor_open(txn, file->table[SHM_INDEX_TILES], &cursor);
    if (status != 0)
        return status;
    while (status == 0) {
        MDB_val found = *shm_index_name_tiles(&name, key, 0), value;
        status = mdb_cursor_get(cursor, &found, &value, MDB_SET_RANGE);
        if (status == 0 && (found.mv_size != 17 || memcmp(found.mv_data, key->word, 16) != 0))
            break;
        if (status == 0)
            status = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return status == MDB_NOTFOUND ? 0 : status;
}

static int write_blobs(struct shm_index *index, MDB_txn *txn, const struct shm_index_write *write,
                       const uint8_t *value, bool *changed, bool *ret_clash)
{
    MDB_dbi table = index->file.table[SHM_INDEX_BLOBS];
    for (uint32_t i = 0; i < write->blob_count; i++) {
        struct shm_index_name name;
        MDB_val known, *key = shm_index_name_blob(&name, write->blob[i].id);
        int status = mdb_get(txn, table, key, &known);
        /* The same id for other bytes, which are right: somebody else's. */
        if (status == 0 && !is_same(&known, value, write->blob[i].bytes) &&
            shm_index_is_sealed(index->options.dialect, key, &known)) {
            *ret_clash = true;
            return 0;
        }
        status = put(txn, table, key, value, write->blob[i].bytes, changed);
        if (status != 0)
            return status;
        value += write->blob[i].bytes;
    }
    return 0;
}

static int write_record(struct shm_index *index, MDB_txn *txn, struct shm_index_write *write, bool *changed)
{
    struct shm_index_name name;
    MDB_dbi table = index->file.table[SHM_INDEX_IMAGES];
    MDB_val known, *key = shm_index_name_image(&name, &write->key);
    const uint8_t *value = shm_index_write_value(write);
    bool clash = false;
    int status = write_blobs(index, txn, write, value + write->value_bytes, changed, &clash);
    if (status != 0 || clash) {
        shm_index_count(&index->options.shared->dropped, clash);
        return status;
    }
    status = mdb_get(txn, table, key, &known);
    if (status == 0 && (known.mv_size < SHM_INDEX_HEAD_BYTES ||
                        memcmp((uint8_t *)known.mv_data + 4, value + 4, SHM_INDEX_HEAD_BYTES - 4) != 0))
        status = drop_tiles(txn, &index->file, &write->key);
    else if (status == MDB_NOTFOUND)
        status = 0;
    return status == 0 ? put(txn, table, key, value, write->value_bytes, changed) : status;
}

static int remove_record(struct shm_index *index, MDB_txn *txn, const struct shm_index_write *write,
                         bool *changed)
{
    struct shm_index_name name;
    int status = mdb_del(txn, index->file.table[SHM_INDEX_IMAGES], shm_index_name_image(&name, &write->key),
                         NULL);
    if (status == MDB_NOTFOUND)
        return 0;
    *changed = true;
    return status == 0 ? drop_tiles(txn, &index->file, &write->key) : status;
}

static int write_one(struct shm_index *index, MDB_txn *txn, struct shm_index_write *write, bool *changed)
{
    struct shm_index_name name;
    switch (write->kind) {
    case SHM_INDEX_WRITE_RECORD:
        return write_record(index, txn, write, changed);
    case SHM_INDEX_WRITE_TILES:
        return put(txn, index->file.table[SHM_INDEX_TILES],
                   shm_index_name_tiles(&name, &write->key, write->level), shm_index_write_value(write),
                   write->value_bytes, changed);
    case SHM_INDEX_WRITE_REMOVAL:
        break;
    }
    return remove_record(index, txn, write, changed);
}

int shm_index_write_batch(struct shm_index *index, struct shm_index_write *batch, bool *ret_must_sweep)
{
    MDB_txn *txn = NULL;
    bool changed = false;
    shm_index_enter(&index->file, index->options.shared);
    int status = mdb_txn_begin(index->file.env, NULL, 0, &txn);
    for (struct shm_index_write *write = batch; status == 0 && write != NULL; write = write->next)
        status = write_one(index, txn, write, &changed);
    *ret_must_sweep = status == 0 && changed && shm_index_sweep_is_due(index, txn);
    if (status == 0 && changed)
        status = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    shm_index_leave();
    return status;
}
