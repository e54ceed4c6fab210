#include "cache/block_store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "base/turns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ABANDONED_S 3600
/* How often files that others have deleted are let go; also between two looks at a full disk. */
#define LOOK_S    5
#define LOCK_NAME ".lock"

struct block_store {
    int directory_fd; /* -1: memory only */
    int64_t most_bytes;
    struct block_memory memory;
    atomic_llong grown_bytes;
    pthread_mutex_t mutex;
    pthread_cond_t due;
    bool running, stopping, is_due;
    void (*let_go)(void *context);
    void *let_go_context;
    pthread_t thread;
};

struct found {
    char name[BLOCK_FILE_LETTERS + 1];
    int64_t bytes;
    struct timespec used;
};

struct findings {
    struct found *file;
    size_t count, capacity;
    int64_t bytes;
};

static bool note(struct findings *findings, const struct found *file)
{
    if (findings->count == findings->capacity) {
        size_t capacity = findings->capacity == 0 ? 256 : findings->capacity * 2;
        struct found *more = reallocarray(findings->file, capacity, sizeof *more);
        if (more == NULL)
            return false;
        findings->file = more;
        findings->capacity = capacity;
    }
    findings->file[findings->count++] = *file;
    findings->bytes += file->bytes;
    return true;
}

static void look_at(struct block_store *store, const char *name, struct findings *findings)
{
    struct stat status;
    if (fstatat(store->directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return;
    if (name[0] == '.') {
        if (strcmp(name, LOCK_NAME) != 0 && time(NULL) - status.st_mtim.tv_sec > ABANDONED_S)
            unlinkat(store->directory_fd, name, 0);
        return;
    }
    struct found file = {.bytes = (int64_t)status.st_blocks * 512, .used = status.st_mtim};
    if (strlen(name) != BLOCK_FILE_LETTERS)
        return; /* not ours */
    memcpy(file.name, name, sizeof file.name);
    if (!note(findings, &file))
        log_warning("no memory to look through the cache of source blocks");
}

static int by_use(const void *a, const void *b)
{
    const struct found *one = a, *other = b;
    if (one->used.tv_sec != other->used.tv_sec)
        return one->used.tv_sec < other->used.tv_sec ? -1 : 1;
    return one->used.tv_nsec < other->used.tv_nsec ? -1 : one->used.tv_nsec > other->used.tv_nsec;
}

/* How many bytes may stay of those that are there. */
static int64_t goal_of(struct block_store *store, int64_t bytes)
{
    bool is_full = atomic_exchange(&store->memory.disk_is_full, false);
    if (bytes > store->most_bytes)
        bytes = store->most_bytes;
    else if (!is_full)
        return bytes;
    return bytes / 10 * 9;
}

static void tidy_locked(struct block_store *store)
{
    int fd = openat(store->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    struct findings findings = {0};
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        look_at(store, entry->d_name, &findings);
    closedir(directory);
    int64_t goal = goal_of(store, findings.bytes);
    if (findings.bytes > goal && findings.count > 0) {
        qsort(findings.file, findings.count, sizeof findings.file[0], by_use);
        for (size_t i = 0; i < findings.count && findings.bytes > goal; i++)
            if (unlinkat(store->directory_fd, findings.file[i].name, 0) == 0)
                findings.bytes -= findings.file[i].bytes;
    }
    free(findings.file);
}

void block_store_tidy(struct block_store *store)
{
    if (store->directory_fd < 0)
        return;
    OWN_FD int lock = openat(store->directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) /* else somebody is at it */
        tidy_locked(store);
}

static void *tidy_thread(void *argument)
{
    struct block_store *store = argument;
    pthread_setname_np(pthread_self(), "blocks");
    turns_give_way(TURNS_LARGE_WORK);
    pthread_mutex_lock(&store->mutex);
    while (!store->stopping) {
        bool is_due = store->is_due || atomic_load(&store->memory.disk_is_full);
        store->is_due = false;
        pthread_mutex_unlock(&store->mutex);
        if (is_due)
            block_store_tidy(store);
        if (store->let_go != NULL)
            store->let_go(store->let_go_context);
        pthread_mutex_lock(&store->mutex);
        int64_t look_ms = clock_monotonic_ms() + LOOK_S * 1000;
        while (!store->is_due && !store->stopping && clock_wait_until(&store->due, &store->mutex, look_ms))
            continue;
    }
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}

enum rc block_store_open(int directory_fd, int64_t most_bytes, int64_t memory_bytes,
                         struct block_store **ret_store, struct err *err)
{
    OWN_FD int fd = directory_fd >= 0 ? openat(directory_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (directory_fd >= 0 && fd < 0)
        return err_set_errno(err, RC_IO, errno,
                             "the cache directory's folder for source blocks cannot be used");
    struct block_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the cache of source blocks");
    store->directory_fd = TAKE_FD(fd);
    store->most_bytes = most_bytes;
    store->memory.most_bytes = memory_bytes;
    store->is_due = true;
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->due, NULL);
    *ret_store = store;
    return RC_OK;
}

enum rc block_store_start(struct block_store *store, struct err *err)
{
    int failed = store->directory_fd < 0 ? 0 : pthread_create(&store->thread, NULL, tidy_thread, store);
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed,
                             "the thread that bounds the cache of source blocks cannot start");
    store->running = store->directory_fd >= 0;
    return RC_OK;
}

void block_store_on_deleted(struct block_store *store, void (*let_go)(void *context), void *context)
{
    store->let_go = let_go;
    store->let_go_context = context;
}

void block_store_close(struct block_store **slot)
{
    struct block_store *store = TAKE_PTR(*slot);
    if (store == NULL)
        return;
    pthread_mutex_lock(&store->mutex);
    store->stopping = true;
    pthread_cond_signal(&store->due);
    pthread_mutex_unlock(&store->mutex);
    if (store->running)
        pthread_join(store->thread, NULL);
    if (store->directory_fd >= 0)
        close(store->directory_fd);
    pthread_cond_destroy(&store->due);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

bool block_store_is_shared(const struct block_store *store)
{
    return store->directory_fd >= 0;
}

enum rc block_store_create(struct block_store *store, const struct block_subject *subject,
                           struct block_file **ret_file, struct err *err)
{
    return block_file_create(store->directory_fd, subject, &store->memory, ret_file, err);
}

enum rc block_store_find(struct block_store *store, const char *name, struct block_file **ret_file,
                         struct err *err)
{
    return block_file_open(store->directory_fd, name, &store->memory, ret_file, err);
}

void block_store_grew(struct block_store *store, uint64_t bytes)
{
    long long grown = atomic_fetch_add(&store->grown_bytes, (long long)bytes) + (long long)bytes;
    if (grown < store->most_bytes / 16)
        return;
    atomic_store(&store->grown_bytes, 0);
    pthread_mutex_lock(&store->mutex);
    store->is_due = true;
    pthread_cond_signal(&store->due);
    pthread_mutex_unlock(&store->mutex);
}
