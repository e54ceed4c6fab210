#include "cache/purges.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_NAME     "purges"
#define NEW_FILE_NAME "purges.new"
#define LOCK_NAME     "purges.lock"
#define MOST_BYTES    (UINT64_C(16) << 20)

/* ---- records ---- */

enum purges_read purges_record_read(const uint8_t *data, size_t length, struct purges_record *ret_record)
{
    struct purges_record record;
    if (length == 0)
        return PURGES_END;
    if (length < sizeof record)
        return PURGES_CUT_OFF;
    memcpy(&record, data, sizeof record);
    if (record.text_bytes >= SHM_FENCES_PREFIX_BYTES)
        return PURGES_BROKEN;
    if (length - sizeof record < record.text_bytes)
        return PURGES_CUT_OFF;
    size_t skipped = sizeof record.checksum;
    if (record.checksum != derivative_checksum(data + skipped, sizeof record - skipped + record.text_bytes) ||
        (record.kind > SHM_PURGE_ALL && record.kind != PURGES_EPOCH && record.kind != PURGES_MARK) ||
        memchr(data + sizeof record, '\0', record.text_bytes) != NULL)
        return PURGES_BROKEN;
    *ret_record = record;
    return PURGES_RECORD;
}

enum rc purges_record_append(struct bytes *bytes, uint32_t kind, uint64_t epoch, const char *text,
                             struct err *err)
{
    struct purges_record record = {.epoch = epoch, .kind = kind, .text_bytes = (uint32_t)strlen(text)};
    size_t at = bytes->length, skipped = sizeof record.checksum;
    enum rc rc = bytes_append(bytes, &record, sizeof record, err);
    if (rc == RC_OK)
        rc = bytes_append(bytes, text, record.text_bytes, err);
    if (rc != RC_OK)
        return rc;
    record.checksum = derivative_checksum(bytes->data + at + skipped, bytes->length - at - skipped);
    memcpy(bytes->data + at, &record.checksum, sizeof record.checksum);
    return RC_OK;
}

/* ---- the file ---- */

