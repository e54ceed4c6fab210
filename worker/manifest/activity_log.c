#include "worker/manifest/activity_log.h"

#include "base/log.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MAP_BYTES    ((size_t)16 << 30) /* address space; the file grows as it is filled */
#define AT_ONCE      2000u              /* changes in one transaction */
#define LONGEST_PATH 8192u

struct activity_log {
    MDB_env *env;
    MDB_dbi log, known;
    uint64_t most_records;
};

struct activity_view {
    const struct activity_log *log;
    MDB_txn *txn;
};

/* Values, each with the path behind it. */
struct log_value {
    int64_t at_s;
    uint8_t type, is_collection;
};
struct known_value {
    uint64_t state, number;
    uint8_t is_collection;
};
#define LOG_VALUE_BYTES   10u
#define KNOWN_VALUE_BYTES 17u

static enum rc failed(int fault, struct err *err)
{
    return err_set(err,
                   fault == MDB_MAP_FULL ? RC_TOO_LARGE
                   : fault == ENOMEM     ? RC_NO_MEMORY
                                         : RC_IO,
                   "the log of changes: %s", mdb_strerror(fault));
}

/* ---- values ---- */

static uint64_t known_key(const struct activity_subject *subject)
{
    uint8_t kind = subject->is_collection ? 'c' : 'm';
    return bytes_hash(bytes_hash(BYTES_HASH_START, &kind, 1), subject->path, strlen(subject->path));
}

static size_t pack_log(const struct activity_change *change, uint8_t *out)
{
    size_t length = strlen(change->subject.path);
    memcpy(out, &change->at_s, 8);
    out[8] = (uint8_t)change->type;
    out[9] = change->subject.is_collection;
    memcpy(out + LOG_VALUE_BYTES, change->subject.path, length);
    return LOG_VALUE_BYTES + length;
}

static size_t pack_known(const struct activity_change *change, uint64_t number, uint8_t *out)
{
    size_t length = strlen(change->subject.path);
    memcpy(out, &change->state, 8);
    memcpy(out + 8, &number, 8);
    out[16] = change->subject.is_collection;
    memcpy(out + KNOWN_VALUE_BYTES, change->subject.path, length);
    return KNOWN_VALUE_BYTES + length;
}

static bool unpack_log(const MDB_val *value, struct log_value *ret_value)
{
    const uint8_t *at = value->mv_data;
    if (value->mv_size < LOG_VALUE_BYTES || at[8] > ACTIVITY_DELETE)
        return false;
    memcpy(&ret_value->at_s, at, 8);
    ret_value->type = at[8];
    ret_value->is_collection = at[9] != 0;
    return true;
}

static bool unpack_known(const MDB_val *value, struct known_value *ret_value)
{
    const uint8_t *at = value->mv_data;
    if (value->mv_size < KNOWN_VALUE_BYTES)
        return false;
    memcpy(&ret_value->state, at, 8);
    memcpy(&ret_value->number, at + 8, 8);
    ret_value->is_collection = at[16] != 0;
    return true;
}

static int find_known(const struct activity_log *log, MDB_txn *txn, const struct activity_subject *subject,
                      struct known_value *ret_value)
{
    uint64_t hash = known_key(subject);
    size_t length = strlen(subject->path);
    MDB_val key = {sizeof hash, &hash}, value;
    int fault = mdb_get(txn, log->known, &key, &value);
    if (fault != 0)
        return fault;
    bool is_it = unpack_known(&value, ret_value) && value.mv_size - KNOWN_VALUE_BYTES == length &&
                 memcmp((uint8_t *)value.mv_data + KNOWN_VALUE_BYTES, subject->path, length) == 0;
    return is_it ? 0 : MDB_NOTFOUND;
}

/* ---- opening ---- */

