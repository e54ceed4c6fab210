#include "cache/lane_transport.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "base/turns.h"
#include "cache/origin_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define PIECE_BYTES  (1u << 20)
#define WATCH_MS     100
#define MOST_THREADS 64u

#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif

/* What a thread works on is its own: the fetch may be given up, and gone, at any time while it reads. */
struct job {
    struct job *next;
    /* One of the two, until it is given up. Under the lane's mutex, as `delivers`. */
    struct transport_fetch *fetch;
    struct transport_listing *listing;
    bool delivers; /* the thread is in one of the fetch's call-backs */
    int64_t deadline_ms;
    uint64_t offset, length;
    bool first, has_known;
    struct origin_version known;
    char *path;
};

struct lane {
    struct transport transport; /* first */
    int root_fd, other_root_fd; /* the second is -1, or open in place of a stale first */
    char *root_path, *name;
    int64_t timeout_ms;
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    bool cancelled, stopping;
    struct job *first, **last;
    struct job *at_work[MOST_THREADS];
    uint32_t thread_count, started, standing_still;
    pthread_t thread[MOST_THREADS], watcher;
    uint32_t created; /* of the threads; theirs who starts and closes */
    bool watched;
};

bool lane_is_needed(int root_fd)
{
    static const long remote[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                  SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,
                                  V9FS_MAGIC,       AFS_SUPER_MAGIC,  CODA_SUPER_MAGIC};
    struct statfs status;
    if (fstatfs(root_fd, &status) != 0)
        return false;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((long)status.f_type == remote[i])
            return true;
    return false;
}

/* ---- jobs ---- */

static void job_free(struct job *job)
{
    free(job->path);
    free(job);
}

/* Under the mutex. */
static bool is_given_up(const struct job *job)
{
    return job->fetch == NULL && job->listing == NULL;
}

/* Takes the fetch to call it back; NULL when it was given up. */
static struct transport_fetch *claim(struct lane *lane, struct job *job)
{
    pthread_mutex_lock(&lane->mutex);
    struct transport_fetch *fetch = job->fetch;
    job->delivers = fetch != NULL;
    pthread_mutex_unlock(&lane->mutex);
    return fetch;
}

static void go_on(struct lane *lane, struct job *job)
{
    pthread_mutex_lock(&lane->mutex);
    job->delivers = false;
    job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
    pthread_mutex_unlock(&lane->mutex);
}

/* Ends the fetch, unless it was given up. */
static void finish(struct lane *lane, struct job *job, enum rc rc, const struct err *err)
{
    struct transport_fetch *fetch = claim(lane, job);
    pthread_mutex_lock(&lane->mutex);
    job->fetch = NULL;
    pthread_mutex_unlock(&lane->mutex);
    if (fetch != NULL)
        fetch->done(fetch, rc, err);
}

/* Does something with the root; after a restart of the server its handle may be stale. */
static enum rc with_root(struct lane *lane, enum rc (*act)(void *context, int root_fd, struct err *err),
                         void *context, struct err *err)
{
    pthread_mutex_lock(&lane->mutex);
    int root_fd = lane->other_root_fd >= 0 ? lane->other_root_fd : lane->root_fd;
    pthread_mutex_unlock(&lane->mutex);
    enum rc rc = act(context, root_fd, err);
    if (rc != RC_IO || err->os_errno != ESTALE)
        return rc;
    rc = act(context, root_fd, err);
    if (rc != RC_IO || err->os_errno != ESTALE)
        return rc;
    OWN_FD int fresh_fd = open(lane->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fresh_fd < 0)
        return rc;
    rc = act(context, fresh_fd, err);
    pthread_mutex_lock(&lane->mutex);
    if (rc == RC_OK && lane->other_root_fd < 0) /* kept for good: other threads may be using what they have */
        lane->other_root_fd = TAKE_FD(fresh_fd);
    pthread_mutex_unlock(&lane->mutex);
    return rc;
}

struct opening {
    const char *path;
    int fd;
    struct origin_version version;
};

static enum rc open_file(void *context, int root_fd, struct err *err)
{
    struct opening *opening = context;
    return origin_folder_open_file(root_fd, opening->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &opening->fd,
                                   &opening->version, err);
}

static bool is_same(const struct origin_version *a, const struct origin_version *b)
{
    return origin_version_hash(a) == origin_version_hash(b);
}