/* Who changes the file holds this; closing the descriptor gives it back, and so does dying. */
static int take_lock(const struct derivatives *derivatives)
{
    OWN_FD int fd = openat(derivatives->folder, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -1;
    return TAKE_FD(fd);
}

static enum rc read_file(const struct derivatives *derivatives, struct bytes *out, struct err *err)
{
    struct stat status;
    OWN_FD int fd = openat(derivatives->folder, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_set_errno(err, RC_IO, errno, "the list of purges cannot be read");
    if ((uint64_t)status.st_size > MOST_BYTES)
        return err_set(err, RC_CORRUPT, "the list of purges is larger than any can be");
    enum rc rc = bytes_reserve(out, (size_t)status.st_size, err);
    if (rc == RC_OK)
        rc = fdio_pread_exact(fd, out->data, (size_t)status.st_size, 0, err);
    if (rc == RC_OK)
        out->length = (size_t)status.st_size;
    return rc;
}

static uint64_t later_epoch(const struct shm_fences *fences, uint64_t least)
{
    uint64_t now_ms = (uint64_t)time(NULL) * 1000, epoch = shm_fences_epoch(fences) + 1;
    epoch = epoch > least ? epoch : least + 1;
    return epoch > now_ms ? epoch : now_ms; /* so that epochs of a list that was lost are not used again */
}

/* With the fences' stripe. Another worker may have done so already; then the same fence is raised again. */
static void raise_record(struct shm_fences *fences, const struct purges_record *record, const char *text)
{
    if (record->kind == PURGES_EPOCH)
        shm_fences_advance(fences, record->epoch);
    else if (record->kind == PURGES_MARK)
        shm_fences_raise(fences, SHM_PURGE_IDENTIFIER, "", (uint32_t)strtoul(text, NULL, 16), record->epoch);
    else
        shm_fences_raise(fences, (enum shm_purge)record->kind, text, derivative_mark(text), record->epoch);
}

/* What the file looks like; 0: there is none. */
static uint64_t look_of(const struct derivatives *derivatives)
{
    struct stat status;
    if (fstatat(derivatives->folder, FILE_NAME, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    const uint64_t look[] = {status.st_ino, (uint64_t)status.st_size, (uint64_t)status.st_mtim.tv_sec,
                             (uint64_t)status.st_mtim.tv_nsec};
    return bytes_hash(BYTES_HASH_START, look, sizeof look) | 1;
}

/* With the stripe. How it ended; *ret_last is the latest epoch. */
static enum purges_read raise_records(struct derivatives *derivatives, const struct bytes *bytes,
                                      uint64_t *ret_last)
{
    struct shm_fences *fences = derivatives->shared->fences;
    bool was_known = atomic_load_explicit(&derivatives->shared->counters->purges_known,
                                          memory_order_relaxed) != 0;
    uint64_t before = shm_fences_epoch(fences);
    struct purges_record record = {0};
    for (size_t at = 0;; at += sizeof record + record.text_bytes) {
        char text[SHM_FENCES_PREFIX_BYTES] = {0};
        enum purges_read read = purges_record_read(bytes->data + at, bytes->length - at, &record);
        if (read != PURGES_RECORD)
            return read;
        /* A record is whole, so there is data: NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
        memcpy(text, bytes->data + at + sizeof record, record.text_bytes);
        *ret_last = record.epoch > *ret_last ? record.epoch : *ret_last;
        if (record.kind == PURGES_EPOCH && was_known && record.epoch > before)
            shm_fences_raise(fences, SHM_PURGE_ALL, "", 0,
                             record.epoch); /* it was shortened before we saw all */
        else
            raise_record(fences, &record, text);
    }
}

enum rc purges_load(struct derivatives *derivatives, struct err *err)
{
    struct shm_derivatives *shared = derivatives->shared;
    OWN(bytes_done) struct bytes bytes = {0};
    enum purges_read read = PURGES_BROKEN;
    uint64_t last = 0;
    if (derivatives->folder < 0)
        return RC_OK;
    uint64_t look = look_of(derivatives), before = shm_fences_epoch(shared->fences);
    enum rc rc = read_file(derivatives, &bytes, err);
    if (!shm_fences_take(shared->fences))
        return err_set(err, RC_BUSY,
                       "the list of purges cannot be taken in: another worker stands still in it");
    if (rc == RC_OK)
        read = raise_records(derivatives, &bytes, &last);
    if (rc != RC_OK || read == PURGES_BROKEN)
        shm_fences_raise(shared->fences, SHM_PURGE_ALL, "", 0, later_epoch(shared->fences, last));
    shm_fences_give(shared->fences);
    atomic_store_explicit(&shared->counters->purges_known, 1, memory_order_relaxed);
    atomic_store_explicit(&derivatives->purges_seen, look, memory_order_relaxed);
    if (shm_fences_epoch(shared->fences) != before) { /* sources are compared anew, and the janitor looks */
        atomic_store_explicit(&shared->counters->purged_ms, clock_monotonic_ms(), memory_order_release);
        atomic_store_explicit(&shared->catalogue->incomplete, 1, memory_order_relaxed);
    }
    return rc == RC_OK && read == PURGES_BROKEN
               ? err_set(err, RC_CORRUPT, "the list of purges is broken: all cached derivatives are purged")
               : rc;
}

enum rc purges_look(struct derivatives *derivatives, struct err *err)
{
    if (derivatives->folder < 0 ||
        look_of(derivatives) == atomic_load_explicit(&derivatives->purges_seen, memory_order_relaxed))
        return RC_OK;
    return purges_load(derivatives, err);
}

/* Appended in one piece, and on the disc when this returns. */
static enum rc write_records(const struct derivatives *derivatives, const struct bytes *records,
                             struct err *err)
{
    OWN_FD int fd = openat(derivatives->folder, FILE_NAME,
                           O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fdio_write_all(fd, records->data, records->length, err) != RC_OK || fdatasync(fd) < 0)
        return err_set_errno(err, RC_IO, errno,
                             "the purge holds until the next start only: it cannot be written");
    return RC_OK;
}

static enum rc write_purge(const struct derivatives *derivatives, enum shm_purge purge, const char *text,
                           uint64_t epoch, struct err *err)
{
    OWN(bytes_done) struct bytes bytes = {0};
    enum rc rc = purges_record_append(&bytes, purge, epoch, text, err);
    return rc == RC_OK ? write_records(derivatives, &bytes, err) : rc;
}

static uint64_t remove_marked(struct derivatives *derivatives, uint32_t mark)
{
    const struct shm_catalogue *catalogue = derivatives->shared->catalogue;
    struct shm_catalogue_item item;
    uint64_t cursor = 0, removed = 0;
    while (shm_catalogue_next(catalogue, &cursor, &item))
        if (item.mark == mark) {
            derivatives_remove(derivatives, item.key);
            removed++;
        }
    atomic_fetch_add_explicit(&derivatives->shared->counters->purged, removed, memory_order_relaxed);
    return removed;
}

enum rc purges_add(struct derivatives *derivatives, enum shm_purge purge, const char *text,
                   uint64_t *ret_removed, uint64_t *ret_epoch, struct err *err)
{
    struct shm_derivatives *shared = derivatives->shared;
    uint32_t mark = derivative_mark(text);
    if (strlen(text) >= SHM_FENCES_PREFIX_BYTES)
        return err_set(err, RC_BAD_REQUEST, "no identifier is longer than %u bytes",
                       SHM_FENCES_PREFIX_BYTES - 1);
    OWN_FD int lock = derivatives->folder >= 0 ? take_lock(derivatives) : -1;
    (void)!purges_look(derivatives, err); /* so that the epoch is after those of others */
    if (!shm_fences_take(shared->fences))
        return err_set(err, RC_BUSY, "another worker stands still in a purge, please try again");
    uint64_t epoch = later_epoch(shared->fences, 0);
    shm_fences_raise(shared->fences, purge, text, mark, epoch);
    shm_fences_give(shared->fences);
    atomic_store_explicit(&shared->counters->purged_ms, clock_monotonic_ms(), memory_order_release);
    *ret_removed = 0;
    *ret_epoch = epoch;
    if (derivatives->folder < 0)
        return RC_OK;
    enum rc rc = write_purge(derivatives, purge, text, epoch, err);
    if (purge == SHM_PURGE_IDENTIFIER)
        *ret_removed = remove_marked(derivatives, mark);
    else
        atomic_store_explicit(&shared->catalogue->incomplete, 1,
                              memory_order_relaxed); /* the janitor looks */
    return rc;
}

/* ---- what others have purged ---- */

static enum rc append_foreign(struct bytes *bytes, const struct purges_foreign *foreign, struct err *err)
{
    char mark[16];
    snprintf(mark, sizeof mark, "%08x", foreign->mark);
    return foreign->purge == SHM_PURGE_IDENTIFIER
               ? purges_record_append(bytes, PURGES_MARK, foreign->epoch, mark, err)
               : purges_record_append(bytes, foreign->purge, foreign->epoch, foreign->text, err);
}

enum rc purges_join(struct derivatives *derivatives, const struct purges_foreign *foreign, size_t count,
                    struct err *err)
{
    struct shm_derivatives *shared = derivatives->shared;
    OWN(bytes_done) struct bytes records = {0};
    enum rc rc = RC_OK;
    if (count == 0)
        return RC_OK;
    OWN_FD int lock = derivatives->folder >= 0 ? take_lock(derivatives) : -1;
    if (!shm_fences_take(shared->fences))
        return err_set(err, RC_BUSY, "another worker stands still in a purge");
    uint64_t now = later_epoch(shared->fences, 0);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct purges_foreign known = foreign[i];
        if (known.is_news && known.epoch < now)
            known.epoch = now;
        rc = append_foreign(&records, &known, err);
        if (rc == RC_OK)
            shm_fences_raise(shared->fences, known.purge, known.text, known.mark, known.epoch);
    }
    shm_fences_give(shared->fences);
    if (rc != RC_OK)
        return rc;
    atomic_store_explicit(&shared->counters->purged_ms, clock_monotonic_ms(), memory_order_release);
    if (derivatives->folder < 0)
        return RC_OK;
    atomic_store_explicit(&shared->catalogue->incomplete, 1, memory_order_relaxed); /* the janitor looks */
    return write_records(derivatives, &records, err);
}

/* Writes those records of `bytes` anew that are not before `epoch`. What is behind a broken one cannot be read: a purge of everything up to
 * `now` stands for it. */
static enum rc collect_later(const struct bytes *bytes, uint64_t epoch, uint64_t now, struct bytes *out,
                             struct err *err)
{
    struct purges_record record;
    enum rc rc = RC_OK;
    for (size_t at = 0; rc == RC_OK; at += sizeof record + record.text_bytes) {
        enum purges_read read = purges_record_read(bytes->data + at, bytes->length - at, &record);
        if (read == PURGES_BROKEN)
            return purges_record_append(out, SHM_PURGE_ALL, now, "", err);
        if (read != PURGES_RECORD)
            return RC_OK;
        if (record.epoch > epoch && record.kind != PURGES_EPOCH)
            rc = bytes_append(out, bytes->data + at, sizeof record + record.text_bytes, err);
    }
    return rc;
}

enum rc purges_shorten(struct derivatives *derivatives, uint64_t epoch, struct err *err)
{
    OWN(bytes_done) struct bytes bytes = {0};
    OWN(bytes_done) struct bytes shorter = {0};
    OWN_FD int lock = take_lock(derivatives);
    if (lock < 0)
        return err_set_errno(err, RC_IO, errno, "the list of purges cannot be locked");
    uint64_t now = shm_fences_epoch(derivatives->shared->fences);
    enum rc rc = read_file(derivatives, &bytes, err);
    if (rc == RC_OK)
        rc = purges_record_append(&shorter, PURGES_EPOCH, now, "", err);
    if (rc == RC_OK)
        rc = collect_later(&bytes, epoch, now, &shorter, err);
    if (rc != RC_OK || shorter.length >= bytes.length)
        return rc;
    OWN_FD int fd = openat(derivatives->folder, NEW_FILE_NAME,
                           O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fdio_write_all(fd, shorter.data, shorter.length, err) != RC_OK || fdatasync(fd) < 0 ||
        renameat(derivatives->folder, NEW_FILE_NAME, derivatives->folder, FILE_NAME) < 0)
        return err_set_errno(err, RC_IO, errno, "the list of purges cannot be shortened");
    return RC_OK;
}

uint64_t purges_settled(struct purges_settling *settling, uint64_t epoch, int64_t now_ms)
{
    if (settling->seen_epoch != 0 && now_ms - settling->seen_ms >= PURGES_SETTLE_MS) {
        settling->settled_epoch = settling->seen_epoch;
        settling->seen_epoch = 0;
    }
    if (epoch <= settling->settled_epoch)
        return epoch;
    if (settling->seen_epoch == 0) {
        settling->seen_epoch = epoch;
        settling->seen_ms = now_ms;
    }
    return settling->settled_epoch;
}

uint64_t purges_prune(struct derivatives *derivatives, int64_t before_s)
{
    const struct shm_catalogue *catalogue = derivatives->shared->catalogue;
    struct shm_catalogue_item item;
    uint64_t cursor = 0, removed = 0;
    while (shm_catalogue_next(catalogue, &cursor, &item))
        if ((int64_t)item.seen_s < before_s) {
            derivatives_remove(derivatives, item.key);
            removed++;
        }
    atomic_fetch_add_explicit(&derivatives->shared->counters->purged, removed, memory_order_relaxed);
    return removed;
}