static int open_env(struct activity_log *log, const char *path)
{
    int dead = 0;
    MDB_txn *txn = NULL;
    int fault = mdb_env_create(&log->env);
    if (fault == 0)
        fault = mdb_env_set_mapsize(log->env, MAP_BYTES);
    if (fault == 0)
        fault = mdb_env_set_maxdbs(log->env, 2);
    if (fault == 0)
        fault = mdb_env_open(log->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600);
    if (fault == 0)
        fault = mdb_reader_check(log->env, &dead);
    if (fault == 0)
        fault = mdb_txn_begin(log->env, NULL, 0, &txn);
    if (fault == 0)
        fault = mdb_dbi_open(txn, "log", MDB_CREATE | MDB_INTEGERKEY, &log->log);
    if (fault == 0)
        fault = mdb_dbi_open(txn, "known", MDB_CREATE | MDB_INTEGERKEY, &log->known);
    if (fault == 0)
        fault = mdb_txn_commit(TAKE_PTR(txn));
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (fault != 0 && log->env != NULL)
        mdb_env_close(TAKE_PTR(log->env));
    return fault;
}

static bool is_no_log(int fault)
{
    return fault == MDB_INVALID || fault == MDB_VERSION_MISMATCH || fault == MDB_CORRUPTED ||
           fault == MDB_PAGE_NOTFOUND || fault == MDB_INCOMPATIBLE;
}

/* All workers find the damage at once, and the first removes the file: under a lock, so that no other removes
 * what the first has begun, which the scanner would write and nobody read. */
static int begin_anew(struct activity_log *log, const char *path)
{
    OWN_FREE char *lock_path = NULL;
    if (asprintf(&lock_path, "%s.anew", path) < 0)
        return ENOMEM;
    OWN_FD int lock = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        return errno;
    int fault = open_env(log, path);
    if (!is_no_log(fault))
        return fault;
    log_error("the log of changes %s is damaged (%s): it is begun anew", path, mdb_strerror(fault));
    unlinkat(AT_FDCWD, path, 0);
    return open_env(log, path);
}

enum rc activity_log_open(const char *path, uint64_t most_records, struct activity_log **ret_log,
                          struct err *err)
{
    OWN(activity_log_close) struct activity_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the log of changes");
    log->most_records = most_records;
    int fault = open_env(log, path);
    if (is_no_log(fault))
        fault = begin_anew(log, path);
    if (fault != 0)
        return failed(fault, err);
    *ret_log = TAKE_PTR(log);
    return RC_OK;
}

void activity_log_close(struct activity_log **log)
{
    if (*log == NULL)
        return;
    if ((*log)->env != NULL)
        mdb_env_close((*log)->env);
    free(TAKE_PTR(*log));
}

/* ---- writing ---- */

/* Number and date of the last record; 0 and 0 where there is none. */
static int find_last(const struct activity_log *log, MDB_txn *txn, uint64_t *ret_number, int64_t *ret_at_s)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    struct log_value record;
    *ret_number = 0;
    *ret_at_s = 0;
    int fault = mdb_cursor_open(txn, log->log, &cursor);
    if (fault != 0)
        return fault;
    fault = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (fault == 0 && key.mv_size == sizeof *ret_number && unpack_log(&value, &record)) {
        memcpy(ret_number, key.mv_data, sizeof *ret_number);
        *ret_at_s = record.at_s;
    }
    mdb_cursor_close(cursor);
    return fault == MDB_NOTFOUND ? 0 : fault;
}

static int put_change(struct activity_log *log, MDB_txn *txn, const struct activity_change *change,
                      uint64_t number)
{
    uint8_t packed[KNOWN_VALUE_BYTES + LONGEST_PATH];
    uint64_t hash = known_key(&change->subject);
    MDB_val number_key = {sizeof number, &number}, known = {sizeof hash, &hash};
    if (strlen(change->subject.path) > LONGEST_PATH)
        return 0;
    MDB_val value = {pack_log(change, packed), packed};
    int fault = mdb_put(txn, log->log, &number_key, &value, MDB_APPEND);
    if (fault != 0)
        return fault;
    if (change->type == ACTIVITY_DELETE) {
        fault = mdb_del(txn, log->known, &known, NULL);
        return fault == MDB_NOTFOUND ? 0 : fault;
    }
    value = (MDB_val){pack_known(change, number, packed), packed};
    return mdb_put(txn, log->known, &known, &value, 0);
}

