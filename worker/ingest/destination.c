#include "worker/ingest/destination.h"

#include "base/own.h"
#include "worker/ingest/bucket.h"
#include "worker/ingest/convert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define TEMPORARY_DIGITS 16
#define YOUNG_S          60

static void close_folder(DIR **folder)
{
    if (*folder != NULL)
        closedir(*folder);
}

/* Makes every folder of `path` from the byte `from` on. */
static enum rc make_folders(char *path, size_t from, struct err *err)
{
    for (char *slash = path + from;; *slash++ = '/') {
        slash = strchr(slash, '/');
        if (slash == path)
            continue;
        if (slash != NULL)
            *slash = '\0';
        struct stat st;
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return err_set_errno(err, RC_IO, errno, "the folder %s cannot be made", path);
        if (stat(path, &st) < 0)
            return err_set_errno(err, RC_IO, errno, "the folder %s cannot be read", path);
        if (!S_ISDIR(st.st_mode))
            return err_set_errno(err, RC_IO, ENOTDIR, "the folder %s cannot be made", path);
        if (slash == NULL)
            return RC_OK;
    }
}

enum rc ingest_destination_open(struct ingest_destination *destination, const char *path, bool is_dry_run,
                                struct err *err)
{
    struct stat st;
    OWN_FREE char *copy = strdup(path);
    *destination = (struct ingest_destination){.path = path};
    if (copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the destination's name");
    destination->is_remote = ingest_bucket_is_url(path);
    if (destination->is_remote)
        return RC_OK;
    bool is_there = stat(path, &st) == 0;
    if (!is_there && !is_dry_run) {
        enum rc rc = make_folders(copy, 0, err);
        if (rc != RC_OK)
            return rc;
        is_there = stat(path, &st) == 0;
    }
    if (!is_there)
        return is_dry_run && errno == ENOENT
                   ? RC_OK
                   : err_set_errno(err, RC_IO, errno, "the destination %s cannot be read", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, RC_IO, "the destination %s is no folder", path);
    destination->device = st.st_dev;
    destination->inode = st.st_ino;
    return RC_OK;
}

void ingest_destination_close(struct ingest_destination *destination)
{
    free(TAKE_PTR(destination->master));
    free(TAKE_PTR(destination->remote_master));
    free(TAKE_PTR(destination->folder));
}

static int by_id(const void *a, const void *b)
{
    const struct ingest_file_id *one = a, *other = b;
    if (one->device != other->device)
        return one->device < other->device ? -1 : 1;
    return one->inode < other->inode ? -1 : one->inode > other->inode;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum rc ingest_destination_guard(struct ingest_destination *destination, const struct ingest_sources *sources,
                                 struct err *err)
{
    struct ingest_file_id *master = calloc(sources->count + 1, sizeof *master);
    if (master == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu sources", sources->count);
    for (size_t i = 0; i < sources->count; i++)
        master[i] = (struct ingest_file_id){sources->item[i].device, sources->item[i].inode};
    qsort(master, sources->count, sizeof *master, by_id);
    destination->master = master;
    destination->remote_master = calloc(sources->count + 1, sizeof *destination->remote_master);
    if (destination->remote_master == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu sources", sources->count);
    for (size_t i = 0; i < sources->count; i++)
        if (sources->item[i].version != NULL)
            destination->remote_master[destination->remote_master_count++] = sources->item[i].path;
    qsort(destination->remote_master, destination->remote_master_count, sizeof *destination->remote_master,
          by_path);
    destination->master_count = sources->count;
    return RC_OK;
}

enum rc ingest_destination_path(const struct ingest_destination *destination, const char *name,
                                char **ret_path, struct err *err)
{
    const char *root = destination->path;
    const char *gap = root[strlen(root) - 1] == '/' ? "" : "/";
    if (asprintf(ret_path, "%s%s%s", root, gap, name) < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the name of a pyramid");
    return RC_OK;
}

enum rc ingest_destination_check(const struct ingest_destination *destination, const char *path,
                                 struct err *err)
{
    struct stat st;
    if (destination->is_remote) /* what else is there now, its carrier sees */
        return bsearch(&path, destination->remote_master, destination->remote_master_count, sizeof path,
                       by_path) == NULL
                   ? RC_OK
                   : err_set(err, RC_BAD_REQUEST, "refused, because its pyramid would replace a master");
    if (stat(path, &st) < 0)
        return RC_OK;
    if (!S_ISREG(st.st_mode))
        return err_set(err, RC_BAD_REQUEST, "refused, because what has the name of its pyramid is no file");
    struct ingest_file_id id = {st.st_dev, st.st_ino};
    if (bsearch(&id, destination->master, destination->master_count, sizeof id, by_id) != NULL)
        return err_set(err, RC_BAD_REQUEST, "refused, because its pyramid would replace a master");
    return RC_OK;
}

static bool is_temporary_name(const char *name)
{
    size_t prefix = strlen(INGEST_TEMPORARY_PREFIX);
    return strncmp(name, INGEST_TEMPORARY_PREFIX, prefix) == 0 &&
           strspn(name + prefix, "0123456789abcdef") == TEMPORARY_DIGITS &&
           strlen(name) == prefix + TEMPORARY_DIGITS;
}

/* What runs have left that were killed, and whose sources may never come again. A file that somebody writes
 * is locked; a young one may be about to be. */
static void sweep(const char *folder)
{
    OWN(close_folder) DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        struct stat st;
        if (!is_temporary_name(entry->d_name))
            continue;
        OWN_FD int fd = openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > YOUNG_S &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
}

enum rc ingest_destination_make_folder(struct ingest_destination *destination, const char *name,
                                       struct err *err)
{
    OWN_FREE char *path = NULL;
    if (destination->is_remote)
        return RC_OK;
    enum rc rc = ingest_destination_path(destination, name, &path, err);
    if (rc != RC_OK)
        return rc;
    *strrchr(path, '/') = '\0';
    if (destination->folder != NULL && strcmp(destination->folder, path) == 0)
        return RC_OK;
    size_t root = strlen(destination->path);
    if (strlen(path) > root)
        rc = make_folders(path, root + 1, err);
    if (rc != RC_OK)
        return rc;
    sweep(path[0] != '\0' ? path : "/");
    free(destination->folder);
    destination->folder = TAKE_PTR(path);
    return RC_OK;
}

bool ingest_destination_is_lost(const struct ingest_destination *destination, int os_errno, struct err *err)
{
    struct stat st;
    if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EROFS) {
        err_set_errno(err, RC_IO, os_errno, "nothing more can be written to %s",
                      destination->is_remote ? destination->scratch : destination->path);
        return true;
    }
    if (destination->is_remote)
        return false;
    if (stat(destination->path, &st) < 0) {
        err_set_errno(err, RC_IO, errno, "the destination %s has gone away", destination->path);
        return true;
    }
    if (st.st_dev != destination->device || st.st_ino != destination->inode) {
        err_set(err, RC_IO, "the destination %s is not the folder that it was", destination->path);
        return true;
    }
    return false;
}