/* Tells the fetch what was found. RC_OK with *ret_more: its bytes are wanted. */
static enum rc begin(struct lane *lane, struct job *job, const struct origin_version *version, bool *ret_more,
                     struct err *err)
{
    bool same = job->has_known && is_same(version, &job->known);
    const struct transport_answer answer = {.unchanged = job->first && same,
                                            .replaced = !job->first && !same,
                                            .version = *version,
                                            .offset = job->offset};
    struct transport_fetch *fetch = claim(lane, job);
    if (fetch == NULL)
        return RC_CANCELLED;
    enum rc rc = fetch->begin(fetch, &answer, err);
    *ret_more = rc == RC_OK && !answer.unchanged && !answer.replaced;
    go_on(lane, job);
    return rc;
}

static enum rc give(struct lane *lane, struct job *job, int fd, uint64_t size_bytes, struct err *err)
{
    OWN_FREE uint8_t *piece = malloc(PIECE_BYTES);
    uint64_t at = job->offset, end = job->length < size_bytes - at ? at + job->length : size_bytes;
    if (piece == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for what is fetched");
    while (at < end) {
        size_t length = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
        enum rc rc = fdio_pread_exact(fd, piece, length, at, err);
        if (rc != RC_OK)
            return rc;
        struct transport_fetch *fetch = claim(lane, job);
        if (fetch == NULL)
            return RC_CANCELLED;
        rc = fetch->take(fetch, piece, length, err);
        go_on(lane, job);
        if (rc != RC_OK)
            return rc;
        at += length;
    }
    return RC_OK;
}

static enum rc work(struct lane *lane, struct job *job, struct err *err)
{
    struct opening opening = {.path = job->path, .fd = -1};
    struct origin_version after;
    bool more = false;
    enum rc rc = with_root(lane, open_file, &opening, err);
    OWN_FD int fd = opening.fd;
    const struct origin_version version = opening.version;
    if (rc == RC_OK)
        rc = begin(lane, job, &version, &more, err);
    if (rc == RC_OK && more && job->offset < version.size_bytes)
        rc = give(lane, job, fd, version.size_bytes, err);
    if (rc != RC_OK || !more)
        return rc;
    /* Overwritten in place while it was read: what was given may be a mixture. */
    struct stat status;
    if (fstat(fd, &status) != 0)
        return err_set_errno(err, RC_IO, errno, "image '%.180s' cannot be examined", job->path);
    after = (struct origin_version){
        .size_bytes = (uint64_t)status.st_size, .inode = status.st_ino, .modified = status.st_mtim};
    return is_same(&version, &after) ? RC_OK
                                     : err_set(err, RC_BUSY, "image '%.180s' is being written", job->path);
}

static void read_file(struct lane *lane, struct job *job)
{
    struct err err = {.rc = RC_OK};
    enum rc rc = work(lane, job, &err);
    finish(lane, job, rc, rc != RC_OK ? &err : NULL);
}

/* ---- folders ---- */

struct looking {
    struct lane *lane;
    struct job *job;
    struct arena *arena;
    struct origin_entry *entry;
    size_t count, entries;
};

/* A folder that goes on giving entries answers, however many there are. */
static bool goes_on(void *context)
{
    struct looking *looking = context;
    if (++looking->entries % 256 != 0)
        return true;
    pthread_mutex_lock(&looking->lane->mutex);
    bool is_wanted = !is_given_up(looking->job);
    looking->job->deadline_ms = clock_monotonic_ms() + looking->lane->timeout_ms;
    pthread_mutex_unlock(&looking->lane->mutex);
    return is_wanted;
}

static enum rc list_folder(void *context, int root_fd, struct err *err)
{
    struct looking *looking = context;
    return origin_folder_list(root_fd, looking->job->path, goes_on, looking, looking->arena, &looking->entry,
                              &looking->count, err);
}

/* Lists the folder of the job and ends the listing, unless it was given up. */
static void look(struct lane *lane, struct job *job)
{
    struct looking looking = {.lane = lane, .job = job, .arena = arena_new()};
    struct err err;
    enum rc rc = looking.arena == NULL ? err_set(&err, RC_NO_MEMORY, "no memory to read the image directory")
                                       : with_root(lane, list_folder, &looking, &err);
    pthread_mutex_lock(&lane->mutex);
    struct transport_listing *listing = TAKE_PTR(job->listing);
    pthread_mutex_unlock(&lane->mutex);
    if (listing == NULL) {
        if (looking.arena != NULL)
            arena_free(looking.arena);
        return;
    }
    listing->arena = looking.arena;
    listing->entry = looking.entry;
    listing->count = looking.count;
    listing->done(listing, rc, rc != RC_OK ? &err : NULL);
}

static void *lane_thread(void *argument)
{
    struct lane *lane = argument;
    pthread_setname_np(pthread_self(), "lane");
    turns_give_way(TURNS_WORK);
    pthread_mutex_lock(&lane->mutex);
    uint32_t number = lane->started++;
    for (;;) {
        while (lane->first == NULL && !lane->stopping)
            pthread_cond_wait(&lane->work, &lane->mutex);
        struct job *job = lane->first;
        if (job == NULL)
            break;
        lane->first = job->next;
        if (lane->first == NULL)
            lane->last = &lane->first;
        if (is_given_up(job)) {
            job_free(job);
            continue;
        }
        job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
        lane->at_work[number] = job;
        bool is_listing = job->listing != NULL;
        pthread_mutex_unlock(&lane->mutex);
        if (is_listing)
            look(lane, job);
        else
            read_file(lane, job);
        pthread_mutex_lock(&lane->mutex);
        lane->at_work[number] = NULL;
        job_free(job);
        pthread_cond_signal(&lane->ended);
    }
    pthread_mutex_unlock(&lane->mutex);
    return NULL;
}

/* ---- giving up ---- */

/* What is given up: one of the two, or neither. */
struct given_up {
    struct transport_fetch *fetch;
    struct transport_listing *listing;
};

static bool is_any(const struct given_up *given_up)
{
    return given_up->fetch != NULL || given_up->listing != NULL;
}

/* Takes from a job whose time is over what it was for. Under the mutex. */
static struct given_up overdue(const struct lane *lane, struct job *job, int64_t now_ms)
{
    struct given_up given_up = {NULL, NULL};
    if (job == NULL || job->delivers || (!lane->cancelled && now_ms < job->deadline_ms))
        return given_up;
    given_up.fetch = TAKE_PTR(job->fetch);
    given_up.listing = TAKE_PTR(job->listing);
    return given_up;
}

/* One that is overdue, of those at work or of those that wait. Under the mutex. */
static struct given_up find_overdue(struct lane *lane, int64_t now_ms)
{
    struct given_up given_up = {NULL, NULL};
    lane->standing_still = 0;
    for (uint32_t i = 0; i < lane->thread_count; i++) {
        if (!is_any(&given_up))
            given_up = overdue(lane, lane->at_work[i], now_ms);
        lane->standing_still += lane->at_work[i] != NULL && is_given_up(lane->at_work[i]);
    }
    for (struct job *job = lane->first; !is_any(&given_up) && job != NULL; job = job->next)
        given_up = overdue(lane, job, now_ms);
    return given_up;
}

static void *watch_thread(void *argument)
{
    struct lane *lane = argument;
    pthread_setname_np(pthread_self(), "lane watch");
    pthread_mutex_lock(&lane->mutex);
    while (!lane->stopping) {
        struct given_up given_up = find_overdue(lane, clock_monotonic_ms());
        if (!is_any(&given_up)) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += WATCH_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            pthread_cond_timedwait(&lane->ended, &lane->mutex, &until);
            continue;
        }
        struct err err;
        if (lane->cancelled)
            err_set(&err, RC_CANCELLED, "the server is going down");
        else
            err_set(&err, RC_LATE, "the image directory did not answer in time");
        pthread_mutex_unlock(&lane->mutex);
        if (given_up.fetch != NULL)
            given_up.fetch->done(given_up.fetch, err.rc, &err);
        else
            given_up.listing->done(given_up.listing, err.rc, &err);
        pthread_mutex_lock(&lane->mutex);
    }
    pthread_mutex_unlock(&lane->mutex);
    return NULL;
}

