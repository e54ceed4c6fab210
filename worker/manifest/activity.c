#include "worker/manifest/activity.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "base/turns.h"
#include "worker/manifest/activity_scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>

#define LOOK_EVERY_MS 250 /* whether it is time, or somebody else has gone */
#define FILES_AT_ONCE 64  /* then a pause, so that others get at the disc */
#define PAUSE_NS      500000
#define REST_TIMES    50

struct activity {
    struct activity_options options;
    struct activity_log *log;
    char *lock_path;
    int lock; /* -1: another one is the scanner */
    uint64_t files;
    int64_t due_ms;
    bool has_complained;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stops, has_thread;
    pthread_t thread;
};

static bool is_stopping(void *context)
{
    struct activity *activity = context;
    pthread_mutex_lock(&activity->mutex);
    bool stops = activity->stops;
    pthread_mutex_unlock(&activity->mutex);
    return stops;
}

static void go_easy(void *context)
{
    struct activity *activity = context;
    if (++activity->files % FILES_AT_ONCE == 0)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

static bool is_public(void *context, const char *path)
{
    const struct activity *activity = context;
    return activity->options.is_public(activity->options.context, path);
}

/* Once for each run of failures. */
static void complain(struct activity *activity, const struct err *err)
{
    if (!activity->has_complained)
        log_warning("looking for changes: %s", err->message);
    activity->has_complained = true;
}

struct moment {
    int64_t at_ms, processor_ms;
    long blocks_read;
};

/* Of this thread. */
static struct moment now(void)
{
    struct rusage used = {0};
    getrusage(RUSAGE_THREAD, &used);
    return (struct moment){clock_monotonic_ms(), clock_thread_cpu_ns() / 1000000, used.ru_inblock};
}

/* What a look has cost others. This thread gives way to all, so on a busy machine it waits for a processor most of the time:
 * were that to count, a look of milliseconds would be the last one for half a minute. */
static int64_t cost_ms(const struct moment *begun, int64_t waited_ms)
{
    struct moment ended = now();
    int64_t passed_ms = ended.at_ms - begun->at_ms,
            worked_ms = ended.processor_ms - begun->processor_ms + waited_ms;
    return ended.blocks_read > begun->blocks_read || worked_ms > passed_ms ? passed_ms : worked_ms;
}

static void look(struct activity *activity)
{
    const struct activity_scan_source source = {.origin = activity->options.origin,
                                                .catalogue = list_live_now(activity->options.catalogue),
                                                .is_public = is_public,
                                                .stops = is_stopping,
                                                .pause = go_easy,
                                                .context = activity};
    struct activity_scan_result result;
    struct err err;
    struct moment begun = now();
    enum rc rc = activity_scan(&source, activity->log, &result, &err);
    int64_t ended_ms = clock_monotonic_ms(), every_ms = activity->options.every_s * 1000,
            rest_ms = (rc == RC_OK ? cost_ms(&begun, result.waited_ms) : ended_ms - begun.at_ms) * REST_TIMES;
    activity->due_ms = ended_ms + (rest_ms > every_ms ? rest_ms : every_ms);
    if (rc != RC_OK && rc != RC_CANCELLED) {
        complain(activity, &err);
    } else if (rc == RC_OK) {
        activity->has_complained = false;
        if (result.change_count > 0)
            log_info("%zu changes of manifests and collections were noticed", result.change_count);
    }
}

static void take_office(struct activity *activity)
{
    if (activity->lock >= 0)
        return;
    OWN_FD int fd = open(activity->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        activity->lock = TAKE_FD(fd);
}

static void wait_a_little(struct activity *activity)
{
    pthread_mutex_lock(&activity->mutex);
    if (!activity->stops)
        clock_wait_until(&activity->wake, &activity->mutex, clock_monotonic_ms() + LOOK_EVERY_MS);
    pthread_mutex_unlock(&activity->mutex);
}

static void *keep_looking(void *argument)
{
    struct activity *activity = argument;
    pthread_setname_np(pthread_self(), "scanner");
    turns_give_way(TURNS_LARGE_WORK);
    while (!is_stopping(activity)) {
        take_office(activity);
        if (activity->lock >= 0 && clock_monotonic_ms() >= activity->due_ms)
            look(activity);
        wait_a_little(activity);
    }
    return NULL;
}

enum rc activity_open(const struct activity_options *options, struct activity **ret_activity, struct err *err)
{
    OWN(activity_close) struct activity *activity = calloc(1, sizeof *activity);
    OWN_FREE char *path = NULL;
    if (activity == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the log of changes");
    activity->options = *options;
    activity->lock = -1;
    activity->due_ms = options->waits_first ? clock_monotonic_ms() + options->every_s * 1000 : 0;
    pthread_mutex_init(&activity->mutex, NULL);
    pthread_cond_init(&activity->wake, NULL);
    if (asprintf(&path, "%s/activity-%016" PRIx64 ".mdb", options->folder, options->root) < 0 ||
        asprintf(&activity->lock_path, "%s/activity-%016" PRIx64 ".scanner", options->folder, options->root) <
            0)
        return err_set(err, RC_NO_MEMORY, "no memory for the log of changes");
    enum rc rc = activity_log_open(path, options->most_records, &activity->log, err);
    if (rc == RC_OK)
        *ret_activity = TAKE_PTR(activity);
    return rc;
}

enum rc activity_start(struct activity *activity, struct err *err)
{
    int fault = pthread_create(&activity->thread, NULL, keep_looking, activity);
    if (fault != 0)
        return err_set_errno(err, RC_NO_MEMORY, fault, "no thread to look for changes");
    activity->has_thread = true;
    return RC_OK;
}

void activity_close(struct activity **activity)
{
    struct activity *closed = TAKE_PTR(*activity);
    if (closed == NULL)
        return;
    pthread_mutex_lock(&closed->mutex);
    closed->stops = true;
    pthread_cond_signal(&closed->wake);
    pthread_mutex_unlock(&closed->mutex);
    if (closed->has_thread)
        pthread_join(closed->thread, NULL);
    activity_log_close(&closed->log);
    pthread_cond_destroy(&closed->wake);
    pthread_mutex_destroy(&closed->mutex);
    own_close(&closed->lock);
    free(closed->lock_path);
    free(closed);
}

const struct activity_log *activity_log_of(const struct activity *activity)
{
    return activity->log;
}
