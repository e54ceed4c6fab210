#include "base/fdio.h"
#include "base/own.h"
#include "base/probe.h"
#include "cache/tier_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>

#define NAME_BYTES          96u
#define LEAST_PATIENCE_MS   200
#define LONGEST_PATIENCE_MS 1000
#define HAD_LATER_S         3600 /* how much later than the last time it must be to be written down */

struct folder {
    struct tier_place place; /* first */
    char *path;
    uint64_t ours; /* in temporary names */
    _Atomic uint64_t number;
    pthread_mutex_t mutex;
    int fresh_fd; /* opened in place of one that went stale, as the file server's restart does; -1 */
};

/* ---- its descriptor ---- */

static int current_fd(struct folder *folder)
{
    pthread_mutex_lock(&folder->mutex);
    int fd = folder->fresh_fd >= 0 ? folder->fresh_fd : folder->place.folder_fd;
    pthread_mutex_unlock(&folder->mutex);
    return fd;
}

/* The file server has been started anew, or the folder mounted anew: nothing that is open leads anywhere. It is opened by its path, for good, since
 * others may be using what they have, and another worker is asked for: the box may have no way to what lies there now. */
static int open_anew(struct folder *folder, const char *name, int flags)
{
    OWN_FD int fresh_fd = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = fresh_fd >= 0 ? openat(fresh_fd, name, flags, 0644) : -1;
    if (fresh_fd < 0 || (fd < 0 && probe_is_lost(errno)))
        return -1;
    int os_errno = errno;
    (void)eventfd_write(folder->place.lost_fd, 1);
    pthread_mutex_lock(&folder->mutex);
    if (fd >= 0 && folder->fresh_fd < 0)
        folder->fresh_fd = TAKE_FD(fresh_fd);
    pthread_mutex_unlock(&folder->mutex);
    errno = os_errno;
    return fd;
}

static int open_in(struct folder *folder, const char *name, int flags)
{
    flags |= O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(current_fd(folder), name, flags, 0644);
    if (fd < 0 && probe_is_lost(errno))
        fd = openat(current_fd(folder), name, flags, 0644);
    return fd < 0 && probe_is_lost(errno) ? open_anew(folder, name, flags) : fd;
}

/* ---- the calls ---- */

static enum rc folder_read(struct tier_place *place, const char *name, size_t most_bytes, struct bytes *out,
                           struct err *err)
{
    struct stat status;
    OWN_FD int fd = open_in((struct folder *)place, name, O_RDONLY);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, RC_NOT_FOUND, "the lower tier has no %s", name);
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_set_errno(err, RC_IO, errno, "the lower tier %.120s cannot be read", place->name);
    if (status.st_size < 0 || (uint64_t)status.st_size > most_bytes)
        return err_set(err, RC_TOO_LARGE, "%s of the lower tier is larger than anything is there", name);
    out->length = 0;
    enum rc rc = bytes_reserve(out, (size_t)status.st_size + 1, err);
    if (rc == RC_OK)
        rc = fdio_pread_exact(fd, out->data, (size_t)status.st_size, 0, err);
    if (rc == RC_OK)
        out->length = (size_t)status.st_size;
    return rc;
}

static int create(struct folder *folder, const char *name, char temporary[NAME_BYTES])
{
    const char *slash = strchr(name, '/');
    char parent[32];
    uint64_t number = atomic_fetch_add_explicit(&folder->number, 1, memory_order_relaxed);
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
    snprintf(temporary, NAME_BYTES, "%s/.new-%016" PRIx64 "-%" PRIx64, parent, folder->ours, number);
    int fd = open_in(folder, temporary, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0 && errno == ENOENT && (mkdirat(current_fd(folder), parent, 0755) == 0 || errno == EEXIST))
        fd = open_in(folder, temporary, O_WRONLY | O_CREAT | O_EXCL);
    return fd;
}

static enum rc folder_write(struct tier_place *place, const char *name, const void *data, size_t length,
                            struct err *err)
{
    struct folder *folder = (struct folder *)place;
    char temporary[NAME_BYTES];
    OWN_FD int fd = create(folder, name, temporary);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "nothing can be written to the lower tier %.120s",
                             place->name);
    struct err failed;
    int os_errno = fdio_write_all(fd, data, length, &failed) == RC_OK ? 0 : failed.os_errno;
    /* File servers tell as late as this that there was no room. */
    if (os_errno == 0 &&
        (close(TAKE_FD(fd)) < 0 || renameat(current_fd(folder), temporary, current_fd(folder), name) < 0))
        os_errno = errno;
    enum rc rc = os_errno == 0
                     ? RC_OK
                     : err_set_errno(err, RC_IO, os_errno, "nothing can be written to the lower tier %.120s",
                                     place->name);
    if (rc != RC_OK)
        unlinkat(current_fd(folder), temporary, 0);
    return rc;
}

