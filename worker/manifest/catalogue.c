#include "worker/manifest/catalogue.h"

#include "base/own.h"

#include <errno.h>
#include <lmdb.h>
#include <string.h>

struct manifest_catalogue {
    MDB_env *env;
    MDB_dbi table;
    struct manifest_catalogue_source source;
};

uint64_t manifest_catalogue_key(const char *path, size_t length)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START, path, length);
    return hash == MANIFEST_CATALOGUE_META ? 1 : hash;
}

struct manifest_catalogue_source manifest_catalogue_source(const struct stat *text, const char *columns)
{
    return (struct manifest_catalogue_source){
        .magic = MANIFEST_CATALOGUE_MAGIC,
        .text_bytes = (uint64_t)text->st_size,
        .text_inode = text->st_ino,
        .text_modified_s = text->st_mtim.tv_sec,
        .text_modified_ns = text->st_mtim.tv_nsec,
        .columns_hash = bytes_hash(BYTES_HASH_START, columns, strlen(columns))};
}

static enum rc catalogue_begin(struct manifest_catalogue *catalogue, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_val key = {sizeof(uint64_t), &(uint64_t){MANIFEST_CATALOGUE_META}}, value;
    int fault = mdb_txn_begin(catalogue->env, NULL, MDB_RDONLY, &txn);
    if (fault == 0)
        fault = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &catalogue->table);
    if (fault == 0)
        fault = mdb_get(txn, catalogue->table, &key, &value);
    if (fault == 0 && value.mv_size == sizeof catalogue->source)
        memcpy(&catalogue->source, value.mv_data, sizeof catalogue->source);
    if (fault == 0)
        fault = mdb_txn_commit(TAKE_PTR(txn)); /* keeps the table open */
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (fault != 0)
        return err_set(err, RC_CORRUPT, "the map of the catalogue cannot be read: %s", mdb_strerror(fault));
    if (catalogue->source.magic != MANIFEST_CATALOGUE_MAGIC)
        return err_set(err, RC_CORRUPT, "the map of the catalogue has another layout");
    return RC_OK;
}

enum rc manifest_catalogue_open(const char *map_path, struct manifest_catalogue **ret_catalogue,
                                struct err *err)
{
    OWN(manifest_catalogue_close) struct manifest_catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (catalogue == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the catalogue");
    int fault = mdb_env_create(&catalogue->env);
    if (fault == 0)
        fault = mdb_env_open(catalogue->env, map_path, MANIFEST_CATALOGUE_FLAGS | MDB_RDONLY | MDB_NOTLS, 0);
    if (fault != 0)
        return err_set(err, fault == ENOENT ? RC_NOT_FOUND : RC_CORRUPT, "the map of the catalogue %s: %s",
                       map_path, mdb_strerror(fault));
    enum rc rc = catalogue_begin(catalogue, err);
    if (rc == RC_OK)
        *ret_catalogue = TAKE_PTR(catalogue);
    return rc;
}

void manifest_catalogue_close(struct manifest_catalogue **catalogue)
{
    if (*catalogue == NULL)
        return;
    if ((*catalogue)->env != NULL)
        mdb_env_close((*catalogue)->env);
    free(TAKE_PTR(*catalogue));
}

bool manifest_catalogue_is_of(const struct manifest_catalogue *catalogue,
                              const struct manifest_catalogue_source *source)
{
    return memcmp(&catalogue->source, source, sizeof *source) == 0;
}

/* The sidecar's text in a value that comes from a file: nothing is believed. NULL: it is about another path. */
static const uint8_t *text_of(const MDB_val *value, const char *path, size_t length, size_t *ret_length)
{
    uint32_t path_bytes = 0;
    const uint8_t *at = value->mv_data;
    if (value->mv_size < sizeof path_bytes)
        return NULL;
    memcpy(&path_bytes, at, sizeof path_bytes);
    if (path_bytes != length || value->mv_size - sizeof path_bytes < length ||
        memcmp(at + sizeof path_bytes, path, length) != 0)
        return NULL;
    *ret_length = value->mv_size - sizeof path_bytes - length;
    return at + sizeof path_bytes + length;
}

bool manifest_catalogue_find(const struct manifest_catalogue *catalogue, const char *path, struct bytes *out)
{
    if (catalogue == NULL)
        return false;
    size_t length = strlen(path), text_bytes = 0;
    uint64_t hash = manifest_catalogue_key(path, length);
    MDB_txn *txn = NULL;
    MDB_val key = {sizeof hash, &hash}, value;
    const uint8_t *text = NULL;
    if (mdb_txn_begin(catalogue->env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    if (mdb_get(txn, catalogue->table, &key, &value) == 0)
        text = text_of(&value, path, length, &text_bytes);
    bool is_found = text != NULL && bytes_append(out, text, text_bytes, NULL) == RC_OK;
    mdb_txn_abort(txn);
    return is_found;
}

uint64_t manifest_catalogue_hash(const struct manifest_catalogue *catalogue, const char *path)
{
    OWN(bytes_done) struct bytes text = {0};
    return manifest_catalogue_find(catalogue, path, &text)
               ? bytes_hash(BYTES_HASH_START, text.data, text.length) | 1
               : 0;
}
