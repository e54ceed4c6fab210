#include "shm/pyramid_index_inside.h"

#include "base/own.h"

#include <string.h>

#include <xxhash.h>

static_assert(sizeof(struct shm_index_shared) == 64, "what is shared is one cache line");

#define LAYOUT        UINT64_C(0x76322069647320) /* values of another are not understood */
#define IDLE_AT_FIRST 4u                         /* for the event thread, which makes none */

/* ---- values ---- */

struct shm_index_key shm_index_key(uint64_t root, const char *path, uint32_t page)
{
    const uint64_t start[] = {root, page};
    XXH128_hash_t hash = XXH3_128bits_withSeed(path, strlen(path), XXH3_64bits(start, sizeof start));
    return (struct shm_index_key){{hash.low64, hash.high64}};
}

uint64_t shm_index_blob_id(const uint8_t *data, size_t length)
{
    return XXH3_64bits(data, length);
}

/* Over everything that tells what the value is: a page of another table or key does not pass for it. */
static uint32_t checksum(uint64_t dialect, const MDB_val *key, const uint8_t *value, size_t length)
{
    uint64_t hash = XXH3_64bits_withSeed(key->mv_data, key->mv_size, dialect ^ LAYOUT);
    hash = XXH3_64bits_withSeed(value + 4, length - 4, hash);
    return (uint32_t)(hash >> 32 ^ hash);
}

void shm_index_seal(uint64_t dialect, const MDB_val *key, uint64_t version, uint8_t *value, size_t length)
{
    memcpy(value + 4, &version, sizeof version);
    uint32_t sum = checksum(dialect, key, value, length);
    memcpy(value, &sum, sizeof sum);
}

bool shm_index_is_sealed(uint64_t dialect, const MDB_val *key, const MDB_val *value)
{
    uint32_t sum;
    if (value->mv_size < SHM_INDEX_HEAD_BYTES ||
        value->mv_size > SHM_INDEX_MAX_VALUE_BYTES + SHM_INDEX_HEAD_BYTES)
        return false;
    memcpy(&sum, value->mv_data, sizeof sum);
    return sum == checksum(dialect, key, value->mv_data, value->mv_size);
}

bool shm_index_blob_ids(const MDB_val *value, size_t *ret_count)
{
    if (value->mv_size <= SHM_INDEX_HEAD_BYTES)
        return false;
    size_t count = ((const uint8_t *)value->mv_data)[SHM_INDEX_HEAD_BYTES];
    *ret_count = count;
    return value->mv_size >= SHM_INDEX_HEAD_BYTES + 1 + 8 * count;
}

MDB_val *shm_index_name_image(struct shm_index_name *name, const struct shm_index_key *key)
{
    memcpy(name->bytes, key->word, 16);
    name->val = (MDB_val){16, name->bytes};
    return &name->val;
}

MDB_val *shm_index_name_tiles(struct shm_index_name *name, const struct shm_index_key *key, uint32_t level)
{
    memcpy(name->bytes, key->word, 16);
    name->bytes[16] = (uint8_t)level;
    name->val = (MDB_val){17, name->bytes};
    return &name->val;
}

MDB_val *shm_index_name_blob(struct shm_index_name *name, uint64_t id)
{
    memcpy(name->bytes, &id, 8);
    name->val = (MDB_val){8, name->bytes};
    return &name->val;
}

/* ---- reading ---- */

bool shm_index_is_damage(int status)
{
    return status == MDB_CORRUPTED || status == MDB_PAGE_NOTFOUND || status == MDB_PANIC ||
           status == MDB_INVALID || status == MDB_VERSION_MISMATCH || status == MDB_CURSOR_FULL ||
           status == MDB_INCOMPATIBLE || status == MDB_BAD_VALSIZE;
}

static void note_failure(struct shm_index *index, int status)
{
    if (shm_index_is_damage(status))
        shm_index_file_doubt(&index->file, index->options.shared);
    if (shm_index_is_damage(status) || status == MDB_MAP_RESIZED)
        shm_index_want_care(index);
}

/* A transaction of a thread that may wait is made where none is idle, which takes a lock between
 * processes. */
static MDB_txn *begin_reading(struct shm_index *index, bool may_wait)
{
    MDB_txn *txn = NULL;
    pthread_mutex_lock(&index->idle_lock);
    if (index->idle_count > 0)
        txn = index->idle[--index->idle_count];
    pthread_mutex_unlock(&index->idle_lock);
    int status = txn != NULL ? mdb_txn_renew(txn)
                 : may_wait  ? mdb_txn_begin(index->file.env, NULL, MDB_RDONLY, &txn)
                             : 0;
    if (status == 0)
        return txn;
    if (txn != NULL)
        mdb_txn_abort(txn);
    note_failure(index, status);
    return NULL;
}

static void end_reading(struct shm_index *index, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    pthread_mutex_lock(&index->idle_lock);
    if (index->idle_count < SHM_INDEX_IDLE) {
        index->idle[index->idle_count++] = txn;
        txn = NULL;
    }
    pthread_mutex_unlock(&index->idle_lock);
    if (txn != NULL)
        mdb_txn_abort(txn);
}

