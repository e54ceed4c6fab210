/* A folder whose files are read where they are. */
#include "cache/origin_kinds.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

static int open_beneath(int root_fd, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd;
    do
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
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

static void folder_close(struct origin *origin)
{
    close(origin->needs.root_fd);
    free(origin);
}

static const struct origin_ops folder_ops = {
    .close = folder_close, .open_blob = folder_open_blob, .stat_file = folder_stat_file};

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