static enum rc folder_remove(struct tier_place *place, const char *name, struct err *err)
{
    if (unlinkat(current_fd((struct folder *)place), name, 0) == 0 || errno == ENOENT)
        return RC_OK;
    return err_set_errno(err, RC_IO, errno, "nothing can be removed from the lower tier %.120s", place->name);
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL)
        closedir(*folder);
}

static enum rc folder_list(struct tier_place *place, const char *prefix,
                           enum rc (*each)(void *context, const char *name, struct err *err), void *context,
                           struct err *err)
{
    const char *slash = strchr(prefix, '/'), *begins = slash + 1;
    char parent[NAME_BYTES], name[NAME_BYTES];
    const struct dirent *entry;
    enum rc rc = RC_OK;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - prefix), prefix);
    int fd = open_in((struct folder *)place, parent, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    OWN(close_folder) DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        enum rc failed = err_set_errno(err, RC_IO, errno, "the lower tier %.120s cannot be read",
                                       place->name);
        if (fd >= 0)
            close(fd);
        return failed;
    }
    while (rc == RC_OK && (errno = 0, entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, begins, strlen(begins)) == 0 &&
            snprintf(name, sizeof name, "%s/%s", parent, entry->d_name) < (int)sizeof name)
            rc = each(context, name, err);
    return rc == RC_OK && errno != 0
               ? err_set_errno(err, RC_IO, errno, "the lower tier %.120s cannot be read", place->name)
               : rc;
}

static void folder_had(struct tier_place *place, const char *name)
{
    struct folder *folder = (struct folder *)place;
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    struct stat status;
    if (fstatat(current_fd(folder), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        time(NULL) - status.st_atime > HAD_LATER_S)
        utimensat(current_fd(folder), name, times, AT_SYMLINK_NOFOLLOW);
}

static enum rc folder_sweep(struct tier_place *place, const struct tier_sweep *sweep,
                            struct tier_swept *ret_swept, struct err *err)
{
    OWN_FD int fd = open_in((struct folder *)place, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "the lower tier %.120s cannot be read", place->name);
    return tier_sweep(fd, sweep, ret_swept, err);
}

static void folder_close(struct tier_place *place)
{
    struct folder *folder = (struct folder *)place;
    if (place->folder_fd >= 0)
        close(place->folder_fd);
    own_close(&folder->fresh_fd);
    own_close(&place->lost_fd);
    pthread_mutex_destroy(&folder->mutex);
    free(folder->path);
    free(folder);
}

static const struct tier_place_ops folder_ops = {.read = folder_read,
                                                 .write = folder_write,
                                                 .remove = folder_remove,
                                                 .list = folder_list,
                                                 .had = folder_had,
                                                 .sweep = folder_sweep,
                                                 .close = folder_close};

/* RC_LATE: it does not answer now, and *ret_answer_fd is readable when it does. */
static enum rc look_at(const struct settings *settings, int *ret_fd, int *ret_answer_fd, struct err *err)
{
    const char *path = settings->derivative_tier;
    struct probe probe = {.folder_fd = AT_FDCWD, .path = path, .goes_on = true};
    int64_t patience_ms = settings->derivative_tier_wait_ms;
    patience_ms = patience_ms < LEAST_PATIENCE_MS     ? LEAST_PATIENCE_MS
                  : patience_ms > LONGEST_PATIENCE_MS ? LONGEST_PATIENCE_MS
                                                      : patience_ms;
    probe_folders(&probe, 1, patience_ms);
    if (probe.answer_fd >= 0) {
        *ret_answer_fd = probe.answer_fd;
        return err_set(err, RC_LATE, "the lower tier %.150s does not answer", path);
    }
    if (probe.fd < 0)
        return err_set_errno(err, RC_IO, probe.os_errno, "the lower tier %.150s cannot be opened", path);
    *ret_fd = probe.fd;
    return RC_OK;
}

enum rc tier_folder_open(const struct settings *settings, struct tier_place **ret_place, int *ret_answer_fd,
                         struct err *err)
{
    OWN_FD int fd = -1;
    enum rc rc = look_at(settings, &fd, ret_answer_fd, err);
    if (rc != RC_OK)
        return rc;
    struct folder *folder = calloc(1, sizeof *folder);
    struct timespec now;
    char *path = strdup(settings->derivative_tier);
    if (folder == NULL || path == NULL) {
        free(folder);
        free(path);
        return err_set(err, RC_NO_MEMORY, "no memory for the lower tier of derivatives");
    }
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t ours[] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec, (uint64_t)getpid()};
    folder->ours = bytes_hash(BYTES_HASH_START, ours, sizeof ours);
    folder->path = path;
    folder->fresh_fd = -1;
    pthread_mutex_init(&folder->mutex, NULL);
    folder->place = (struct tier_place){.ops = &folder_ops,
                                        .name = path,
                                        .folder_fd = TAKE_FD(fd),
                                        .lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    *ret_place = &folder->place;
    return RC_OK;
}
