#include "cache/janitor.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/turns.h"
#include "cache/purges.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_NAME       "janitor"
#define LOOK_EVERY_MS   500
#define ROUND_EVERY_MS  INT64_C(3600000)
#define AGAIN_MS        3000
#define SHARED_EVERY_MS INT64_C(300000) /* a round, where other servers store and remove as well */
#define FOLDERS         256
#define FILES_AT_ONCE   32 /* then a pause, so that others get at the disc */
#define PAUSE_NS        1000000
#define ACCESS_LATER_S  600 /* how much later an access must be to be written down */
#define UNFINISHED_S    2   /* between making a temporary file and locking it */

struct janitor {
    struct derivatives *derivatives;
    void (*note)(const char *sentence);
    int lock; /* -1: another one is the janitor */
    int64_t round_ms;
    bool looks_again; /* something was too young to be judged */
    struct purges_settling settling;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stops;
    pthread_t thread;
};

/* One round. */
struct round {
    struct janitor *janitor;
    uint64_t files;
    bool must_read; /* headers, also of what is known: something may have been purged or grown old */
    bool failed;    /* not everything was seen */
};

static bool is_stopping(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->mutex);
    bool stops = janitor->stops;
    pthread_mutex_unlock(&janitor->mutex);
    return stops;
}

static void go_easy(struct round *round)
{
    if (++round->files % FILES_AT_ONCE == 0)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

/* ---- files ---- */

/* A file that is being written is locked by whoever writes it. */
static void look_at_unfinished(struct janitor *janitor, int folder, const char *name)
{
    struct stat status;
    OWN_FD int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return;
    if (time(NULL) - status.st_mtime < UNFINISHED_S || flock(fd, LOCK_EX | LOCK_NB) < 0)
        janitor->looks_again = true;
    else
        unlinkat(folder, name, 0);
}

/* Whether the file is what its name says and may stay; *ret_mark is of its identifier. */
static bool is_to_stay(struct derivatives *derivatives, int folder, const char *name,
                       const struct stat *status, struct shm_key hash, uint32_t *ret_mark)
{
    uint8_t head[DERIVATIVE_HEAD_BYTES];
    char path[DERIVATIVE_TEXT_BYTES];
    const char *text = NULL;
    struct derivative_header header;
    OWN_FD int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t length = fd >= 0 ? pread(fd, head, sizeof head, 0) : -1;
    if (length < 0 ||
        derivative_head_read(head, (size_t)length, (uint64_t)status->st_size, &header, &text, NULL) !=
            RC_OK ||
        header.hash.low != hash.low || header.hash.high != hash.high) {
        atomic_fetch_add_explicit(&derivatives->shared->counters->corrupt, 1, memory_order_relaxed);
        return false;
    }
    derivative_text_path(text, header.text_bytes, path);
    if (derivatives_is_dead(derivatives, header.epoch, header.made_s, header.mark, path)) {
        atomic_fetch_add_explicit(&derivatives->shared->counters->purged, 1, memory_order_relaxed);
        return false;
    }
    *ret_mark = header.mark;
    return true;
}

static void note_access(int folder, const char *name, const struct stat *status, uint32_t seen_s)
{
    if ((int64_t)seen_s - status->st_atime <= ACCESS_LATER_S)
        return;
    const struct timespec times[2] = {{.tv_sec = seen_s}, {.tv_nsec = UTIME_OMIT}};
    utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW);
}

static void look_at(struct round *round, int folder, const char *name, struct shm_key hash)
{
    struct derivatives *derivatives = round->janitor->derivatives;
    struct stat status;
    struct shm_catalogue_item known, victim = {.key = {0, 0}};
    uint32_t mark = 0;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    bool is_known = shm_catalogue_find(derivatives->shared->catalogue, hash, &known);
    if (is_known && !round->must_read) {
        note_access(folder, name, &status, known.seen_s);
        return;
    }
    if (!is_to_stay(derivatives, folder, name, &status, hash, &mark)) {
        derivatives_remove(derivatives, hash);
        return;
    }
    if (is_known)
        return;
    int64_t seen_s = status.st_atime > status.st_mtime ? status.st_atime : status.st_mtime;
    const struct shm_catalogue_item item = {.key = hash,
                                            .size_bytes = ((uint64_t)status.st_size + 4095) / 4096 * 4096,
                                            .mark = mark,
                                            .seen_s = (uint32_t)seen_s};
    if (!shm_catalogue_add(derivatives->shared->catalogue, derivatives->shared->sketch, &item, &victim))
        round->failed = true;
    else if (victim.key.low != 0)
        derivatives_remove(derivatives, victim.key);
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL)
        closedir(*folder);
}