/* ---- the transport ---- */

static enum rc enqueue(struct lane *lane, struct job *job, struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&lane->mutex);
    if (lane->cancelled)
        rc = err_set(err, RC_CANCELLED, "the server is going down");
    else if (lane->standing_still == lane->thread_count)
        rc = err_set(err, RC_LATE,
                     "the image directory does not answer: all %u threads that read it stand still",
                     lane->thread_count);
    if (rc == RC_OK) {
        *lane->last = job;
        lane->last = &job->next;
        pthread_cond_signal(&lane->work);
    }
    pthread_mutex_unlock(&lane->mutex);
    return rc;
}

static void lane_submit(struct transport *transport, struct transport_fetch *fetch)
{
    struct lane *lane = (struct lane *)transport;
    struct err err;
    enum rc rc = RC_OK;
    struct job *job = calloc(1, sizeof *job);
    if (job != NULL) {
        job->fetch = fetch;
        job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
        job->offset = fetch->offset;
        job->length = fetch->length;
        job->first = fetch->first;
        job->has_known = fetch->known != NULL;
        if (job->has_known)
            job->known = *fetch->known;
        job->path = strdup(fetch->path);
    }
    if (job == NULL || job->path == NULL)
        rc = err_set(&err, RC_NO_MEMORY, "no memory to read the image directory");
    if (rc == RC_OK)
        rc = enqueue(lane, job, &err);
    if (rc == RC_OK)
        return;
    if (job != NULL)
        job_free(job);
    fetch->done(fetch, rc, &err);
}

