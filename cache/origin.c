#include "cache/origin.h"

#include "base/bytes.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

struct origin {
    int root_fd;
};

enum rc origin_open(const char *root_path, struct origin **ret_origin, struct err *err)
{
    OWN_FD int fd = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "the image directory %s cannot be opened", root_path);
    struct origin *origin = malloc(sizeof *origin);
    if (origin == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the image directory");
    origin->root_fd = TAKE_FD(fd);
    *ret_origin = origin;
    return RC_OK;
}

void origin_close(struct origin **origin)
{
    if (*origin != NULL)
        close((*origin)->root_fd);
    free(*origin);
    *origin = NULL;
}

int origin_root(const struct origin *origin)
{
    return origin->root_fd;
}

static int open_beneath(const struct origin *origin, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd;
    do
        fd = (int)syscall(SYS_openat2, origin->root_fd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a rename raced with the look-up */
    return fd;
}

static enum rc open_failed(const char *path, struct err *err)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* would lead out of the root */
    case ENAMETOOLONG:
    case EACCES:
    case EPERM:
    case ENXIO:
        return err_set(err, RC_NOT_FOUND, "there is no image '%s'", path);
    default:
        return err_set_errno(err, RC_IO, errno, "image '%s' cannot be opened", path);
    }
}

static enum rc version_of(int fd, const char *path, struct origin_version *ret_version, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return err_set_errno(err, RC_IO, errno, "image '%s' cannot be examined", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, RC_NOT_FOUND, "there is no image '%s'", path);
    *ret_version = (struct origin_version){
        .size_bytes = (uint64_t)status.st_size, .inode = status.st_ino, .modified = status.st_mtim};
    return RC_OK;
}

enum rc origin_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                         struct origin_version *ret_version, struct err *err)
{
    /* Non-blocking, so that a FIFO somebody left in the folder does not hold the thread until its writer comes. */
    OWN_FD int fd = open_beneath(origin, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(path, err);
    struct origin_version version;
    enum rc rc = version_of(fd, path, &version, err);
    if (rc == RC_OK)
        rc = image_blob_from_file(TAKE_FD(fd), ret_blob, err);
    if (rc == RC_OK)
        *ret_version = version;
    return rc;
}

enum rc origin_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                         struct err *err)
{
    OWN_FD int fd = open_beneath(origin, path, O_PATH);
    if (fd < 0)
        return open_failed(path, err);
    return version_of(fd, path, ret_version, err);
}

uint64_t origin_version_hash(const struct origin_version *version)
{
    const uint64_t words[] = {version->size_bytes, version->inode, (uint64_t)version->modified.tv_sec,
                              (uint64_t)version->modified.tv_nsec};
    return bytes_hash(BYTES_HASH_START, words, sizeof words);
}
