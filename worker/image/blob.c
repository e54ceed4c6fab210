#include "worker/image/blob.h"

#include "base/fdio.h"
#include "base/own.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* --- a file --------------------------------------------------------------------------------------------------- */

struct file_blob {
    struct image_blob blob;
    int fd;
};

/* From the page cache, or not at all. */
static enum rc file_read_resident(int fd, void *data, size_t length, uint64_t offset, struct err *err)
{
    struct iovec part = {.iov_base = data, .iov_len = length};
    ssize_t count = preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT);
    if (count == (ssize_t)length)
        return RC_OK;
    /* Also where the file system does not know the flag: a thread that may block reads again and sees what is
     * wrong. */
    return err_set_errno(err, RC_BUSY, count < 0 ? errno : EAGAIN, "the bytes are not in memory");
}

static enum rc file_read(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                         enum image_blob_patience patience, struct err *err)
{
    const struct file_blob *file = (const struct file_blob *)blob;
    return patience == IMAGE_BLOB_MAY_BLOCK ? fdio_pread_exact(file->fd, data, length, offset, err)
                                            : file_read_resident(file->fd, data, length, offset, err);
}

static void file_close(struct image_blob *blob)
{
    struct file_blob *file = (struct file_blob *)blob;
    close(file->fd);
    free(file);
}

static const struct image_blob_ops file_ops = {.read = file_read, .close = file_close};

enum rc image_blob_from_file(int fd, struct image_blob **ret_blob, struct err *err)
{
    OWN_FD int own_fd = fd;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_set_errno(err, RC_IO, errno, "the source cannot be looked at");
    if (!S_ISREG(status.st_mode))
        return err_set(err, RC_UNSUPPORTED, "the source is not a regular file");
    struct file_blob *file = malloc(sizeof *file);
    if (file == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to open a source");
    *file = (struct file_blob){.blob = {.ops = &file_ops, .size_bytes = (uint64_t)status.st_size},
                               .fd = TAKE_FD(own_fd)};
    *ret_blob = &file->blob;
    return RC_OK;
}

/* --- any blob ------------------------------------------------------------------------------------------------- */

void image_blob_close(struct image_blob **blob)
{
    if (*blob != NULL)
        (*blob)->ops->close(*blob);
    *blob = NULL;
}

static _Thread_local uint64_t thread_bytes;

uint64_t image_blob_thread_bytes(void)
{
    return thread_bytes;
}

static enum rc blob_read(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                         enum image_blob_patience patience, struct err *err)
{
    if (offset > blob->size_bytes || length > blob->size_bytes - offset)
        return err_set(err, RC_CORRUPT, "the file ends before byte %llu",
                       (unsigned long long)(offset + length));
    enum rc rc = blob->ops->read(blob, data, length, offset, patience, err);
    if (rc == RC_OK)
        thread_bytes += length;
    else if (rc == RC_AWAY)
        atomic_fetch_add_explicit(&blob->away_reads, 1, memory_order_relaxed);
    return rc;
}

enum rc image_blob_read(struct image_blob *blob, void *data, size_t length, uint64_t offset, struct err *err)
{
    return blob_read(blob, data, length, offset, IMAGE_BLOB_MAY_BLOCK, err);
}

enum rc image_blob_read_resident(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                                 struct err *err)
{
    return blob_read(blob, data, length, offset, IMAGE_BLOB_NEVER_WAITS, err);
}

bool image_blob_want(struct image_blob *blob, uint64_t offset, uint64_t length)
{
    if (blob->ops->want == NULL || offset >= blob->size_bytes)
        return true;
    uint64_t left = blob->size_bytes - offset;
    return blob->ops->want(blob, offset, length < left ? length : left);
}