static void lane_list(struct transport *transport, struct transport_listing *listing)
{
    struct lane *lane = (struct lane *)transport;
    struct err err;
    enum rc rc = RC_OK;
    struct job *job = calloc(1, sizeof *job);
    listing->arena = NULL;
    if (job != NULL) {
        job->listing = listing;
        job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
        job->path = strdup(listing->path);
    }
    if (job == NULL || job->path == NULL)
        rc = err_set(&err, RC_NO_MEMORY, "no memory to read the image directory");
    if (rc == RC_OK)
        rc = enqueue(lane, job, &err);
    if (rc == RC_OK)
        return;
    if (job != NULL)
        job_free(job);
    listing->done(listing, rc, &err);
}

static enum rc lane_start(struct transport *transport, struct err *err)
{
    struct lane *lane = (struct lane *)transport;
    int failed = pthread_create(&lane->watcher, NULL, watch_thread, lane);
    lane->watched = failed == 0;
    for (; failed == 0 && lane->created < lane->thread_count; lane->created += failed == 0)
        failed = pthread_create(&lane->thread[lane->created], NULL, lane_thread, lane);
    return failed == 0
               ? RC_OK
               : err_set_errno(err, RC_IO, failed, "the threads that read the image directory cannot start");
}

static void lane_cancel(struct transport *transport)
{
    struct lane *lane = (struct lane *)transport;
    pthread_mutex_lock(&lane->mutex);
    lane->cancelled = true;
    pthread_cond_signal(&lane->ended);
    pthread_mutex_unlock(&lane->mutex);
}

/* Whether a fetch is still to be ended. Under the mutex. */
static bool has_fetches(const struct lane *lane)
{
    bool any = false;
    for (uint32_t i = 0; i < lane->thread_count; i++)
        any = any || (lane->at_work[i] != NULL && !is_given_up(lane->at_work[i]));
    for (const struct job *job = lane->first; job != NULL; job = job->next)
        any = any || !is_given_up(job);
    return any;
}

/* A thread that stands still in the file system cannot be waited for: it, and what it uses, stays until the process ends. */
static void lane_close(struct transport *transport)
{
    struct lane *lane = (struct lane *)transport;
    lane_cancel(transport);
    const struct timespec pause = {.tv_nsec = 10000000};
    pthread_mutex_lock(&lane->mutex);
    while (lane->watched && has_fetches(lane)) {
        pthread_mutex_unlock(&lane->mutex);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lane->mutex);
    }
    lane->stopping = true;
    bool stuck = false;
    for (uint32_t i = 0; i < lane->thread_count; i++)
        stuck = stuck || lane->at_work[i] != NULL;
    pthread_cond_broadcast(&lane->work);
    pthread_cond_signal(&lane->ended);
    pthread_mutex_unlock(&lane->mutex);
    if (lane->watched)
        pthread_join(lane->watcher, NULL);
    if (stuck)
        return;
    for (uint32_t i = 0; i < lane->created; i++)
        pthread_join(lane->thread[i], NULL);
    while (lane->first != NULL) {
        struct job *job = lane->first;
        lane->first = job->next;
        job_free(job);
    }
    if (lane->other_root_fd >= 0)
        close(lane->other_root_fd);
    pthread_cond_destroy(&lane->work);
    pthread_cond_destroy(&lane->ended);
    pthread_mutex_destroy(&lane->mutex);
    free(lane->root_path);
    free(lane->name);
    free(lane);
}

static const struct transport_ops lane_ops = {.start = lane_start,
                                              .submit = lane_submit,
                                              .list = lane_list,
                                              .cancel = lane_cancel,
                                              .close = lane_close};

enum rc lane_transport_open(int root_fd, const char *root_path, uint32_t threads, int64_t timeout_ms,
                            struct transport **ret_transport, struct err *err)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane != NULL) {
        lane->root_path = strdup(root_path);
        if (asprintf(&lane->name, "folder %s", root_path) < 0)
            lane->name = NULL;
    }
    if (lane == NULL || lane->root_path == NULL || lane->name == NULL) {
        if (lane != NULL) {
            free(lane->root_path);
            free(lane->name);
        }
        free(lane);
        return err_set(err, RC_NO_MEMORY, "no memory for the image directory");
    }
    lane->transport = (struct transport){.ops = &lane_ops, .name = lane->name};
    lane->root_fd = root_fd;
    lane->other_root_fd = -1;
    lane->thread_count = threads < MOST_THREADS ? threads : MOST_THREADS;
    lane->timeout_ms = timeout_ms;
    lane->last = &lane->first;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->work, NULL);
    pthread_cond_init(&lane->ended, NULL);
    *ret_transport = &lane->transport;
    return RC_OK;
}
