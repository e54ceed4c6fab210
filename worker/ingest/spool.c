#include "worker/ingest/spool.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#define HOLD_BYTES ((size_t)128 << 10) /* a level that is no larger needs no file */
#define MORE_BYTES ((size_t)16 << 10)  /* once there is one */
#define COPY_BYTES ((size_t)256 << 10)

void ingest_spool_init(struct ingest_spool *spool, const char *folder)
{
    *spool = (struct ingest_spool){.folder = folder, .fd = -1};
}

void ingest_spool_done(struct ingest_spool *spool)
{
    own_close(&spool->fd);
    bytes_done(&spool->held);
    spool->fd = -1;
}

static enum rc rc_of_errno(int code)
{
    return code == ENOENT || code == ENOTDIR                  ? RC_NOT_FOUND
           : code == EACCES || code == EPERM || code == EROFS ? RC_FORBIDDEN
                                                              : RC_IO;
}

enum rc ingest_spool_file(const char *folder, int *ret_fd, struct err *err)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) { /* NFS, old kernels */
        OWN_FREE char *path = NULL;
        if (asprintf(&path, "%s/.ingest-XXXXXX", folder) < 0) {
            path = NULL;
            return err_set(err, RC_NO_MEMORY, "no memory for the name of a temporary file");
        }
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return err_set_errno(err, rc_of_errno(errno), errno,
                             "no temporary file can be made in the destination's folder");
    *ret_fd = fd;
    return RC_OK;
}

enum rc ingest_spool_write_at(int fd, const void *data, size_t length, uint64_t offset, struct err *err)
{
    const uint8_t *from = data;

    while (length > 0) {
        ssize_t written = pwrite(fd, from, length, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return err_set_errno(err, RC_IO, written < 0 ? errno : ENOSPC,
                                 "the destination cannot be written");
        from += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return RC_OK;
}

static enum rc flush(struct ingest_spool *spool, struct err *err)
{
    enum rc rc = RC_OK;

    if (spool->held.length == 0)
        return RC_OK;
    if (spool->fd < 0)
        rc = ingest_spool_file(spool->folder, &spool->fd, err);
    if (rc == RC_OK)
        rc = ingest_spool_write_at(spool->fd, spool->held.data, spool->held.length, spool->file_bytes, err);
    if (rc != RC_OK)
        return rc;
    spool->file_bytes += spool->held.length;
    spool->held.length = 0;
    return RC_OK;
}

enum rc ingest_spool_append(struct ingest_spool *spool, const void *data, size_t length, struct err *err)
{
    bool fits = spool->held.length + length <= (spool->fd < 0 ? HOLD_BYTES : MORE_BYTES);
    enum rc rc = fits ? RC_OK : flush(spool, err);

    if (rc != RC_OK)
        return rc;
    if (!fits)
        bytes_done(&spool->held);
    if (spool->fd >= 0 && length > MORE_BYTES) {
        rc = ingest_spool_write_at(spool->fd, data, length, spool->file_bytes, err);
        spool->file_bytes += rc == RC_OK ? length : 0;
    } else {
        rc = bytes_append(&spool->held, data, length, err);
    }
    if (rc == RC_OK)
        spool->length_bytes += length;
    return rc;
}

/* For file systems that copy_file_range() cannot serve. */
static enum rc copy_by_hand(int from, int to, uint64_t from_offset, uint64_t to_offset, uint64_t length,
                            struct err *err)
{
    OWN_FREE uint8_t *buffer = malloc(COPY_BYTES);

    if (buffer == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to copy tiles");
    while (length > 0) {
        ssize_t count = pread(from, buffer, length < COPY_BYTES ? (size_t)length : COPY_BYTES,
                              (off_t)from_offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return err_set_errno(err, RC_IO, count < 0 ? errno : EIO, "a temporary file cannot be read back");
        enum rc rc = ingest_spool_write_at(to, buffer, (size_t)count, to_offset, err);
        if (rc != RC_OK)
            return rc;
        from_offset += (uint64_t)count;
        to_offset += (uint64_t)count;
        length -= (uint64_t)count;
    }
    return RC_OK;
}

static enum rc copy_file(int from, int to, uint64_t to_offset, uint64_t length, struct err *err)
{
    off_t read_at = 0, write_at = (off_t)to_offset;

    while (length > 0) {
        ssize_t count = copy_file_range(from, &read_at, to, &write_at,
                                        (size_t)(length < SSIZE_MAX ? length : SSIZE_MAX), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            bool unable = count == 0 || errno == EXDEV || errno == ENOSYS || errno == EINVAL ||
                          errno == EOPNOTSUPP || errno == EPERM;
            return unable ? copy_by_hand(from, to, (uint64_t)read_at, (uint64_t)write_at, length, err)
                          : err_set_errno(err, RC_IO, errno, "the destination cannot be written");
        }
        length -= (uint64_t)count;
    }
    return RC_OK;
}

enum rc ingest_spool_copy(const struct ingest_spool *spool, int fd, uint64_t offset, struct err *err)
{
    enum rc rc = spool->file_bytes > 0 ? copy_file(spool->fd, fd, offset, spool->file_bytes, err) : RC_OK;

    return rc == RC_OK ? ingest_spool_write_at(fd, spool->held.data, spool->held.length,
                                               offset + spool->file_bytes, err)
                       : rc;
}
