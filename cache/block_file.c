#include "cache/block_file.h"

#include "base/fdio.h"
#include "base/own.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* twice as fast where the processor has AVX2 */
#endif

#define MAGIC        "vitblk\r\n"
#define LAYOUT       1u
#define HEADER_BYTES 4096u
#define MOST_BLOCKS  (UINT64_C(1) << 27) /* 4 TiB of source; the table is 1 GiB then */

struct header {
    char magic[8];
    uint32_t layout, block_bytes;
    uint64_t size_bytes, inode;
    int64_t modified_s, modified_ns;
    char etag[TRANSPORT_ETAG_BYTES];
    char name[BLOCK_NAME_BYTES];
    uint64_t checksum; /* of all before it */
    int64_t confirmed_ms;
};
static_assert(sizeof(struct header) <= HEADER_BYTES, "the header fits");
static_assert(offsetof(struct header, checksum) == 48 + TRANSPORT_ETAG_BYTES + BLOCK_NAME_BYTES, "no holes");
static_assert(offsetof(struct header, confirmed_ms) % 8 == 0, "written in one piece");

/* Per block, for this process. */
enum { UNSEEN, VERIFIED, IN_MEMORY };

typedef _Atomic(uint8_t *) kept_block;

struct block_file {
    int fd;                 /* -1: all in memory */
    atomic_bool is_failing; /* the disk could not be read: nothing is read from it, or put there, any more */
    uint64_t count, blocks_at;
    struct block_subject subject;
    struct block_memory *memory;
    _Atomic int64_t confirmed_ms; /* where there is no file */
    _Atomic(kept_block *) kept;   /* blocks in memory, one place per block; NULL until the first */
    atomic_uchar state[];
};

/* ---- header ---- */

void block_file_letters(const char *name, char ret_letters[BLOCK_FILE_LETTERS + 1])
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));
    snprintf(ret_letters, BLOCK_FILE_LETTERS + 1, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static void header_make(const struct block_subject *subject, struct header *header)
{
    memset(header, 0, sizeof *header);
    memcpy(header->magic, MAGIC, sizeof header->magic);
    header->layout = LAYOUT;
    header->block_bytes = BLOCK_BYTES;
    header->size_bytes = subject->version.size_bytes;
    header->inode = subject->version.inode;
    header->modified_s = subject->version.modified.tv_sec;
    header->modified_ns = subject->version.modified.tv_nsec;
    snprintf(header->etag, sizeof header->etag, "%s", subject->etag);
    snprintf(header->name, sizeof header->name, "%s", subject->name);
    header->checksum = XXH3_64bits(header, offsetof(struct header, checksum));
}

bool block_file_header_read(const uint8_t *bytes, size_t length, struct block_subject *ret_subject)
{
    struct header header;
    if (length < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof header.magic) != 0 || header.layout != LAYOUT ||
        header.block_bytes != BLOCK_BYTES ||
        header.checksum != XXH3_64bits(&header, offsetof(struct header, checksum)))
        return false;
    if (header.size_bytes / BLOCK_BYTES >= MOST_BLOCKS || header.modified_ns < 0 ||
        header.modified_ns > 999999999 || header.etag[sizeof header.etag - 1] != '\0' ||
        header.name[sizeof header.name - 1] != '\0')
        return false;
    struct block_subject subject = {
        .version = {.size_bytes = header.size_bytes,
                    .inode = header.inode,
                    .modified = {.tv_sec = header.modified_s, .tv_nsec = header.modified_ns}}};
    memcpy(subject.etag, header.etag, sizeof subject.etag);
    memcpy(subject.name, header.name, sizeof subject.name);
    *ret_subject = subject;
    return true;
}

/* ---- coming and going ---- */

