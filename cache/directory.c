#include "cache/directory.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const folder_name[CACHE_FOLDERS] = {"index",   "blocks",   "derivatives",
                                                       "gateway", "manifest", "gallery"};

static enum rc open_folder(int directory, const char *path, const char *name, uid_t user, gid_t group,
                           int *ret_fd, struct err *err)
{
    if (mkdirat(directory, name, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, RC_IO, errno, "cache: the folder %s/%s cannot be made", path, name);
    OWN_FD int fd = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_errno(err, RC_IO, errno, "cache: the folder %s/%s cannot be opened", path, name);
    bool is_theirs = (user == (uid_t)-1 || st.st_uid == user) && (group == (gid_t)-1 || st.st_gid == group);
    if (!is_theirs && fchownat(fd, "", user, group, AT_EMPTY_PATH) < 0)
        return err_set_errno(err, RC_IO, errno, "cache: the folder %s/%s cannot be given to its user", path,
                             name);
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

enum rc cache_directory_open(const char *path, uid_t user, gid_t group, struct cache_directory *ret_directory,
                             struct err *err)
{
    OWN(cache_directory_close) struct cache_directory opened = CACHE_DIRECTORY_NONE;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_set_errno(err, RC_IO, errno, "cache: the directory %s cannot be made", path);
    opened.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (opened.fd < 0)
        return err_set_errno(err, RC_IO, errno, "cache: the directory %s cannot be opened", path);
    for (size_t i = 0; i < CACHE_FOLDERS; i++) {
        enum rc rc = open_folder(opened.fd, path, folder_name[i], user, group, &opened.folder[i], err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_directory = opened;
    opened = CACHE_DIRECTORY_NONE; /* NOLINT(clang-analyzer-deadcode.DeadStores): its cleanup reads it */
    return RC_OK;
}

void cache_directory_close(struct cache_directory *directory)
{
    if (directory->fd >= 0)
        close(directory->fd);
    for (size_t i = 0; i < CACHE_FOLDERS; i++)
        if (directory->folder[i] >= 0)
            close(directory->folder[i]);
    *directory = CACHE_DIRECTORY_NONE;
}

void cache_directory_path(const struct cache_directory *directory, enum cache_folder folder,
                          char ret_path[CACHE_DIRECTORY_PATH_BYTES])
{
    snprintf(ret_path, CACHE_DIRECTORY_PATH_BYTES, "/proc/self/fd/%d", directory->folder[folder]);
}