static void look_into(struct round *round, unsigned number)
{
    char name[3];
    snprintf(name, sizeof name, "%02x", number);
    int fd = openat(round->janitor->derivatives->folder, name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        round->failed |= errno != ENOENT;
        return;
    }
    OWN(close_folder) DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        close(fd);
        round->failed = true;
        return;
    }
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(folder)) != NULL && !is_stopping(round->janitor)) {
        struct shm_key hash;
        if (derivative_name_read(name, entry->d_name, &hash))
            look_at(round, fd, entry->d_name, hash);
        else if (entry->d_name[0] == '.' && strlen(entry->d_name) > 2)
            look_at_unfinished(round->janitor, fd, entry->d_name);
        go_easy(round);
    }
    round->failed |= errno != 0;
}

/* Entries whose file somebody else has removed. */
static void forget_gone(struct round *round)
{
    const struct derivatives *derivatives = round->janitor->derivatives;
    struct shm_catalogue_item item;
    uint64_t cursor = 0;
    while (shm_catalogue_next(derivatives->shared->catalogue, &cursor, &item) &&
           !is_stopping(round->janitor)) {
        char name[DERIVATIVE_NAME_BYTES];
        struct stat status;
        derivative_name(item.key, name);
        if (fstatat(derivatives->folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            shm_catalogue_remove(derivatives->shared->catalogue, item.key);
        go_easy(round);
    }
}

/* What is in memory and was purged, so that its fence can be lowered. */
static void sweep_memory(struct round *round)
{
    struct derivatives *derivatives = round->janitor->derivatives;
    struct shm_blobs *blobs = derivatives->shared->blobs;
    OWN(bytes_done) struct bytes blob = {0};
    struct shm_key key;
    for (uint64_t cursor = 0; shm_blobs_next(blobs, &cursor, &key); go_easy(round)) {
        char path[DERIVATIVE_TEXT_BYTES];
        const char *text = NULL;
        struct derivative_header header;
        blob.length = 0;
        if (!shm_blobs_get(blobs, key, shm_sketch_clock(derivatives->shared->sketch), &blob))
            continue;
        bool sound = derivative_head_read(blob.data, blob.length, blob.length, &header, &text, NULL) == RC_OK;
        if (sound)
            derivative_text_path(text, header.text_bytes, path);
        if (!sound || derivatives_is_dead(derivatives, header.epoch, header.made_s, header.mark, path))
            shm_blobs_remove(blobs, key);
    }
}

/* ---- rounds ---- */

static void go_round(struct janitor *janitor)
{
    struct derivatives *derivatives = janitor->derivatives;
    struct shm_derivatives *shared = derivatives->shared;
    uint64_t epoch = shm_fences_epoch(shared->fences);
    struct err err;
    struct round round = {.janitor = janitor,
                          .must_read = atomic_load_explicit(&shared->fences->any, memory_order_relaxed) !=
                                           0 ||
                                       derivatives->limits.most_age_s > 0};
    janitor->looks_again = false;
    /* Before looking: what is found to be missing from now on asks for another round. */
    atomic_store_explicit(&shared->catalogue->incomplete, SHM_CATALOGUE_COUNTING, memory_order_relaxed);
    for (unsigned i = 0; i < FOLDERS && !is_stopping(janitor); i++)
        look_into(&round, i);
    forget_gone(&round);
    if (round.must_read)
        sweep_memory(&round);
    if (is_stopping(janitor) || round.failed) {
        atomic_store_explicit(&shared->catalogue->incomplete, 1, memory_order_relaxed);
        return;
    }
    uint32_t counting = SHM_CATALOGUE_COUNTING;
    atomic_compare_exchange_strong(&shared->catalogue->incomplete, &counting, 0);
    uint64_t settled = purges_settled(&janitor->settling, epoch, clock_monotonic_ms());
    janitor->looks_again = janitor->looks_again || (round.must_read && settled < epoch);
    if (round.must_read && shm_fences_take(shared->fences)) {
        shm_fences_lower(shared->fences, settled);
        shm_fences_give(shared->fences);
        if (purges_shorten(derivatives, settled, &err) != RC_OK)
            janitor->note(err.message);
    }
}

/* Whether another server works in the folder, too. */
static bool is_shared(const struct janitor *janitor)
{
    struct flock theirs = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return janitor->lock >= 0 && fcntl(janitor->lock, F_OFD_GETLK, &theirs) == 0 && theirs.l_type != F_UNLCK;
}

static bool is_due(const struct janitor *janitor, int64_t now_ms)
{
    const struct derivatives *derivatives = janitor->derivatives;
    int64_t every_ms = ROUND_EVERY_MS, most_age_ms = derivatives->limits.most_age_s * 1000;
    if (now_ms - janitor->round_ms >= SHARED_EVERY_MS && is_shared(janitor))
        every_ms = SHARED_EVERY_MS;
    if (most_age_ms > 0 && most_age_ms / 4 < every_ms)
        every_ms = most_age_ms / 4;
    if (janitor->looks_again && every_ms > AGAIN_MS)
        every_ms = AGAIN_MS;
    return now_ms - janitor->round_ms >= every_ms ||
           (atomic_load_explicit(&derivatives->shared->catalogue->incomplete, memory_order_relaxed) != 0 &&
            (janitor->round_ms == 0 || now_ms - janitor->round_ms >= LOOK_EVERY_MS));
}

/* One of each server: its byte of the file. */
static void take_office(struct janitor *janitor)
{
    struct flock ours = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)(janitor->derivatives->server >> 2),
                         .l_len = 1};
    if (janitor->lock >= 0)
        return;
    OWN_FD int fd = openat(janitor->derivatives->folder, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                           0600);
    if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &ours) == 0)
        janitor->lock = TAKE_FD(fd);
}

