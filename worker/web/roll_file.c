#include "worker/web/roll_file.h"

#include "base/own.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char name[] = "names-1";
static const char temporary[] = "names-1.new"; /* written by whoever holds the lock */

struct header {
    char magic[8];
    uint64_t root, count;
    int64_t walked_s, took_ms;
    uint64_t is_cut;
    uint64_t text_bytes; /* of the lines, and again of the folded lines */
    uint64_t checksum;   /* of everything else */
};
static_assert(sizeof(struct header) == 64, "the layout of the file");

static const char magic[8] = "VTRROLL1";

static uint64_t checksum_of(const struct header *header, const uint8_t *texts)
{
    struct header bare = *header;
    bare.checksum = 0;
    return XXH3_64bits_withSeed(texts, (size_t)(2 * header->text_bytes), XXH3_64bits(&bare, sizeof bare));
}

static void unmap(void **base, size_t bytes)
{
    if (*base != NULL)
        munmap(*base, bytes);
    *base = NULL;
}

/* Takes the mapping over, which is `base_bytes` long and holds a whole roll. */
static struct web_roll_file *adopt(void *base, size_t base_bytes)
{
    const struct header *header = base;
    struct web_roll_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        unmap(&base, base_bytes);
        return NULL;
    }
    const uint8_t *line = (const uint8_t *)base + sizeof *header;
    *file = (struct web_roll_file){
        .text = {.line = line, .folded = line + header->text_bytes, .length = (size_t)header->text_bytes},
        .count = header->count,
        .walked_s = header->walked_s,
        .took_ms = header->took_ms,
        .is_cut = header->is_cut != 0,
        .base = base,
        .base_bytes = base_bytes,
        .references = 1,
    };
    return file;
}

static enum rc write_all(int fd, const uint8_t *data, size_t length, struct err *err)
{
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return err_set_errno(err, RC_IO, errno, "the list of names cannot be written");
        data += written;
        length -= (size_t)written;
    }
    return RC_OK;
}

static enum rc store(int folder_fd, struct web_roll_file *file, struct err *err)
{
    struct stat status;
    OWN_FD int fd = openat(folder_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &status) != 0)
        return err_set_errno(err, RC_IO, errno, "the list of names cannot be written");
    enum rc rc = write_all(fd, file->base, file->base_bytes, err);
    if (rc == RC_OK && renameat(folder_fd, temporary, folder_fd, name) != 0)
        rc = err_set_errno(err, RC_IO, errno, "the list of names cannot be written");
    if (rc != RC_OK)
        (void)unlinkat(folder_fd, temporary, 0);
    else
        file->inode = status.st_ino;
    return rc;
}

enum rc web_roll_file_make(int folder_fd, const struct web_roll_walked *walked, struct bytes *lines,
                           struct web_roll_file **ret_file, struct err *err)
{
    size_t base_bytes = sizeof(struct header) + 2 * lines->length;
    void *base = mmap(NULL, base_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_set(err, RC_NO_MEMORY, "no memory for the list of names");
    struct header *header = base;
    uint8_t *texts = (uint8_t *)base + sizeof *header;
    if (lines->length > 0) {
        memcpy(texts, lines->data, lines->length);
        memcpy(texts + lines->length, lines->data, lines->length);
    }
    web_roll_fold(texts + lines->length, lines->length);
    *header = (struct header){.root = walked->root,
                              .count = walked->count,
                              .walked_s = walked->walked_s,
                              .took_ms = walked->took_ms,
                              .is_cut = walked->is_cut,
                              .text_bytes = lines->length};
    memcpy(header->magic, magic, sizeof magic);
    header->checksum = checksum_of(header, texts);
    bytes_done(lines);
    struct web_roll_file *file = adopt(base, base_bytes);
    if (file == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the list of names");
    if (folder_fd >= 0)
        (void)!store(folder_fd, file, err);
    *ret_file = file;
    return RC_OK;
}

static enum rc missing(struct err *err)
{
    return err_set(err, RC_NOT_FOUND, "there is no list of names");
}

enum rc web_roll_file_open(int folder_fd, uint64_t root, struct web_roll_file **ret_file, struct err *err)
{
    struct stat status;
    OWN_FD int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (size_t)status.st_size < sizeof(struct header))
        return missing(err);
    size_t base_bytes = (size_t)status.st_size;
    void *base = mmap(NULL, base_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return missing(err);
    const struct header *header = base;
    uint64_t most = (base_bytes - sizeof *header) / 2;
    if (memcmp(header->magic, magic, sizeof magic) != 0 || header->root != root ||
        header->text_bytes > most || sizeof *header + 2 * header->text_bytes != base_bytes ||
        header->checksum != checksum_of(header, (const uint8_t *)base + sizeof *header)) {
        unmap(&base, base_bytes);
        return missing(err);
    }
    struct web_roll_file *file = adopt(base, base_bytes);
    if (file == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the list of names");
    file->inode = status.st_ino;
    *ret_file = file;
    return RC_OK;
}

uint64_t web_roll_file_inode(int folder_fd)
{
    struct stat status;
    return folder_fd >= 0 && fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

void web_roll_file_release(struct web_roll_file **file)
{
    struct web_roll_file *released = TAKE_PTR(*file);
    if (released == NULL || atomic_fetch_sub(&released->references, 1) != 1)
        return;
    unmap(&released->base, released->base_bytes);
    free(released);
}
