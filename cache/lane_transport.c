#include "cache/lane_inside.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/turns.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#define WATCH_MS 100

/* ---- jobs ---- */

static void job_free(struct lane_job *job)
{
    free(job->path);
    free(job);
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
        struct lane_job *job = lane->first;
        if (job == NULL)
            break;
        lane->first = job->next;
        if (lane->first == NULL)
            lane->last = &lane->first;
        if (lane_job_is_given_up(job)) {
            job_free(job);
            continue;
        }
        job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
        lane->at_work[number] = job;
        pthread_mutex_unlock(&lane->mutex);
        lane_job_run(lane, job);
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
static struct given_up overdue(const struct lane *lane, struct lane_job *job, int64_t now_ms)
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
        lane->standing_still += lane->at_work[i] != NULL && lane_job_is_given_up(lane->at_work[i]);
    }
    for (struct lane_job *job = lane->first; !is_any(&given_up) && job != NULL; job = job->next)
        given_up = overdue(lane, job, now_ms);
    return given_up;
}

/* Its last part: enough to know it by, and visitors hear no more of where things lie. */
static const char *root_name(const struct lane *lane)
{
    return basename(lane->root_path);
}

static void *watch_thread(void *argument)
{
    struct lane *lane = argument;
    pthread_setname_np(pthread_self(), "lane watch");
    pthread_mutex_lock(&lane->mutex);
    while (!lane->stopping) {
        struct given_up given_up = find_overdue(lane, clock_monotonic_ms());
        if (!is_any(&given_up)) {
            clock_wait_until(&lane->ended, &lane->mutex, clock_monotonic_ms() + WATCH_MS);
            continue;
        }
        struct err err;
        if (lane->cancelled)
            err_set(&err, RC_CANCELLED, "the server is going down");
        else
            err_set(&err, RC_LATE, "the image directory '%.100s' did not answer in time", root_name(lane));
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

/* NULL: no memory. */
static struct lane_job *job_new(const struct lane *lane, const char *path)
{
    struct lane_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->deadline_ms = clock_monotonic_ms() + lane->timeout_ms;
    job->path = strdup(path);
    if (job->path == NULL)
        free(TAKE_PTR(job));
    return job;
}

/* Under the mutex. */
static enum rc why_not(const struct lane *lane, const struct lane_job *job, struct err *err)
{
    if (job == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to read the image directory");
    if (lane->cancelled)
        return err_set(err, RC_CANCELLED, "the server is going down");
    if (lane->standing_still == lane->thread_count)
        return err_set(
            err, RC_LATE,
            "the image directory '%.100s' does not answer: all %u threads that read it stand still",
            root_name(lane), lane->thread_count);
    return RC_OK;
}

/* Takes over the job, which may be NULL, in every case. */
static enum rc enqueue(struct lane *lane, struct lane_job *job, struct err *err)
{
    pthread_mutex_lock(&lane->mutex);
    enum rc rc = why_not(lane, job, err);
    if (rc == RC_OK) {
        *lane->last = job;
        lane->last = &job->next;
        pthread_cond_signal(&lane->work);
    }
    pthread_mutex_unlock(&lane->mutex);
    if (rc != RC_OK && job != NULL)
        job_free(job);
    return rc;
}

static void lane_submit(struct transport *transport, struct transport_fetch *fetch)
{
    struct lane *lane = (struct lane *)transport;
    struct lane_job *job = job_new(lane, fetch->path);
    struct err err;
    if (job != NULL) {
        job->fetch = fetch;
        job->offset = fetch->offset;
        job->length = fetch->length;
        job->first = fetch->first;
        job->has_known = fetch->known != NULL;
        if (job->has_known)
            job->known = *fetch->known;
    }
    enum rc rc = enqueue(lane, job, &err);
    if (rc != RC_OK)
        fetch->done(fetch, rc, &err);
}

static void lane_list(struct transport *transport, struct transport_listing *listing)
{
    struct lane *lane = (struct lane *)transport;
    struct lane_job *job = job_new(lane, listing->path);
    struct err err;
    listing->arena = NULL;
    if (job != NULL) {
        job->listing = listing;
        job->is_listing = true;
    }
    enum rc rc = enqueue(lane, job, &err);
    if (rc != RC_OK)
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
        any = any || (lane->at_work[i] != NULL && !lane_job_is_given_up(lane->at_work[i]));
    for (const struct lane_job *job = lane->first; job != NULL; job = job->next)
        any = any || !lane_job_is_given_up(job);
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
        struct lane_job *job = lane->first;
        lane->first = job->next;
        job_free(job);
    }
    own_close(&lane->other_root_fd);
    own_close(&lane->transport.lost_fd);
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
    lane->transport = (struct transport){
        .ops = &lane_ops, .name = lane->name, .lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    lane->root_fd = root_fd;
    lane->other_root_fd = -1;
    lane->thread_count = threads < LANE_MOST_THREADS ? threads : LANE_MOST_THREADS;
    lane->timeout_ms = timeout_ms;
    lane->last = &lane->first;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->work, NULL);
    pthread_cond_init(&lane->ended, NULL);
    *ret_transport = &lane->transport;
    return RC_OK;
}