static void wait_a_little(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->mutex);
    if (!janitor->stops)
        clock_wait_until(&janitor->wake, &janitor->mutex, clock_monotonic_ms() + LOOK_EVERY_MS);
    pthread_mutex_unlock(&janitor->mutex);
}

static void *keep_house(void *argument)
{
    struct janitor *janitor = argument;
    pthread_setname_np(pthread_self(), "janitor");
    turns_give_way(TURNS_LARGE_WORK);
    while (!is_stopping(janitor)) {
        struct err err;
        if (purges_look(janitor->derivatives, &err) != RC_OK)
            janitor->note(err.message);
        take_office(janitor);
        if (janitor->lock >= 0 && is_due(janitor, clock_monotonic_ms())) {
            go_round(janitor);
            janitor->round_ms = clock_monotonic_ms();
        }
        if (janitor->lock >= 0)
            derivatives_evict(janitor->derivatives, 0, 0);
        wait_a_little(janitor);
    }
    return NULL;
}

enum rc janitor_start(struct derivatives *derivatives, void (*note)(const char *sentence),
                      struct janitor **ret_janitor, struct err *err)
{
    OWN_FREE struct janitor *janitor = calloc(1, sizeof *janitor);
    if (janitor == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the janitor of the cache");
    *janitor = (struct janitor){.derivatives = derivatives,
                                .note = note,
                                .lock = -1,
                                .mutex = PTHREAD_MUTEX_INITIALIZER,
                                .wake = PTHREAD_COND_INITIALIZER};
    int failed = pthread_create(&janitor->thread, NULL, keep_house, janitor);
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed, "the janitor of the cache cannot start");
    *ret_janitor = TAKE_PTR(janitor);
    return RC_OK;
}

void janitor_stop(struct janitor **janitor)
{
    struct janitor *stopped = TAKE_PTR(*janitor);
    if (stopped == NULL)
        return;
    pthread_mutex_lock(&stopped->mutex);
    stopped->stops = true;
    pthread_cond_signal(&stopped->wake);
    pthread_mutex_unlock(&stopped->mutex);
    pthread_join(stopped->thread, NULL);
    own_close(&stopped->lock);
    free(stopped);
}