static int append_some(struct activity_log *log, MDB_txn *txn, const struct activity_change *change,
                       size_t count)
{
    uint64_t number = 0;
    int64_t last_s = 0;
    int fault = find_last(log, txn, &number, &last_s);
    for (size_t i = 0; i < count && fault == 0; i++) {
        struct activity_change dated = change[i];
        dated.at_s = last_s = dated.at_s > last_s ? dated.at_s : last_s;
        fault = put_change(log, txn, &dated, ++number);
    }
    return fault;
}

enum rc activity_log_append(struct activity_log *log, const struct activity_change *change, size_t count,
                            struct err *err)
{
    for (size_t at = 0; at < count; at += AT_ONCE) {
        MDB_txn *txn = NULL;
        int fault = mdb_txn_begin(log->env, NULL, 0, &txn);
        if (fault == 0)
            fault = append_some(log, txn, change + at, count - at < AT_ONCE ? count - at : AT_ONCE);
        if (fault == 0)
            fault = mdb_txn_commit(TAKE_PTR(txn));
        if (txn != NULL)
            mdb_txn_abort(txn);
        if (fault != 0)
            return failed(fault, err);
    }
    return RC_OK;
}

/* Says the record again at the end if it is the latest about something that is there. */
static int renew(struct activity_log *log, MDB_txn *txn, uint64_t number, const MDB_val *value, int64_t now_s)
{
    struct log_value record;
    struct known_value known;
    char path[LONGEST_PATH + 1];
    size_t length = value->mv_size - LOG_VALUE_BYTES;
    if (!unpack_log(value, &record) || length > LONGEST_PATH)
        return 0;
    memcpy(path, (uint8_t *)value->mv_data + LOG_VALUE_BYTES, length);
    path[length] = '\0';
    struct activity_change again = {
        .type = ACTIVITY_UPDATE, .subject = {path, record.is_collection}, .at_s = now_s};
    int fault = find_known(log, txn, &again.subject, &known);
    if (fault != 0 || known.number != number)
        return fault == MDB_NOTFOUND ? 0 : fault;
    again.state = known.state;
    return append_some(log, txn, &again, 1);
}

static int drop_page(struct activity_log *log, MDB_txn *txn, uint64_t first, int64_t now_s)
{
    uint64_t end = (first - 1) / ACTIVITY_PAGE * ACTIVITY_PAGE + ACTIVITY_PAGE;
    int fault = 0;
    for (uint64_t number = first; number <= end && fault == 0; number++) {
        MDB_val key = {sizeof number, &number}, value;
        fault = mdb_get(txn, log->log, &key, &value);
        if (fault == 0)
            fault = renew(log, txn, number, &value, now_s);
        if (fault == 0)
            fault = mdb_del(txn, log->log, &key, NULL);
        if (fault == MDB_NOTFOUND)
            fault = 0;
    }
    return fault;
}

/* True when a page is to go: that of the record `*ret_first`. */
static bool is_too_long(const struct activity_log *log, MDB_txn *txn, uint64_t *ret_first)
{
    const struct activity_view view = {.log = log, .txn = txn};
    uint64_t last;
    MDB_stat known;
    if (!activity_view_span(&view, ret_first, &last) || mdb_stat(txn, log->known, &known) != 0)
        return false;
    uint64_t most = log->most_records > 2 * known.ms_entries ? log->most_records : 2 * known.ms_entries;
    return last - *ret_first + 1 > most + ACTIVITY_PAGE;
}

