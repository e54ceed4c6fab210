#include "worker/ingest/convert.h"

#include "base/own.h"
#include "worker/ingest/chain.h"
#include "worker/ingest/check.h"
#include "worker/ingest/checksum.h"
#include "worker/ingest/pyramid.h"
#include "worker/ingest/tiff_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

/* A destination while it is being written. */
struct target {
    char *folder, *temporary; /* paths; the temporary name is in the folder */
    int fd;
    bool written; /* there is a temporary file that has to go if nothing comes of it */
};

void ingest_options_init(struct ingest_options *options)
{
    *options = (struct ingest_options){
        .limits = {.max_source_pixels = (uint64_t)1 << 40, .max_decode_bytes = (uint64_t)2 << 30},
        .page = 1,
        .background_rgb = {255, 255, 255},
        .depth_bits = 8,
        .tile_px = 256,
        .quality = 90,
        .restart_intervals = true,
        .threads = 1,
    };
}

static enum rc check_options(const struct ingest_options *o, struct err *err)
{
    if (o->tile_px % 16 != 0 || o->tile_px < 64 || o->tile_px > 4096)
        return err_set(err, RC_BAD_REQUEST,
                       "tiles of %u pixels: the edge must be a multiple of 16 from 64 to 4096", o->tile_px);
    if (o->quality < 1 || o->quality > 100)
        return err_set(err, RC_BAD_REQUEST, "quality %u: it must be 1 to 100", o->quality);
    if (o->depth_bits != 8 && o->depth_bits != 16)
        return err_set(err, RC_BAD_REQUEST, "a depth of %u bits: it must be 8 or 16", o->depth_bits);
    if (o->threads < 1 || o->threads > 256)
        return err_set(err, RC_BAD_REQUEST, "%u threads: there must be 1 to 256", o->threads);
    if (o->record != NULL && strlen(o->record) >= INGEST_MAX_RECORD_BYTES)
        return err_set(err, RC_BAD_REQUEST, "the record is longer than %u bytes",
                       INGEST_MAX_RECORD_BYTES - 1u);
    return RC_OK;
}

/* ---- the master ---- */

static enum rc open_failed(struct err *err, const char *what)
{
    int code = errno;
    enum rc rc = code == ENOENT || code == ENOTDIR                  ? RC_NOT_FOUND
                 : code == EACCES || code == EPERM || code == EROFS ? RC_FORBIDDEN
                                                                    : RC_IO;
    return err_set_errno(err, rc, code, "%s", what);
}

