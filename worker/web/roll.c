#include "worker/web/roll.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/web/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LEAST_AGE_S   10
#define AGE_PER_COST  50
#define MOST_BYTES    ((size_t)1 << 30)
#define MOST_DEPTH    64u
#define MOST_WAITS    10u /* for a folder that is far away and is listed anew all the time */
#define PATIENCE_MS   300
#define LOOK_AGAIN_MS 1000 /* whether another worker has made a newer one */

struct web_roll {
    struct web_roll_options options;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct web_roll_file *file; /* NULL: none yet */
    int64_t looked_ms;
    bool is_walking, has_thread;
    pthread_t thread;
    enum rc rc; /* of the last walk */
    struct err err;
    int64_t failed_ms;
    atomic_bool is_over;
    _Atomic uint64_t names;
};

/* ---- the walk ---- */

struct walk {
    struct web_roll *roll;
    struct bytes lines;
    uint64_t count;
    bool is_cut;
};

static enum rc add_line(struct walk *walk, const char *folder, const char *name, struct err *err)
{
    if (walk->lines.length > MOST_BYTES) {
        walk->is_cut = true;
        return RC_OK;
    }
    enum rc rc = bytes_append(&walk->lines, folder, strlen(folder), err);
    if (rc == RC_OK && folder[0] != '\0')
        rc = bytes_append(&walk->lines, "/", 1, err);
    if (rc == RC_OK)
        rc = bytes_append(&walk->lines, name, strlen(name), err);
    if (rc == RC_OK)
        rc = bytes_append(&walk->lines, "\n", 1, err);
    atomic_store_explicit(&walk->roll->names, ++walk->count, memory_order_relaxed);
    return rc;
}

/* Waits for one that is far away. */
static enum rc read_folder(struct walk *walk, const char *path, const struct web_folder **ret_folder,
                           struct err *err)
{
    struct origin *origin = walk->roll->options.origin;
    OWN_FREE char *awaited = NULL;
    enum rc rc = web_folder_read(origin, path, &walk->roll->is_over, ret_folder, err);
    if (rc == RC_AWAY && asprintf(&awaited, "%s/", path) < 0) {
        awaited = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for the list of names");
    }
    for (unsigned i = 0; rc == RC_AWAY && i < MOST_WAITS; i++) {
        rc = origin_wait(origin, awaited, err);
        if (rc == RC_OK)
            rc = web_folder_read(origin, path, &walk->roll->is_over, ret_folder, err);
    }
    return rc;
}

/* A folder below the root that cannot be read does not take the others away. */
static enum rc walk_folder(struct walk *walk, const char *path, size_t depth, struct err *err)
{
    OWN(web_folder_free) const struct web_folder *folder = NULL;
    enum rc rc = read_folder(walk, path, &folder, err);
    if (rc != RC_OK) {
        walk->is_cut = true;
        return depth == 0 || rc == RC_CANCELLED || rc == RC_NO_MEMORY ? rc : RC_OK;
    }
    for (size_t i = folder->folder_count; i < folder->count && rc == RC_OK; i++)
        rc = add_line(walk, path, folder->name[i], err);
    for (size_t i = 0; i < folder->folder_count && rc == RC_OK && depth + 1 < MOST_DEPTH; i++) {
        OWN_FREE char *below = NULL;
        if (folder->is_link[i])
            continue; /* it leads to what is found by its own name; and may lead round in circles */
        if (asprintf(&below, "%s%s%s", path, path[0] == '\0' ? "" : "/", folder->name[i]) < 0) {
            below = NULL;
            return err_set(err, RC_NO_MEMORY, "no memory for the list of names");
        }
        rc = walk_folder(walk, below, depth + 1, err);
    }
    return rc;
}

static enum rc make(struct web_roll *roll, struct web_roll_file **ret_file, struct err *err)
{
    struct walk walk = {.roll = roll};
    int64_t begun_ms = clock_monotonic_ms();
    struct web_roll_walked walked = {.root = roll->options.root, .walked_s = time(NULL)};
    enum rc rc = walk_folder(&walk, "", 0, err);
    if (rc == RC_OK) {
        walked.count = walk.count;
        walked.is_cut = walk.is_cut;
        walked.took_ms = clock_monotonic_ms() - begun_ms;
        err->message[0] = '\0';
        rc = web_roll_file_make(roll->options.folder_fd, &walked, &walk.lines, ret_file, err);
        if (rc == RC_OK && err->message[0] != '\0')
            log_warning("%s; it is kept in memory", err->message);
    }
    bytes_done(&walk.lines);
    return rc;
}

/* ---- whose turn it is ---- */

static bool is_due(const struct web_roll_file *file)
{
    int64_t most_s = AGE_PER_COST * file->took_ms / 1000;
    int64_t age_s = time(NULL) - file->walked_s;
    return age_s < 0 || age_s >= (most_s > LEAST_AGE_S ? most_s : LEAST_AGE_S);
}

