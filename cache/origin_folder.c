/* A folder whose files are read where they are. */
#include "cache/origin_kinds.h"

#include "base/log.h"
#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define SAY_AGAIN_MS 5000

static int open_beneath(int root_fd, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd;
    do
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a rename raced with the look-up */
    return fd;
}

/* Once in five seconds and process: whoever has copied a folder with the wrong rights shall not find a line for each request. */
static void complain(const char *path, int why)
{
    static struct log_pause said;
    if (log_may_say(&said, SAY_AGAIN_MS))
        log_warning("'%s' may not be read by the user that workers are: %s", path, strerror(why));
}

static enum rc open_failed(const char *path, struct err *err)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* would lead out of the root */
    case ENAMETOOLONG:
    case ENXIO:
        return err_set(err, RC_NOT_FOUND, "there is no image '%s'", path);
    case EACCES:
    case EPERM:
        complain(path, errno);
        return err_set(err, RC_FORBIDDEN, "image '%s' may not be read by this server", path);
    default:
        return err_set_errno(err, RC_IO, errno, "image '%s' cannot be opened", path);
    }
}

static struct origin_version version_from(const struct stat *status)
{
    return (struct origin_version){
        .size_bytes = (uint64_t)status->st_size, .inode = status->st_ino, .modified = status->st_mtim};
}

static enum rc version_of(int fd, const char *path, struct origin_version *ret_version, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return err_set_errno(err, RC_IO, errno, "image '%s' cannot be examined", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, RC_NOT_FOUND, "there is no image '%s'", path);
    *ret_version = version_from(&status);
    return RC_OK;
}

enum rc origin_folder_open_file(int root_fd, const char *path, uint64_t flags, int *ret_fd,
                                struct origin_version *ret_version, struct err *err)
{
    OWN_FD int fd = open_beneath(root_fd, path, flags);
    if (fd < 0)
        return open_failed(path, err);
    enum rc rc = version_of(fd, path, ret_version, err);
    if (rc == RC_OK)
        *ret_fd = TAKE_FD(fd);
    return rc;
}

static enum rc folder_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                struct origin_version *ret_version, struct err *err)
{
    int fd = -1;
    struct origin_version version;
    /* Non-blocking, so that a FIFO somebody left in the folder does not hold the thread until its writer comes. */
    enum rc rc = origin_folder_open_file(origin->needs.root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd,
                                         &version, err);
    if (rc == RC_OK)
        rc = image_blob_from_file(fd, ret_blob, err);
    if (rc == RC_OK)
        *ret_version = version;
    return rc;
}

static enum rc folder_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                                struct err *err)
{
    OWN_FD int fd = -1;
    return origin_folder_open_file(origin->needs.root_fd, path, O_PATH, &fd, ret_version, err);
}

/* ---- listing ---- */

struct listing {
    struct arena *arena;
    struct origin_entry *entry;
    size_t count, capacity;
};