/* With `file` held. */
static bool read_value(struct shm_index *index, enum shm_index_table table, MDB_val *key, bool may_wait,
                       uint64_t *ret_version, struct bytes *out)
{
    MDB_val value;
    bool found = false;
    MDB_txn *txn = begin_reading(index, may_wait);
    if (txn == NULL)
        return false;
    size_t head_bytes = SHM_INDEX_HEAD_BYTES, ids = 0;
    int status = mdb_get(txn, index->file.table[table], key, &value);
    bool holds = status == 0 && shm_index_is_sealed(index->options.dialect, key, &value) &&
                 (table != SHM_INDEX_IMAGES || shm_index_blob_ids(&value, &ids));
    if (table == SHM_INDEX_IMAGES)
        head_bytes += 1 + 8 * ids;
    if (status == 0 && !holds) {
        shm_index_count(&index->options.shared->refused, 1);
    } else if (status == 0) {
        const uint8_t *data = value.mv_data;
        memcpy(ret_version, data + 4, sizeof *ret_version);
        out->length = 0;
        found = bytes_append(out, data + head_bytes, value.mv_size - head_bytes, NULL) == RC_OK;
    } else {
        note_failure(index, status);
    }
    end_reading(index, txn);
    return found;
}

static bool get(struct shm_index *index, enum shm_index_table table, MDB_val *key, bool may_wait,
                uint64_t *ret_version, struct bytes *out)
{
    struct shm_index_shared *shared = index->options.shared;
    bool found = false;
    if ((may_wait ? pthread_rwlock_rdlock(&index->file_lock) : pthread_rwlock_tryrdlock(&index->file_lock)) !=
        0)
        return false;
    if (index->file.env != NULL && !shm_index_file_is_doubted(&index->file, shared)) {
        shm_index_enter(&index->file, shared);
        found = read_value(index, table, key, may_wait, ret_version, out);
        shm_index_leave();
    } else {
        shm_index_want_care(index);
    }
    pthread_rwlock_unlock(&index->file_lock);
    return found;
}

bool shm_index_get(struct shm_index *index, const struct shm_index_key *key, bool may_wait,
                   uint64_t *ret_version, struct bytes *out)
{
    struct shm_index_name name;
    bool found = get(index, SHM_INDEX_IMAGES, shm_index_name_image(&name, key), may_wait, ret_version, out);
    shm_index_count(found ? &index->options.shared->hits : &index->options.shared->misses, 1);
    return found;
}

bool shm_index_get_tiles(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         uint32_t level, struct bytes *out)
{
    struct shm_index_name name;
    uint64_t found;
    return get(index, SHM_INDEX_TILES, shm_index_name_tiles(&name, key, level), true, &found, out) &&
           found == version;
}

bool shm_index_get_blob(struct shm_index *index, uint64_t id, struct bytes *out)
{
    struct shm_index_name name;
    uint64_t version;
    return get(index, SHM_INDEX_BLOBS, shm_index_name_blob(&name, id), true, &version, out);
}

/* ---- opening ---- */

void shm_index_idle_fill(struct shm_index *index)
{
    for (uint32_t i = 0; i < IDLE_AT_FIRST; i++) {
        MDB_txn *txn = NULL;
        if (mdb_txn_begin(index->file.env, NULL, MDB_RDONLY, &txn) == 0)
            end_reading(index, txn);
    }
}

void shm_index_idle_drain(struct shm_index *index)
{
    while (index->idle_count > 0)
        mdb_txn_abort(index->idle[--index->idle_count]);
}

static void index_free(struct shm_index **slot)
{
    struct shm_index *index = *slot;
    if (index == NULL)
        return;
    shm_index_idle_drain(index);
    shm_index_file_close(&index->file);
    pthread_rwlock_destroy(&index->file_lock);
    pthread_mutex_destroy(&index->idle_lock);
    pthread_mutex_destroy(&index->queue_lock);
    pthread_cond_destroy(&index->queue_grew);
    pthread_cond_destroy(&index->queue_emptied);
    free(index->directory);
    free(index);
}

/* The writer of the lock shall not wait for ever behind readers. */
static void init_locks(struct shm_index *index)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&index->file_lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&index->idle_lock, NULL);
    pthread_mutex_init(&index->queue_lock, NULL);
    pthread_cond_init(&index->queue_grew, NULL);
    pthread_cond_init(&index->queue_emptied, NULL);
}

enum rc shm_index_open(const struct shm_index_options *options, struct shm_index **ret_index, struct err *err)
{
    OWN(index_free) struct shm_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the pyramid index");
    init_locks(index);
    index->options = *options;
    index->last = &index->first;
    index->directory = strdup(options->directory);
    if (index->directory == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the pyramid index");
    index->options.directory = index->directory;
    enum rc rc = shm_index_file_open(&index->options, NULL, &index->file, err);
    if (rc == RC_OK)
        shm_index_idle_fill(index);
    if (rc == RC_OK || rc == RC_BUSY)
        rc = shm_index_writer_start(index, err);
    if (rc == RC_OK)
        *ret_index = TAKE_PTR(index);
    return rc;
}

void shm_index_close(struct shm_index **index)
{
    if (*index != NULL)
        shm_index_writer_stop(*index);
    index_free(index);
    *index = NULL;
}