/* Waits until no other worker walks. -1: there is no such lock, and all may walk. */
static int lock_folder(struct web_roll *roll)
{
    int fd = roll->options.folder_fd < 0
                 ? -1
                 : openat(roll->options.folder_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const struct timespec moment = {.tv_nsec = 50000000};
        if (atomic_load_explicit(&roll->is_over, memory_order_relaxed) ||
            (errno != EWOULDBLOCK && errno != EINTR))
            break;
        nanosleep(&moment, NULL);
    }
    return fd;
}

static void *run(void *context)
{
    struct web_roll *roll = context;
    struct web_roll_file *file = NULL;
    struct err err = {0};
    OWN_FD int lock = lock_folder(roll);
    enum rc rc = lock < 0 ? RC_NOT_FOUND
                          : web_roll_file_open(roll->options.folder_fd, roll->options.root, &file, &err);
    if (rc == RC_OK && is_due(file))
        web_roll_file_release(&file);
    if (file == NULL)
        rc = make(roll, &file, &err);
    pthread_mutex_lock(&roll->mutex);
    if (rc == RC_OK) {
        web_roll_file_release(&roll->file);
        roll->file = file;
    } else if (rc != RC_CANCELLED) {
        roll->failed_ms = clock_monotonic_ms();
    }
    roll->rc = rc;
    roll->err = err;
    roll->is_walking = false;
    pthread_cond_broadcast(&roll->changed);
    pthread_mutex_unlock(&roll->mutex);
    return NULL;
}

/* With the mutex. */
static enum rc start(struct web_roll *roll, struct err *err)
{
    if (roll->has_thread)
        pthread_join(roll->thread, NULL); /* it has ended, or is about to: it let go of the mutex last */
    roll->has_thread = pthread_create(&roll->thread, NULL, run, roll) == 0;
    if (!roll->has_thread)
        return err_set(err, RC_BUSY, "there are too many threads to look for names");
    roll->is_walking = true;
    atomic_store_explicit(&roll->names, 0, memory_order_relaxed);
    return RC_OK;
}

/* With the mutex: another worker's work is taken up. */
static void look(struct web_roll *roll)
{
    int64_t now_ms = clock_monotonic_ms();
    struct web_roll_file *file = NULL;
    if (roll->options.folder_fd < 0 || roll->is_walking ||
        (roll->file != NULL && now_ms - roll->looked_ms < LOOK_AGAIN_MS))
        return;
    roll->looked_ms = now_ms;
    uint64_t inode = web_roll_file_inode(roll->options.folder_fd);
    if (inode == 0 || (roll->file != NULL && roll->file->inode == inode) ||
        web_roll_file_open(roll->options.folder_fd, roll->options.root, &file, NULL) != RC_OK)
        return;
    web_roll_file_release(&roll->file);
    roll->file = file;
}

static void wait_a_moment(struct web_roll *roll)
{
    int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (roll->is_walking && roll->file == NULL && clock_wait_until(&roll->changed, &roll->mutex, end_ms))
        continue;
}

enum rc web_roll_get(struct web_roll *roll, struct web_roll_file **ret_file, uint64_t *ret_names,
                     struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&roll->mutex);
    look(roll);
    bool has_failed = roll->failed_ms != 0 && clock_monotonic_ms() - roll->failed_ms < LEAST_AGE_S * 1000;
    if (!roll->is_walking && !has_failed && (roll->file == NULL || is_due(roll->file)))
        rc = start(roll, err);
    wait_a_moment(roll);
    if (roll->file != NULL) {
        atomic_fetch_add(&roll->file->references, 1);
        rc = RC_OK;
    } else if (rc == RC_OK && !roll->is_walking && roll->rc != RC_OK) {
        *err = roll->err;
        rc = roll->rc;
    }
    *ret_file = roll->file;
    *ret_names = atomic_load_explicit(&roll->names, memory_order_relaxed);
    pthread_mutex_unlock(&roll->mutex);
    return rc;
}

/* ---- its life ---- */

enum rc web_roll_new(const struct web_roll_options *options, struct web_roll **ret_roll, struct err *err)
{
    struct web_roll *roll = calloc(1, sizeof *roll);
    if (roll == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the gallery");
    roll->options = *options;
    pthread_mutex_init(&roll->mutex, NULL);
    pthread_cond_init(&roll->changed, NULL);
    *ret_roll = roll;
    return RC_OK;
}

void web_roll_free(struct web_roll **roll)
{
    struct web_roll *freed = TAKE_PTR(*roll);
    if (freed == NULL)
        return;
    atomic_store(&freed->is_over, true);
    if (freed->has_thread)
        pthread_join(freed->thread, NULL);
    web_roll_file_release(&freed->file);
    pthread_cond_destroy(&freed->changed);
    pthread_mutex_destroy(&freed->mutex);
    free(freed);
}
