#include "base/clock.h"
#include "base/own.h"
#include "cache/derivatives_inside.h"
#include "cache/purges.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FULL_PAUSE_MS    1000  /* nothing is written after the disc was found full, */
#define TROUBLE_PAUSE_MS 10000 /* or to be in trouble */
#define FULL_FREES       8u    /* times the size of what did not fit */

static void pause_storing(struct derivatives *derivatives, int64_t ms)
{
    derivatives_count(&derivatives->shared->counters->refused);
    atomic_store_explicit(&derivatives->shared->counters->store_again_ms, clock_monotonic_ms() + ms,
                          memory_order_relaxed);
}

/* Something could not be written: makes room if that was the reason, and lets some time pass. */
static enum rc trouble(struct derivatives *derivatives, uint64_t size_bytes, int os_errno, struct err *err)
{
    if (os_errno == ENOSPC || os_errno == EDQUOT) {
        uint64_t used = shm_catalogue_size_bytes(derivatives->shared->catalogue);
        uint64_t frees = derivatives_rounded(size_bytes) * FULL_FREES;
        derivatives_evict_to(derivatives, frees < used ? used - frees : 0, UINT64_MAX);
        pause_storing(derivatives, FULL_PAUSE_MS);
    } else {
        pause_storing(derivatives, TROUBLE_PAUSE_MS);
    }
    return err_set_errno(err, RC_IO, os_errno, "a derivative cannot be written to the cache");
}

static int open_temporary(const struct derivatives *derivatives, const char *name)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const char folder[3] = {name[0], name[1], '\0'};
    int fd = openat(derivatives->folder, name, flags, 0600);
    if (fd < 0 && errno == ENOENT && (mkdirat(derivatives->folder, folder, 0700) == 0 || errno == EEXIST))
        fd = openat(derivatives->folder, name, flags, 0600);
    return fd;
}

enum rc derivative_file_begin(struct derivatives *derivatives, const struct derivative_key *key,
                              struct derivative_file *ret_file, struct err *err)
{
    struct derivative_file file = {.derivatives = derivatives, .hash = key->hash};
    char name[DERIVATIVE_NAME_BYTES];
    if (derivatives->folder < 0 || derivatives->limits.most_bytes == 0 ||
        clock_monotonic_ms() <
            atomic_load_explicit(&derivatives->shared->counters->store_again_ms, memory_order_relaxed))
        return RC_UNSUPPORTED;
    derivative_name(key->hash, name);
    /* Beside its place, since some boxes allow no renaming between folders. Never two at a time by the same name. */
    snprintf(file.name, sizeof file.name, "%.3s.%016" PRIx64 "-%x-%" PRIx64 "-%" PRIx64, name,
             derivatives->server, derivatives->slot, derivatives->generation,
             derivatives_next_number(derivatives));
    file.sum = derivative_sum_new();
    if (file.sum == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to cache a derivative");
    file.fd = open_temporary(derivatives, file.name);
    if (file.fd < 0) {
        int os_errno = errno;
        derivative_sum_free(&file.sum);
        return trouble(derivatives, 0, os_errno, err);
    }
    flock(file.fd, LOCK_EX | LOCK_NB); /* somebody is at it: for the janitor */
    *ret_file = file;
    return RC_OK;
}

static enum rc write_at(struct derivative_file *file, const void *data, size_t length, uint64_t offset,
                        struct err *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = pwrite(file->fd, (const uint8_t *)data + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            int os_errno = count < 0 ? errno : ENOSPC;
            uint64_t size_bytes = offset + length;
            derivative_file_done(file);
            return trouble(file->derivatives, size_bytes, os_errno, err);
        }
        done += (size_t)count;
    }
    return RC_OK;
}

enum rc derivative_file_add(struct derivative_file *file, const struct derivative_key *key, const void *data,
                            size_t length, struct err *err)
{
    enum rc rc = write_at(file, data, length, derivative_body_at(key->length) + file->body_bytes, err);
    if (rc != RC_OK)
        return rc;
    derivative_sum_add(file->sum, data, length);
    file->body_bytes += length;
    return RC_OK;
}

static void enter(struct derivatives *derivatives, const struct derivative_key *key, uint64_t size_bytes)
{
    struct shm_derivatives *shared = derivatives->shared;
    const struct shm_catalogue_item item = {.key = key->hash,
                                            .size_bytes = derivatives_rounded(size_bytes),
                                            .mark = key->mark,
                                            .seen_s = (uint32_t)time(NULL),
                                            .seen_clock = shm_sketch_clock(shared->sketch)};
    struct shm_catalogue_item victim = {.key = {0, 0}};
    if (!shm_catalogue_add(shared->catalogue, shared->sketch, &item, &victim))
        atomic_store_explicit(&shared->catalogue->incomplete, 1, memory_order_relaxed);
    else if (victim.key.low != 0 && derivatives_remove_file(derivatives, victim.key))
        derivatives_count(&shared->counters->evicted);
}

enum rc derivative_file_end(struct derivative_file *file, const struct derivative_key *key, uint64_t epoch,
                            struct err *err)
{
    struct derivatives *derivatives = file->derivatives;
    struct derivative_header header = derivatives_make_header(derivatives, key, epoch, file->body_bytes,
                                                              derivative_sum_value(file->sum));
    uint8_t head[DERIVATIVE_HEAD_BYTES + 64];
    char name[DERIVATIVE_NAME_BYTES];
    derivative_head_write(&header, key->text, head);
    enum rc rc = write_at(file, head, header.body_at, 0, err);
    if (rc != RC_OK)
        return rc;
    uint64_t size_bytes = header.body_at + header.body_bytes;
    /* What another server has purged meanwhile is not brought back. */
    if (purges_look(derivatives, NULL) != RC_OK ||
        derivatives_rounded(size_bytes) > derivatives->limits.most_bytes ||
        !derivatives_may_keep(derivatives, key, epoch)) {
        derivative_file_done(file);
        return RC_UNSUPPORTED;
    }
    derivatives_evict(derivatives, derivatives_rounded(size_bytes), 1);
    derivative_name(key->hash, name);
    /* Some file systems tell only now that there was no room. */
    if (close(TAKE_FD(file->fd)) < 0 ||
        renameat(derivatives->folder, file->name, derivatives->folder, name) < 0) {
        int os_errno = errno;
        derivative_file_done(file);
        return trouble(derivatives, size_bytes, os_errno, err);
    }
    file->name[0] = '\0';
    if (!derivatives_may_keep(derivatives, key,
                              epoch)) { /* purged since: the janitor may have been past already */
        derivatives_remove_file(derivatives, key->hash);
        return RC_UNSUPPORTED;
    }
    enter(derivatives, key, size_bytes);
    derivatives_evict(derivatives, 0, 0); /* where several have made the same room for theirs */
    derivatives_count(&derivatives->shared->counters->stored);
    return RC_OK;
}

void derivative_file_done(struct derivative_file *file)
{
    if (file->derivatives == NULL)
        return;
    own_close(&file->fd);
    file->fd = -1;
    if (file->name[0] != '\0')
        unlinkat(file->derivatives->folder, file->name, 0);
    file->name[0] = '\0';
    derivative_sum_free(&file->sum);
}