enum rc activity_log_trim(struct activity_log *log, int64_t now_s, struct err *err)
{
    for (;;) {
        MDB_txn *txn = NULL;
        uint64_t first = 0;
        int fault = mdb_txn_begin(log->env, NULL, 0, &txn);
        bool is_done = fault == 0 && !is_too_long(log, txn, &first);
        if (fault == 0 && !is_done)
            fault = drop_page(log, txn, first, now_s);
        if (fault == 0 && !is_done)
            fault = mdb_txn_commit(TAKE_PTR(txn));
        if (txn != NULL)
            mdb_txn_abort(txn);
        if (fault != 0)
            return failed(fault, err);
        if (is_done)
            return RC_OK;
    }
}

/* ---- reading ---- */

enum rc activity_view_open(const struct activity_log *log, struct activity_view **ret_view, struct err *err)
{
    OWN_FREE struct activity_view *view = calloc(1, sizeof *view);
    if (view == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the log of changes");
    view->log = log;
    int fault = mdb_txn_begin(log->env, NULL, MDB_RDONLY, &view->txn);
    if (fault != 0)
        return failed(fault, err);
    *ret_view = TAKE_PTR(view);
    return RC_OK;
}

void activity_view_close(struct activity_view **view)
{
    if (*view == NULL)
        return;
    mdb_txn_abort((*view)->txn);
    free(TAKE_PTR(*view));
}

bool activity_view_span(const struct activity_view *view, uint64_t *ret_first, uint64_t *ret_last)
{
    MDB_cursor *cursor = NULL;
    MDB_val first, last, value;
    if (mdb_cursor_open(view->txn, view->log->log, &cursor) != 0)
        return false;
    bool is_there = mdb_cursor_get(cursor, &first, &value, MDB_FIRST) == 0 &&
                    first.mv_size == sizeof *ret_first;
    if (is_there)
        memcpy(ret_first, first.mv_data, sizeof *ret_first);
    is_there = is_there && mdb_cursor_get(cursor, &last, &value, MDB_LAST) == 0 &&
               last.mv_size == sizeof *ret_last;
    if (is_there)
        memcpy(ret_last, last.mv_data, sizeof *ret_last);
    mdb_cursor_close(cursor);
    return is_there;
}

enum rc activity_view_record(const struct activity_view *view, uint64_t number, struct arena *arena,
                             struct activity_record *ret_record, struct err *err)
{
    MDB_val key = {sizeof number, &number}, value;
    struct log_value record;
    if (mdb_get(view->txn, view->log->log, &key, &value) != 0 || !unpack_log(&value, &record))
        return err_set(err, RC_NOT_FOUND, "there is no such record in the log of changes");
    const char *path = arena_text(arena, (const char *)value.mv_data + LOG_VALUE_BYTES,
                                  value.mv_size - LOG_VALUE_BYTES);
    if (path == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the log of changes");
    *ret_record = (struct activity_record){.number = number,
                                           .at_s = record.at_s,
                                           .type = (enum activity_type)record.type,
                                           .subject = {path, record.is_collection}};
    return RC_OK;
}

bool activity_view_known(const struct activity_view *view, const struct activity_subject *subject,
                         uint64_t *ret_state, uint64_t *ret_number)
{
    struct known_value known;
    if (find_known(view->log, view->txn, subject, &known) != 0)
        return false;
    *ret_state = known.state;
    *ret_number = known.number;
    return true;
}

void activity_view_each(const struct activity_view *view,
                        bool (*each)(void *context, const struct activity_subject *subject, uint64_t number),
                        void *context)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    char path[LONGEST_PATH + 1];
    if (mdb_cursor_open(view->txn, view->log->known, &cursor) != 0)
        return;
    for (bool goes_on = true; goes_on && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0;) {
        struct known_value known;
        if (!unpack_known(&value, &known) || value.mv_size - KNOWN_VALUE_BYTES > LONGEST_PATH)
            continue;
        size_t length = value.mv_size - KNOWN_VALUE_BYTES;
        memcpy(path, (uint8_t *)value.mv_data + KNOWN_VALUE_BYTES, length);
        path[length] = '\0';
        goes_on = each(context, &(struct activity_subject){path, known.is_collection}, known.number);
    }
    mdb_cursor_close(cursor);
}
