#include "shm/journal.h"

#include "base/own.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

struct shm_journal {
    int fd;
    uint32_t count;
    struct shm_journal_slot *slot;
};

static enum rc map_journal(int taken_fd, uint32_t slots, struct shm_journal **ret_journal, struct err *err)
{
    OWN_FD int fd = taken_fd;
    OWN_FREE struct shm_journal *journal = malloc(sizeof *journal);
    if (journal == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the journal");
    size_t bytes = (size_t)slots * sizeof(struct shm_journal_slot);
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (mapped == MAP_FAILED)
        return err_set_errno(err, RC_NO_MEMORY, errno, "the journal of %u connections cannot be mapped",
                             slots);
    *journal = (struct shm_journal){.fd = TAKE_FD(fd), .count = slots, .slot = mapped};
    *ret_journal = TAKE_PTR(journal);
    return RC_OK;
}

enum rc shm_journal_make(uint32_t slots, struct shm_journal **ret_journal, struct err *err)
{
    OWN_FD int fd = memfd_create("vitrine journal", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)slots * (off_t)sizeof(struct shm_journal_slot)) < 0)
        return err_set_errno(err, RC_NO_MEMORY, errno, "the journal of %u connections cannot be made", slots);
    return map_journal(TAKE_FD(fd), slots, ret_journal, err);
}

enum rc shm_journal_inherit(int taken_fd, uint32_t slots, struct shm_journal **ret_journal, struct err *err)
{
    OWN_FD int fd = taken_fd;
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_size != (off_t)slots * (off_t)sizeof(struct shm_journal_slot))
        return err_set(err, RC_CORRUPT, "the journal that was handed over is not one of %u connections",
                       slots);
    return map_journal(TAKE_FD(fd), slots, ret_journal, err);
}

int shm_journal_fd(const struct shm_journal *journal)
{
    return journal->fd;
}

void shm_journal_free(struct shm_journal **journal)
{
    struct shm_journal *freed = TAKE_PTR(*journal);
    if (freed == NULL)
        return;
    munmap(freed->slot, (size_t)freed->count * sizeof *freed->slot);
    close(freed->fd);
    free(freed);
}

struct shm_journal_slot *shm_journal_slot(struct shm_journal *journal, uint64_t connection_id)
{
    uint32_t place = (uint32_t)connection_id;
    return place < journal->count ? &journal->slot[place] : NULL;
}

void shm_journal_begin(struct shm_journal_slot *slot, uint64_t connection_id)
{
    atomic_store_explicit(&slot->connection_id, 0, memory_order_release);
    slot->mark[0] = (struct shm_journal_mark){0};
    atomic_store_explicit(&slot->current, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->strikes, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->kept_from, 0, memory_order_relaxed);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    slot->seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    atomic_store_explicit(&slot->connection_id, connection_id, memory_order_release);
}

void shm_journal_end(struct shm_journal_slot *slot)
{
    atomic_store_explicit(&slot->connection_id, 0, memory_order_release);
}

bool shm_journal_is_begun(const struct shm_journal_slot *slot, uint64_t connection_id)
{
    return atomic_load_explicit(&slot->connection_id, memory_order_acquire) == connection_id;
}

struct shm_journal_mark *shm_journal_mark(struct shm_journal_slot *slot)
{
    return &slot->mark[atomic_load_explicit(&slot->current, memory_order_acquire) & 1];
}

void shm_journal_advance(struct shm_journal_slot *slot, uint64_t request_start, uint64_t answer_start,
                         uint64_t taken)
{
    uint32_t next = (atomic_load_explicit(&slot->current, memory_order_relaxed) & 1) ^ 1;
    uint64_t base = request_start >= taken ? request_start : shm_journal_mark(slot)->base;
    slot->mark[next] = (struct shm_journal_mark){
        .request_start = request_start, .answer_start = answer_start, .base = base};
    atomic_store_explicit(&slot->current, next, memory_order_release);
    atomic_store_explicit(&slot->strikes, 0, memory_order_relaxed);
}

size_t shm_journal_room(struct shm_journal_slot *slot, uint64_t taken, uint8_t **ret_to)
{
    uint64_t used = taken - shm_journal_mark(slot)->base;
    if (used >= SHM_JOURNAL_REQUEST_BYTES)
        return 0;
    *ret_to = slot->request + used;
    return (size_t)(SHM_JOURNAL_REQUEST_BYTES - used);
}

void shm_journal_lost(struct shm_journal_slot *slot, uint64_t taken)
{
    atomic_store_explicit(&slot->kept_from, taken, memory_order_release);
}

bool shm_journal_request(struct shm_journal_slot *slot, uint64_t taken, const uint8_t **ret_bytes,
                         size_t *ret_length)
{
    const struct shm_journal_mark *mark = shm_journal_mark(slot);
    if (taken < mark->request_start || mark->request_start < mark->base)
        return false;
    uint64_t skipped = mark->request_start - mark->base, length = taken - mark->request_start;
    if (length > 0 && (mark->request_start < atomic_load_explicit(&slot->kept_from, memory_order_acquire) ||
                       skipped > SHM_JOURNAL_REQUEST_BYTES || length > SHM_JOURNAL_REQUEST_BYTES - skipped))
        return false;
    *ret_bytes = slot->request + (length > 0 ? skipped : 0);
    *ret_length = (size_t)length;
    return true;
}