static enum rc file_new(const struct block_subject *subject, struct block_memory *memory,
                        struct block_file **ret_file, struct err *err)
{
    uint64_t count = (subject->version.size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    if (count > MOST_BLOCKS)
        return err_set(err, RC_TOO_LARGE, "the source is too large to be fetched in parts: %llu bytes",
                       (unsigned long long)subject->version.size_bytes);
    struct block_file *file = calloc(1, sizeof *file + count);
    if (file == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the blocks of a source");
    file->fd = -1;
    file->count = count;
    file->blocks_at = (HEADER_BYTES + count * sizeof(uint64_t) + HEADER_BYTES - 1) / HEADER_BYTES *
                      HEADER_BYTES;
    file->subject = *subject;
    file->memory = memory;
    *ret_file = file;
    return RC_OK;
}

/* After a write that failed. */
static void note_full(struct block_memory *memory)
{
    if (errno == ENOSPC || errno == EDQUOT)
        atomic_store_explicit(&memory->disk_is_full, true, memory_order_relaxed);
}

/* Writes the header under a name of its own and then renames. False: it cannot be, and errno says why. */
static bool file_make(int directory_fd, const struct block_file *file, int *ret_fd)
{
    static atomic_uint made;
    char letters[BLOCK_FILE_LETTERS + 1], temporary[64];
    struct header header;
    block_file_letters(file->subject.name, letters);
    snprintf(temporary, sizeof temporary, ".%d-%u", (int)getpid(), atomic_fetch_add(&made, 1));
    OWN_FD int fd = openat(directory_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    header_make(&file->subject, &header);
    /* To its full length at once: a block that is read and is not there is then zeros, not the end of the file. */
    bool made_it = fdio_write_all(fd, &header, sizeof header, NULL) == RC_OK &&
                   ftruncate(fd, (off_t)(file->blocks_at + file->count * BLOCK_BYTES)) == 0 &&
                   renameat(directory_fd, temporary, directory_fd, letters) == 0;
    int os_errno = errno;
    if (!made_it)
        unlinkat(directory_fd, temporary, 0);
    else
        *ret_fd = TAKE_FD(fd);
    errno = os_errno;
    return made_it;
}

enum rc block_file_create(int directory_fd, const struct block_subject *subject, struct block_memory *memory,
                          struct block_file **ret_file, struct err *err)
{
    struct block_file *file = NULL;
    enum rc rc = file_new(subject, memory, &file, err);
    if (rc != RC_OK)
        return rc;
    if (directory_fd >= 0 && !file_make(directory_fd, file, &file->fd)) {
        note_full(memory);
        file->fd = -1;
    }
    *ret_file = file;
    return RC_OK;
}

enum rc block_file_open(int directory_fd, const char *name, struct block_memory *memory,
                        struct block_file **ret_file, struct err *err)
{
    char letters[BLOCK_FILE_LETTERS + 1];
    uint8_t header[sizeof(struct header)];
    struct block_subject subject;
    block_file_letters(name, letters);
    OWN_FD int fd = directory_fd < 0 ? -1 : openat(directory_fd, letters, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fdio_pread_exact(fd, header, sizeof header, 0, NULL) != RC_OK ||
        !block_file_header_read(header, sizeof header, &subject) || strcmp(subject.name, name) != 0)
        return err_set(err, RC_NOT_FOUND, "nothing is kept of '%.150s'", name);
    struct block_file *file = NULL;
    enum rc rc = file_new(&subject, memory, &file, err);
    if (rc != RC_OK)
        return rc;
    struct stat status;
    if (fstat(fd, &status) != 0 || (uint64_t)status.st_size != file->blocks_at + file->count * BLOCK_BYTES) {
        block_file_close(&file);
        return err_set(err, RC_NOT_FOUND, "what is kept of '%.150s' was cut off", name);
    }
    futimens(fd, NULL); /* recently used; eviction looks at it */
    file->fd = TAKE_FD(fd);
    *ret_file = file;
    return RC_OK;
}

bool block_file_is_deleted(const struct block_file *file)
{
    struct stat status;
    return file->fd >= 0 && fstat(file->fd, &status) == 0 && status.st_nlink == 0;
}

void block_file_close(struct block_file **slot)
{
    struct block_file *file = TAKE_PTR(*slot);
    if (file == NULL)
        return;
    kept_block *kept = atomic_load_explicit(&file->kept, memory_order_acquire);
    for (uint64_t i = 0; kept != NULL && i < file->count; i++) {
        uint8_t *block = atomic_load_explicit(&kept[i], memory_order_relaxed);
        if (block != NULL)
            atomic_fetch_sub_explicit(&file->memory->used_bytes, BLOCK_BYTES, memory_order_relaxed);
        free(block);
    }
    free(kept);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
}

const struct block_subject *block_file_subject(const struct block_file *file)
{
    return &file->subject;
}

uint64_t block_file_count(const struct block_file *file)
{
    return file->count;
}

static bool is_on_disk(struct block_file *file)
{
    return file->fd >= 0 && !atomic_load_explicit(&file->is_failing, memory_order_relaxed);
}

static bool read_or_fail(struct block_file *file, void *data, size_t length, uint64_t offset)
{
    if (!is_on_disk(file))
        return false;
    enum rc rc = fdio_pread_exact(file->fd, data, length, offset, NULL);
    if (rc == RC_IO)
        atomic_store_explicit(&file->is_failing, true, memory_order_relaxed);
    return rc == RC_OK;
}

int64_t block_file_confirmed_ms(struct block_file *file)
{
    int64_t wall_ms;
    return read_or_fail(file, &wall_ms, sizeof wall_ms, offsetof(struct header, confirmed_ms))
               ? wall_ms
               : atomic_load_explicit(&file->confirmed_ms, memory_order_relaxed);
}

void block_file_confirm(struct block_file *file, int64_t wall_ms)
{
    atomic_store_explicit(&file->confirmed_ms, wall_ms, memory_order_relaxed);
    if (file->fd >= 0 &&
        pwrite(file->fd, &wall_ms, sizeof wall_ms, offsetof(struct header, confirmed_ms)) < 0)
        return; /* then it is confirmed again, by the next who asks */
}

/* ---- blocks ---- */

static size_t block_length(const struct block_file *file, uint64_t block)
{
    uint64_t left = file->subject.version.size_bytes - block * BLOCK_BYTES;
    return left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
}

static uint64_t checksum_of(const void *data, size_t length, uint64_t block)
{
    uint64_t sum = XXH3_64bits_withSeed(data, length, block + 1);
    return sum != 0 ? sum : 1;
}

/* Where the block's checksum stands; 0 when it is not here. */
static uint64_t entry_of(struct block_file *file, uint64_t block)
{
    uint64_t entry = 0;
    return read_or_fail(file, &entry, sizeof entry, HEADER_BYTES + block * 8) ? entry : 0;
}

/* Compares a block with its checksum, once per process. False: it is not here. */
static bool verify(struct block_file *file, uint64_t block)
{
    if (atomic_load_explicit(&file->state[block], memory_order_acquire) != UNSEEN)
        return true;
    uint64_t entry = entry_of(file, block);
    size_t length = block_length(file, block);
    OWN_FREE uint8_t *data = entry != 0 ? malloc(length) : NULL;
    if (data == NULL || !read_or_fail(file, data, length, file->blocks_at + block * BLOCK_BYTES) ||
        checksum_of(data, length, block) != entry)
        return false;
    unsigned char unseen = UNSEEN;
    atomic_compare_exchange_strong(&file->state[block], &unseen, VERIFIED);
    return true;
}

static const uint8_t *kept_at(struct block_file *file, uint64_t block)
{
    kept_block *kept = atomic_load_explicit(&file->kept, memory_order_acquire);
    return atomic_load_explicit(&kept[block], memory_order_acquire);
}

bool block_file_has(struct block_file *file, uint64_t block)
{
    return verify(file, block);
}

static enum rc read_from_disk(const struct block_file *file, void *data, size_t length, uint64_t offset,
                              enum image_blob_patience patience, struct err *err)
{
    if (patience == IMAGE_BLOB_MAY_BLOCK)
        return fdio_pread_exact(file->fd, data, length, file->blocks_at + offset, err);
    struct iovec part = {.iov_base = data, .iov_len = length};
    ssize_t count = preadv2(file->fd, &part, 1, (off_t)(file->blocks_at + offset), RWF_NOWAIT);
    return count == (ssize_t)length ? RC_OK : err_set(err, RC_BUSY, "the bytes are not in memory");
}

enum rc block_file_read(struct block_file *file, void *data, size_t length, uint64_t offset,
                        enum image_blob_patience patience, struct err *err)
{
    uint8_t *to = data;
    while (length > 0) {
        uint64_t block = offset / BLOCK_BYTES;
        size_t inside = offset % BLOCK_BYTES,
               some = BLOCK_BYTES - inside < length ? BLOCK_BYTES - inside : length;
        if (patience == IMAGE_BLOB_NEVER_WAITS &&
            atomic_load_explicit(&file->state[block], memory_order_acquire) == UNSEEN)
            return err_set(err, RC_BUSY, "the bytes have not been looked at yet");
        if (!verify(file, block))
            return err_set(err, RC_AWAY, "parts of the source have to be fetched first");
        enum rc rc = RC_OK;
        if (atomic_load_explicit(&file->state[block], memory_order_acquire) == IN_MEMORY)
            memcpy(to, kept_at(file, block) + inside, some);
        else
            rc = read_from_disk(file, to, some, offset, patience, err);
        if (rc == RC_IO || rc == RC_CORRUPT) { /* the disk has lost it: the origin still has it */
            unsigned char verified = VERIFIED; /* by now it may have come again, and be in memory */
            atomic_compare_exchange_strong(&file->state[block], &verified, UNSEEN);
            uint64_t none = 0;
            if (rc == RC_IO)
                atomic_store_explicit(&file->is_failing, true, memory_order_relaxed);
            else if (pwrite(file->fd, &none, sizeof none, (off_t)(HEADER_BYTES + block * 8)) < 0)
                return rc;
            return err_set(err, RC_AWAY, "parts of the source have to be fetched again");
        }
        if (rc != RC_OK)
            return rc;
        to += some;
        offset += some;
        length -= some;
    }
    return RC_OK;
}

static bool pwrite_all(int fd, const void *data, size_t length, uint64_t offset)
{
    const uint8_t *from = data;
    while (length > 0) {
        ssize_t n = pwrite(fd, from, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return true;
}

/* The places for blocks in memory, made by whoever needs the first. */
static kept_block *kept_places(struct block_file *file)
{
    kept_block *kept = atomic_load_explicit(&file->kept, memory_order_acquire);
    if (kept != NULL)
        return kept;
    kept_block *made = calloc(file->count, sizeof *made);
    if (made != NULL && !atomic_compare_exchange_strong(&file->kept, &kept, made)) {
        free(made);
        return kept;
    }
    return made;
}

static enum rc keep_in_memory(struct block_file *file, uint64_t block, const void *data, size_t length,
                              struct err *err)
{
    kept_block *kept = kept_places(file);
    if (kept == NULL ||
        atomic_load_explicit(&file->memory->used_bytes, memory_order_relaxed) >= file->memory->most_bytes)
        return err_set(err, RC_NO_MEMORY,
                       "neither the cache directory nor memory has room for what was fetched");
    uint8_t *copy = malloc(length);
    if (copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for what was fetched");
    memcpy(copy, data, length);
    uint8_t *none = NULL;
    if (!atomic_compare_exchange_strong(&kept[block], &none, copy)) { /* somebody was as quick */
        free(copy);
        return RC_OK;
    }
    atomic_fetch_add_explicit(&file->memory->used_bytes, BLOCK_BYTES, memory_order_relaxed);
    atomic_store_explicit(&file->state[block], IN_MEMORY, memory_order_release);
    return RC_OK;
}

enum rc block_file_write(struct block_file *file, uint64_t block, const void *data, struct err *err)
{
    assert(block < file->count);
    size_t length = block_length(file, block);
    if (atomic_load_explicit(&file->state[block], memory_order_acquire) != UNSEEN)
        return RC_OK;
    uint64_t entry = checksum_of(data, length, block);
    if (is_on_disk(file) && pwrite_all(file->fd, data, length, file->blocks_at + block * BLOCK_BYTES) &&
        pwrite_all(file->fd, &entry, sizeof entry, HEADER_BYTES + block * 8)) {
        atomic_store_explicit(&file->state[block], VERIFIED, memory_order_release);
        return RC_OK;
    }
    if (file->fd >= 0)
        note_full(file->memory);
    return keep_in_memory(file, block, data, length, err);
}
