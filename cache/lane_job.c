#include "cache/lane_inside.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "base/probe.h"
#include "cache/origin_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#define PIECE_BYTES (1u << 20)

/* ---- files ---- */

/* Takes the fetch to call it back; NULL when it was given up. */
static struct transport_fetch *claim(struct lane *lane, struct lane_job *job)
{
    pthread_mutex_lock(&lane->mutex);
    struct transport_fetch *fetch = job->fetch;
    job->delivers = fetch != NULL;
    pthread_mutex_unlock(&lane->mutex);
    return fetch;
}

static void go_on(struct lane *lane, struct lane_job *job)
{
    pthread_mutex_lock(&lane->mutex);
    job->delivers = false;
    job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
    pthread_mutex_unlock(&lane->mutex);
}

static bool is_lost(enum rc rc, const struct err *err)
{
    return rc == RC_IO && probe_is_lost(err->os_errno);
}

/* Does something with the root. After a restart of the server its handle may be stale, and after another mount it leads nowhere: it is
 * opened by its path then, and another worker is asked for, since the box may have no way to what lies there now. */
static enum rc with_root(struct lane *lane, enum rc (*act)(void *context, int root_fd, struct err *err),
                         void *context, struct err *err)
{
    pthread_mutex_lock(&lane->mutex);
    int root_fd = lane->other_root_fd >= 0 ? lane->other_root_fd : lane->root_fd;
    pthread_mutex_unlock(&lane->mutex);
    enum rc rc = act(context, root_fd, err);
    if (!is_lost(rc, err))
        return rc;
    rc = act(context, root_fd, err);
    if (!is_lost(rc, err))
        return rc;
    struct err said;
    OWN_FD int fresh_fd = open(lane->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum rc found = fresh_fd >= 0 ? act(context, fresh_fd, &said) : rc;
    if (fresh_fd < 0 || is_lost(found, &said))
        return rc;
    (void)eventfd_write(lane->transport.lost_fd, 1);
    if (found != RC_OK) /* it may be the box that says so */
        return rc;
    pthread_mutex_lock(&lane->mutex);
    if (lane->other_root_fd < 0) /* kept for good: other threads may be using what they have */
        lane->other_root_fd = TAKE_FD(fresh_fd);
    pthread_mutex_unlock(&lane->mutex);
    return RC_OK;
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
static enum rc begin(struct lane *lane, struct lane_job *job, const struct origin_version *version,
                     bool *ret_more, struct err *err)
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

static enum rc give(struct lane *lane, struct lane_job *job, int fd, uint64_t size_bytes, struct err *err)
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

static enum rc work(struct lane *lane, struct lane_job *job, struct err *err)
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

/* Reads the job's part of the file and ends the fetch, unless it was given up. */
static void read_file(struct lane *lane, struct lane_job *job)
{
    struct err err = {.rc = RC_OK};
    enum rc rc = work(lane, job, &err);
    pthread_mutex_lock(&lane->mutex);
    struct transport_fetch *fetch = TAKE_PTR(job->fetch);
    pthread_mutex_unlock(&lane->mutex);
    if (fetch != NULL)
        fetch->done(fetch, rc, rc != RC_OK ? &err : NULL);
}

/* ---- folders ---- */

struct looking {
    struct lane *lane;
    struct lane_job *job;
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
    bool is_wanted = !lane_job_is_given_up(looking->job);
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
static void look(struct lane *lane, struct lane_job *job)
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

void lane_job_run(struct lane *lane, struct lane_job *job)
{
    if (job->is_listing)
        look(lane, job);
    else
        read_file(lane, job);
}