static enum rc open_master(const char *path, int *ret_fd, struct stat *ret_st, struct err *err)
{
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not keep us waiting */
    if (fd < 0 || fstat(fd, ret_st) < 0)
        return open_failed(err, "the source cannot be opened");
    if (!S_ISREG(ret_st->st_mode))
        return err_set(err, RC_UNSUPPORTED, "the source is %s",
                       S_ISDIR(ret_st->st_mode) ? "a folder" : "not a regular file");
    if (ret_st->st_size == 0)
        return err_set(err, RC_UNSUPPORTED, "the source is empty");
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

static bool same_version(const struct stat *one, const struct stat *other)
{
    return one->st_size == other->st_size && one->st_mtim.tv_sec == other->st_mtim.tv_sec &&
           one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

static enum rc check_unchanged(int fd, const struct stat *before, struct err *err)
{
    struct stat now;

    if (fstat(fd, &now) < 0)
        return err_set_errno(err, RC_IO, errno, "the source cannot be looked at");
    return same_version(before, &now) ? RC_OK
                                      : err_set(err, RC_BUSY, "the source was changed while it was read");
}

static enum rc open_source(int fd, const struct ingest_options *options, struct image_source **ret_source,
                           struct err *err)
{
    struct image_blob *blob = NULL;
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return err_set_errno(err, RC_IO, errno, "the source cannot be read");
    enum rc rc = image_blob_from_file(duplicate, &blob, err);
    return rc == RC_OK ? image_source_open(blob, options->page, &options->limits, ret_source, err) : rc;
}

/* ---- the destination ---- */

static void target_done(struct target *target)
{
    if (target->written)
        unlink(target->temporary);
    own_close(&target->fd);
    free(target->folder);
    free(target->temporary);
}

/* The temporary name follows from the final one, so that what a killed conversion left is taken over by the
 * next; and is short, whatever the final one's length. */
static enum rc name_target(const char *path, struct target *target, struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, RC_BAD_REQUEST, "the destination has no file name");
    target->folder = slash == NULL   ? strdup(".")
                     : slash == path ? strdup("/")
                                     : strndup(path, (size_t)(slash - path));
    if (target->folder == NULL ||
        asprintf(&target->temporary, "%s/" INGEST_TEMPORARY_PREFIX "%016llx", target->folder,
                 (unsigned long long)bytes_hash(BYTES_HASH_START, name, strlen(name))) < 0) {
        target->temporary = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a file's name");
    }
    return RC_OK;
}

void ingest_convert_discard(const char *destination_path)
{
    OWN(target_done) struct target target = {.fd = -1};
    struct err ignored;

    if (name_target(destination_path, &target, &ignored) != RC_OK)
        return;
    target.fd = open(target.temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    target.written = target.fd >= 0 &&
                     flock(target.fd, LOCK_EX | LOCK_NB) == 0; /* then it goes with the target */
}

/* Opens and locks the temporary file; whoever holds the lock of the file that has the name is the one who
 * writes. */
static enum rc open_target(const char *path, const struct stat *master, struct target *target,
                           struct err *err)
{
    const struct timespec a_sweep = {
        .tv_nsec = 5000000}; /* a run that begins looks at it, locked, and lets go */
    struct stat st, named;
    enum rc rc = name_target(path, target, err);

    if (rc != RC_OK)
        return rc;
    if (stat(path, &st) == 0 && st.st_dev == master->st_dev && st.st_ino == master->st_ino)
        return err_set(err, RC_BAD_REQUEST, "source and destination are the same file");
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(err, RC_BAD_REQUEST, "the destination is a folder");
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        own_close(&target->fd);
        target->fd = open(target->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (target->fd < 0)
            return open_failed(err, "the destination's folder cannot be written to");
        if (flock(target->fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK)
                return open_failed(err, "the destination's temporary file cannot be locked");
            nanosleep(&a_sweep, NULL);
            continue;
        }
        if (fstat(target->fd, &st) == 0 && stat(target->temporary, &named) == 0 &&
            st.st_ino == named.st_ino && st.st_dev == named.st_dev) {
            target->written = true;
            return ftruncate(target->fd, 0) == 0 ? RC_OK
                                                 : open_failed(err, "the destination cannot be written");
        }
    }
    return err_set(err, RC_BUSY, "another conversion is writing the same destination");
}

static enum rc publish(const char *path, struct target *target, struct err *err)
{
    /* A full disk of another machine may say so only now; and after a power cut the name shall not stand for
     * less. */
    if (fdatasync(target->fd) < 0)
        return open_failed(err, "the pyramid cannot be written");
    if (rename(target->temporary, path) < 0)
        return open_failed(err, "the pyramid cannot be given its name");
    target->written = false;
    return RC_OK;
}

/* ---- the file ---- */

static enum rc write_file(const struct target *target, const struct ingest_levels *levels,
                          const struct ingest_plan *plan, const struct ingest_options *options,
                          const struct ingest_pyramid *pyramid, struct ingest_tiff_layout *ret_layout,
                          struct err *err)
{
    OWN(bytes_done) struct bytes head = {0};
    struct ingest_tiff_file file = {.levels = levels,
                                    .tiles = plan->tiles,
                                    .metadata = &plan->metadata,
                                    .always_big = options->always_big_tiff,
                                    .record = options->record};

    for (uint32_t i = 0; i < levels->count; i++)
        file.tile_bytes[i] = ingest_pyramid_level(pyramid, i)->tile_bytes;
    enum rc rc = ingest_tiff_file_head(&file, &head, ret_layout, err);
    if (rc == RC_OK)
        rc = ingest_spool_write_at(target->fd, head.data, head.length, 0, err);
    for (uint32_t i = levels->count; rc == RC_OK && i-- > 0;)
        rc = ingest_spool_copy(&ingest_pyramid_level(pyramid, i)->spool, target->fd, ret_layout->level_at[i],
                               err);
    return rc;
}

static enum rc make_pyramid(struct image_source *source, const struct ingest_plan *plan,
                            const struct ingest_options *options, const struct target *target,
                            ingest_progress *progress, void *context, struct ingest_result *result,
                            struct err *err)
{
    OWN(ingest_pyramid_close) struct ingest_pyramid *pyramid = NULL;
    struct image_sink *end = NULL;
    struct ingest_levels levels;
    struct ingest_tiff_layout layout = {.big = false};

    ingest_levels_init(&levels, plan->size, options->tile_px);
    enum rc rc = ingest_pyramid_open(&levels, &plan->tiles, options->threads, target->folder, &pyramid, &end,
                                     err);
    if (rc == RC_OK)
        rc = ingest_chain_run(plan, source, options, target->folder, end, progress, context, err);
    if (rc == RC_OK)
        rc = write_file(target, &levels, plan, options, pyramid, &layout, err);
    if (rc == RC_OK)
        rc = ingest_check(target->fd, &levels, &plan->tiles, &plan->metadata, &layout, pyramid,
                          &options->limits, err);
    if (rc == RC_OK)
        rc = ingest_checksum_file(target->fd, 0, layout.length_bytes, &result->destination_xxh64, err);
    result->level_count = levels.count;
    result->destination_bytes = layout.length_bytes;
    result->big_tiff = layout.big;
    return rc;
}

enum rc ingest_convert(const char *source_path, const char *destination_path,
                       const struct ingest_options *options, ingest_progress *progress, void *context,
                       struct ingest_result *ret, struct err *err)
{
    struct ingest_result result = {.level_count = 0};
    OWN_FD int fd = -1;
    OWN(target_done) struct target target = {.fd = -1};
    OWN(image_source_close) struct image_source *source = NULL;
    OWN(ingest_plan_done) struct ingest_plan plan = {.colour = NULL};
    struct stat master = {.st_size = 0};

    enum rc rc = check_options(options, err);
    if (rc == RC_OK)
        rc = open_master(source_path, &fd, &master, err);
    if (rc == RC_OK)
        rc = open_source(fd, options, &source, err);
    if (rc == RC_OK)
        rc = ingest_plan_init(&plan, source, options, &result, err);
    if (rc == RC_OK)
        rc = open_target(destination_path, &master, &target, err);
    if (rc == RC_OK)
        rc = make_pyramid(source, &plan, options, &target, progress, context, &result, err);
    result.source_bytes = (uint64_t)master.st_size;
    if (rc == RC_OK)
        rc = ingest_checksum_file(fd, 0, result.source_bytes, &result.source_xxh64, err);
    if (fd >= 0 &&
        (rc == RC_OK || rc == RC_CORRUPT)) { /* what looks damaged may have been changed under us */
        struct err changed;
        if (check_unchanged(fd, &master, &changed) != RC_OK) {
            rc = changed.rc;
            if (err != NULL)
                *err = changed;
        }
    }
    if (rc == RC_OK)
        rc = publish(destination_path, &target, err);
    if (rc == RC_OK)
        *ret = result;
    return rc;
}