static enum rc grow(struct listing *listing, struct err *err)
{
    if (listing->count < listing->capacity)
        return RC_OK;
    if (listing->count >= ORIGIN_MOST_ENTRIES)
        return err_set(err, RC_TOO_LARGE, "the folder has more than %u entries", ORIGIN_MOST_ENTRIES);
    size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
    struct origin_entry *grown = arena_alloc(listing->arena, capacity * sizeof *grown);
    if (grown == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a folder of %zu entries", listing->count);
    if (listing->count > 0)
        memcpy(grown, listing->entry, listing->count * sizeof *grown);
    listing->entry = grown;
    listing->capacity = capacity;
    return RC_OK;
}

/* A link counts as what it leads to, if that lies below the root. What is gone meanwhile, or may not be seen, is left out. */
static enum rc add_entry(struct listing *listing, int root_fd, int folder_fd, const char *path,
                         const char *name, struct err *err)
{
    struct stat status;
    if (name[0] == '.' || fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return RC_OK;
    bool is_link = S_ISLNK(status.st_mode);
    if (is_link) {
        const char *whole = arena_format(listing->arena, "%s%s%s", path, path[0] == '\0' ? "" : "/", name);
        OWN_FD int fd = whole == NULL ? -1 : open_beneath(root_fd, whole, O_PATH);
        if (fd < 0 || fstat(fd, &status) != 0)
            return RC_OK;
    }
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return RC_OK;
    enum rc rc = grow(listing, err);
    const char *kept = rc == RC_OK ? arena_text(listing->arena, name, strlen(name)) : NULL;
    if (rc == RC_OK && kept == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory for a folder of %zu entries", listing->count);
    if (rc == RC_OK)
        listing->entry[listing->count++] = (struct origin_entry){.name = kept,
                                                                 .is_folder = S_ISDIR(status.st_mode),
                                                                 .is_link = is_link,
                                                                 .version = version_from(&status)};
    return rc;
}

static void folder_done(DIR **directory)
{
    if (*directory != NULL)
        closedir(*directory);
}

/* Takes the descriptor over in every case. */
static enum rc open_directory(int root_fd, const char *path, DIR **ret_directory, struct err *err)
{
    OWN_FD int fd = open_beneath(root_fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY);
    if (fd < 0 &&
        (errno == EACCES || errno == EPERM)) /* such as lost+found: it takes nothing away from the others */
        return err_set(err, RC_NOT_FOUND, "there is no folder '%s'", path);
    if (fd < 0)
        return open_failed(path, err);
    DIR *directory = fdopendir(fd);
    if (directory == NULL)
        return err_set_errno(err, RC_IO, errno, "folder '%s' cannot be read", path);
    (void)TAKE_FD(fd); /* the directory's from now on */
    *ret_directory = directory;
    return RC_OK;
}

/* What a link leads to, if that lies below the root; or what it is where the file system does not say in passing. False: nothing that is
 * shown. */
static bool look_behind(int root_fd, const char *path, const char *name, unsigned char entry_type,
                        struct origin_name *found)
{
    OWN_FREE char *whole = NULL;
    struct stat status;
    if (asprintf(&whole, "%s%s%s", path, path[0] == '\0' ? "" : "/", name) < 0) {
        whole = NULL;
        return false;
    }
    OWN_FD int fd = open_beneath(root_fd, whole, O_PATH);
    if (fd < 0 || fstat(fd, &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
        return false;
    found->is_folder = S_ISDIR(status.st_mode);
    found->is_link = entry_type == DT_LNK;
    return true;
}

/* *ret_entry NULL: that was the last. */
static enum rc next_entry(DIR *directory, const char *path, const struct dirent **ret_entry, struct err *err)
{
    errno = 0;
    const struct dirent *entry = readdir(directory);
    if (entry == NULL && errno != 0)
        return err_set_errno(err, RC_IO, errno, "folder '%s' cannot be read", path);
    *ret_entry = entry;
    return RC_OK;
}

static enum rc folder_visit(struct origin *origin, const char *path,
                            enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                            void *context, struct err *err)
{
    int root_fd = origin->needs.root_fd;
    OWN(folder_done) DIR *directory = NULL;
    enum rc rc = open_directory(root_fd, path, &directory, err);
    while (rc == RC_OK) {
        const struct dirent *entry;
        rc = next_entry(directory, path, &entry, err);
        if (rc != RC_OK || entry == NULL)
            break;
        struct origin_name found = {.name = entry->d_name, .is_folder = entry->d_type == DT_DIR};
        bool is_known = entry->d_type == DT_DIR || entry->d_type == DT_REG;
        bool is_unclear = entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
        if (entry->d_name[0] != '.' &&
            (is_known || (is_unclear && look_behind(root_fd, path, entry->d_name, entry->d_type, &found))))
            rc = visit(context, &found, err);
    }
    return rc;
}

enum rc origin_folder_list(int root_fd, const char *path, bool (*goes_on)(void *context), void *context,
                           struct arena *arena, struct origin_entry **ret_entries, size_t *ret_count,
                           struct err *err)
{
    OWN(folder_done) DIR *directory = NULL;
    enum rc opened = open_directory(root_fd, path, &directory, err);
    if (opened != RC_OK)
        return opened;
    int folder_fd = dirfd(directory);
    struct listing listing = {.arena = arena};
    for (;;) {
        const struct dirent *entry;
        enum rc rc = next_entry(directory, path, &entry, err);
        if (rc == RC_OK && entry == NULL)
            break;
        if (rc == RC_OK)
            rc = add_entry(&listing, root_fd, folder_fd, path, entry->d_name, err);
        if (rc != RC_OK)
            return rc;
        if (goes_on != NULL && !goes_on(context))
            return err_set(err, RC_CANCELLED, "nobody waits for folder '%.180s' any more", path);
    }
    *ret_entries = listing.entry;
    *ret_count = listing.count;
    return RC_OK;
}

static enum rc folder_list(struct origin *origin, const char *path, struct arena *arena,
                           struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    return origin_folder_list(origin->needs.root_fd, path, NULL, NULL, arena, ret_entries, ret_count, err);
}

static void folder_close(struct origin *origin)
{
    close(origin->needs.root_fd);
    free(origin);
}

static const struct origin_ops folder_ops = {.close = folder_close,
                                             .list = folder_list,
                                             .visit = folder_visit,
                                             .open_blob = folder_open_blob,
                                             .stat_file = folder_stat_file};

enum rc origin_folder_open(int root_fd, struct origin **ret_origin, struct err *err)
{
    OWN_FD int fd = root_fd;
    struct origin *origin = calloc(1, sizeof *origin);
    if (origin == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the image directory");
    origin->ops = &folder_ops;
    origin->needs.root_fd = TAKE_FD(fd);
    *ret_origin = origin;
    return RC_OK;
}
