#include "worker/gateway/archive.h"

#include "base/bytes.h"
#include "base/own.h"
#include "worker/gateway/archive_map.h"
#include "worker/iiif/request.h"

#include <errno.h>
#include <lmdb.h>
#include <string.h>

struct gateway_archive {
    MDB_env *env;
    MDB_dbi table;
    struct archive_meta meta;
};

uint64_t archive_hash(const char *identifier, size_t length)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START, identifier, length);
    return hash == ARCHIVE_META_KEY ? 1 : hash;
}

struct archive_meta archive_meta_of(const struct stat *text)
{
    return (struct archive_meta){.magic = ARCHIVE_MAGIC,
                                 .text_bytes = (uint64_t)text->st_size,
                                 .text_inode = text->st_ino,
                                 .text_modified_s = text->st_mtim.tv_sec,
                                 .text_modified_ns = text->st_mtim.tv_nsec};
}

static enum rc archive_begin(struct gateway_archive *archive, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_val key = {sizeof(uint64_t), &(uint64_t){ARCHIVE_META_KEY}}, value;
    int fault = mdb_txn_begin(archive->env, NULL, MDB_RDONLY, &txn);
    if (fault == 0)
        fault = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &archive->table);
    if (fault == 0)
        fault = mdb_get(txn, archive->table, &key, &value);
    if (fault == 0 && value.mv_size == sizeof archive->meta)
        memcpy(&archive->meta, value.mv_data, sizeof archive->meta);
    if (fault == 0)
        fault = mdb_txn_commit(TAKE_PTR(txn)); /* keeps the table open */
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (fault != 0)
        return err_set(err, RC_CORRUPT, "the map of retired identifiers cannot be read: %s",
                       mdb_strerror(fault));
    if (archive->meta.magic != ARCHIVE_MAGIC)
        return err_set(err, RC_CORRUPT, "the map of retired identifiers has another layout");
    return RC_OK;
}

enum rc gateway_archive_open(const char *map_path, struct gateway_archive **ret_archive, struct err *err)
{
    OWN(gateway_archive_close) struct gateway_archive *archive = calloc(1, sizeof *archive);
    if (archive == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the map of retired identifiers");
    int fault = mdb_env_create(&archive->env);
    if (fault == 0)
        fault = mdb_env_open(archive->env, map_path, ARCHIVE_FLAGS | MDB_RDONLY | MDB_NOTLS, 0);
    if (fault != 0)
        return err_set(err, fault == ENOENT ? RC_NOT_FOUND : RC_CORRUPT,
                       "the map of retired identifiers %s: %s", map_path, mdb_strerror(fault));
    enum rc rc = archive_begin(archive, err);
    if (rc == RC_OK)
        *ret_archive = TAKE_PTR(archive);
    return rc;
}

void gateway_archive_close(struct gateway_archive **archive)
{
    if (*archive == NULL)
        return;
    if ((*archive)->env != NULL)
        mdb_env_close((*archive)->env);
    free(TAKE_PTR(*archive));
}

bool gateway_archive_is_of(const struct gateway_archive *archive, const struct stat *text)
{
    struct archive_meta wanted = archive_meta_of(text);
    wanted.entries = archive->meta.entries;
    return memcmp(&wanted, &archive->meta, sizeof wanted) == 0;
}

/* One value of the map → what became of the identifier. Its bytes come from a file: nothing is believed. */
static enum gateway_retired entry_find(const MDB_val *value, const char *identifier, size_t length,
                                       char *ret_identifier)
{
    const uint8_t *at = value->mv_data;
    size_t left = value->mv_size;
    struct archive_entry entry;
    while (left >= sizeof entry) {
        memcpy(&entry, at, sizeof entry);
        at += sizeof entry;
        left -= sizeof entry;
        if (entry.old_bytes > left || entry.target_bytes > left - entry.old_bytes ||
            entry.target_bytes > IIIF_MAX_IDENTIFIER_BYTES)
            return GATEWAY_RETIRED_NO;
        if (entry.old_bytes == length && memcmp(at, identifier, length) == 0) {
            memcpy(ret_identifier, at + length, entry.target_bytes);
            ret_identifier[entry.target_bytes] = '\0';
            return entry.target_bytes == 0 ? GATEWAY_RETIRED_GONE : GATEWAY_RETIRED_MOVED;
        }
        at += entry.old_bytes + (size_t)entry.target_bytes;
        left -= entry.old_bytes + (size_t)entry.target_bytes;
    }
    return GATEWAY_RETIRED_NO;
}

enum gateway_retired gateway_archive_find(const struct gateway_archive *archive, const char *identifier,
                                          char *ret_identifier)
{
    size_t length = strlen(identifier);
    uint64_t hash = archive_hash(identifier, length);
    MDB_txn *txn = NULL;
    MDB_val key = {sizeof hash, &hash}, value;
    enum gateway_retired retired = GATEWAY_RETIRED_NO;
    if (mdb_txn_begin(archive->env, NULL, MDB_RDONLY, &txn) != 0)
        return GATEWAY_RETIRED_NO;
    if (mdb_get(txn, archive->table, &key, &value) == 0)
        retired = entry_find(&value, identifier, length, ret_identifier);
    mdb_txn_abort(txn);
    return retired;
}
