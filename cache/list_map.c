#include "cache/list_map.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCE_KEY  UINT64_C(0)
#define FLAGS       (MDB_NOSUBDIR | MDB_NOLOCK)
#define PUT_AT_ONCE 50000u /* in one transaction */

struct list_map {
    MDB_env *env;
    MDB_dbi table;
    struct list_map_source source;
};

struct list_map_making {
    const struct list_map_kind *kind;
    char *path, *unfinished; /* NULL: it has its name */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    unsigned put_flags;
    uint64_t count;
};

struct list_map_source list_map_source(const struct list_map_kind *kind, const struct stat *text,
                                       uint64_t settings_hash)
{
    return (struct list_map_source){.magic = kind->magic,
                                    .text_bytes = (uint64_t)text->st_size,
                                    .text_inode = text->st_ino,
                                    .text_modified_s = text->st_mtim.tv_sec,
                                    .text_modified_ns = text->st_mtim.tv_nsec,
                                    .settings_hash = settings_hash};
}

uint64_t list_map_key(const char *text, size_t length)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START, text, length);
    return hash == SOURCE_KEY ? 1 : hash;
}

/* ---- reading ---- */

static enum rc read_source(struct list_map *map, const struct list_map_kind *kind, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_val key = {sizeof(uint64_t), &(uint64_t){SOURCE_KEY}}, value;
    int fault = mdb_txn_begin(map->env, NULL, MDB_RDONLY, &txn);
    if (fault == 0)
        fault = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &map->table);
    if (fault == 0)
        fault = mdb_get(txn, map->table, &key, &value);
    if (fault == 0 && value.mv_size == sizeof map->source)
        memcpy(&map->source, value.mv_data, sizeof map->source);
    if (fault == 0)
        fault = mdb_txn_commit(TAKE_PTR(txn)); /* keeps the table open */
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (fault != 0)
        return err_set(err, RC_CORRUPT, "%s cannot be read: %s", kind->what, mdb_strerror(fault));
    if (map->source.magic != kind->magic)
        return err_set(err, RC_CORRUPT, "%s has another layout", kind->what);
    return RC_OK;
}

enum rc list_map_open(const struct list_map_kind *kind, const char *path, struct list_map **ret_map,
                      struct err *err)
{
    OWN(list_map_close) struct list_map *map = calloc(1, sizeof *map);
    if (map == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %s", kind->what);
    int fault = mdb_env_create(&map->env);
    if (fault == 0)
        fault = mdb_env_open(map->env, path, FLAGS | MDB_RDONLY | MDB_NOTLS, 0);
    if (fault != 0)
        return err_set(err, fault == ENOENT ? RC_NOT_FOUND : RC_CORRUPT, "%s %s: %s", kind->what, path,
                       mdb_strerror(fault));
    enum rc rc = read_source(map, kind, err);
    if (rc == RC_OK)
        *ret_map = TAKE_PTR(map);
    return rc;
}

void list_map_close(struct list_map **map)
{
    if (*map == NULL)
        return;
    if ((*map)->env != NULL)
        mdb_env_close((*map)->env);
    free(TAKE_PTR(*map));
}

bool list_map_is_of(const struct list_map *map, const struct list_map_source *source)
{
    return memcmp(&map->source, source, sizeof *source) == 0;
}

bool list_map_find(const struct list_map *map, uint64_t key,
                   void (*take)(void *context, const uint8_t *value, size_t length), void *context)
{
    MDB_txn *txn = NULL;
    MDB_val wanted = {sizeof key, &key}, value;
    if (mdb_txn_begin(map->env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    bool is_there = mdb_get(txn, map->table, &wanted, &value) == 0;
    if (is_there)
        take(context, value.mv_data, value.mv_size);
    mdb_txn_abort(txn);
    return is_there;
}

/* ---- making ---- */

static enum rc failed(const struct list_map_making *making, int fault, struct err *err)
{
    return err_set(err, fault == MDB_MAP_FULL ? RC_TOO_LARGE : RC_IO, "%s %s cannot be written: %s",
                   making->kind->what, making->path, mdb_strerror(fault));
}

static int put(struct list_map_making *making, uint64_t key, const void *data, size_t length)
{
    MDB_val at = {sizeof key, &key}, value = {length, (void *)(uintptr_t)data}; /* LMDB only reads it */
    return mdb_put(making->txn, making->table, &at, &value, making->put_flags);
}

static int begin(struct list_map_making *making, const struct list_map_source *source, uint64_t most_bytes)
{
    int fault = mdb_env_create(&making->env);
    if (fault == 0)
        fault = mdb_env_set_mapsize(making->env, (size_t)most_bytes & ~(size_t)4095);
    if (fault == 0)
        fault = mdb_env_open(making->env, making->unfinished, FLAGS | MDB_NOSYNC, 0644);
    if (fault == 0)
        fault = mdb_txn_begin(making->env, NULL, 0, &making->txn);
    if (fault == 0)
        fault = mdb_dbi_open(making->txn, NULL, MDB_INTEGERKEY, &making->table);
    return fault == 0 ? put(making, SOURCE_KEY, source, sizeof *source) : fault;
}

enum rc list_map_begin(const struct list_map_kind *kind, const char *path,
                       const struct list_map_source *source, uint64_t most_bytes, bool is_sorted,
                       struct list_map_making **ret_making, struct err *err)
{
    OWN(list_map_making_free) struct list_map_making *making = calloc(1, sizeof *making);
    if (making == NULL || (making->path = strdup(path)) == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %s", kind->what);
    if (asprintf(&making->unfinished, "%s.loading", path) < 0) {
        making->unfinished = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for %s", kind->what);
    }
    making->kind = kind;
    making->put_flags = is_sorted ? MDB_APPEND : 0;
    unlinkat(AT_FDCWD, making->unfinished, 0);
    int fault = begin(making, source, most_bytes);
    if (fault != 0)
        return failed(making, fault, err);
    *ret_making = TAKE_PTR(making);
    return RC_OK;
}

enum rc list_map_put(struct list_map_making *making, uint64_t key, const void *value, size_t length,
                     struct err *err)
{
    int fault = 0;
    if (++making->count % PUT_AT_ONCE == 0) {
        fault = mdb_txn_commit(TAKE_PTR(making->txn));
        if (fault == 0)
            fault = mdb_txn_begin(making->env, NULL, 0, &making->txn);
    }
    if (fault == 0)
        fault = put(making, key, value, length);
    return fault == 0 ? RC_OK : failed(making, fault, err);
}

enum rc list_map_end(struct list_map_making *making, struct err *err)
{
    int fault = mdb_txn_commit(TAKE_PTR(making->txn));
    if (fault == 0)
        fault = mdb_env_sync(making->env, 1);
    mdb_env_close(TAKE_PTR(making->env));
    if (fault == 0 && renameat(AT_FDCWD, making->unfinished, AT_FDCWD, making->path) != 0)
        fault = errno;
    if (fault != 0)
        return failed(making, fault, err);
    free(TAKE_PTR(making->unfinished));
    return RC_OK;
}

void list_map_making_free(struct list_map_making **making)
{
    struct list_map_making *freed = TAKE_PTR(*making);
    if (freed == NULL)
        return;
    if (freed->txn != NULL)
        mdb_txn_abort(freed->txn);
    if (freed->env != NULL)
        mdb_env_close(freed->env);
    if (freed->unfinished != NULL)
        unlinkat(AT_FDCWD, freed->unfinished, 0);
    free(freed->unfinished);
    free(freed->path);
    free(freed);
}
