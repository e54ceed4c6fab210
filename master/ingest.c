#include "master/ingest.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/converters.h"
#include "master/manifests.h"
#include "master/thumbnails.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#define EVENTS_AT_ONCE 64
#define DRAW_EVERY_MS  200
#define EVENT_SIGNAL   UINT64_MAX

struct ingest {
    struct ingest_batch *batch;
    struct master_converters converters;
    int epoll, signals;
};

static uint32_t count_cpus(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count > 0 ? (uint32_t)count : 1;
}

/* From here on these signals wait until the loop reads them; converters set their own. */
static enum rc open_events(struct ingest *ingest, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    static const int number[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
        sigaddset(&set, number[i]);
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may be gone */
    sigprocmask(SIG_BLOCK, &set, NULL);
    ingest->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    ingest->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT_SIGNAL};
    if (ingest->signals < 0 || ingest->epoll < 0 ||
        epoll_ctl(ingest->epoll, EPOLL_CTL_ADD, ingest->signals, &event) < 0)
        return err_set_errno(err, RC_IO, errno, "events cannot be waited for");
    return RC_OK;
}

static void take_signals(struct ingest *ingest)
{
    struct signalfd_siginfo info;
    while (read(ingest->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD) {
            ingest_batch_stop(ingest->batch, "interrupted");
            master_converters_drop(&ingest->converters);
        }
    master_converters_reap(&ingest->converters);
}

static enum rc loop(struct ingest *ingest, struct err *err)
{
    struct master_converters *converters = &ingest->converters;
    for (;;) {
        struct ingest_task *task;
        while (converters->running < converters->count && (task = ingest_batch_next(ingest->batch)) != NULL)
            master_converters_start(converters, task);
        if (converters->running == 0)
            return RC_OK;
        ingest_batch_draw(ingest->batch);
        struct epoll_event event[EVENTS_AT_ONCE];
        int count = epoll_wait(ingest->epoll, event, EVENTS_AT_ONCE, DRAW_EVERY_MS);
        if (count < 0 && errno != EINTR) {
            master_converters_drop(converters);
            return err_set_errno(err, RC_IO, errno, "events cannot be waited for");
        }
        for (int i = 0; i < count; i++)
            if (event[i].data.u64 != EVENT_SIGNAL)
                master_converters_hear(converters, (uint32_t)event[i].data.u64);
        take_signals(ingest);
        master_converters_watch(converters, clock_monotonic_ms());
    }
}

static void ingest_done(struct ingest *ingest)
{
    master_converters_done(&ingest->converters);
    ingest_batch_close(&ingest->batch);
    own_close(&ingest->signals);
    own_close(&ingest->epoll);
}

enum rc master_ingest(const struct master_ingest_options *options, bool *ret_is_done, struct err *err)
{
    const struct settings *settings = &options->config.settings;
    uint32_t cpus = count_cpus();
    uint32_t jobs = settings->ingest_jobs > 0 ? (uint32_t)settings->ingest_jobs : cpus;
    uint32_t threads = settings->ingest_threads > 0 ? (uint32_t)settings->ingest_threads
                                                    : (cpus + jobs - 1) / jobs;
    const struct ingest_request request = {.source = options->source,
                                           .list = options->list,
                                           .base = options->base,
                                           .into = options->into,
                                           .report = options->report,
                                           .is_forced = options->is_forced,
                                           .is_dry_run = options->is_dry_run,
                                           .shard = options->shard,
                                           .shard_count = options->shard_count,
                                           .settings = settings,
                                           .is_fixed = options->config.is_fixed,
                                           .rules = &options->config.rules,
                                           .returns_unchanged = options->thumbnails != NULL ||
                                                                options->manifests,
                                           .threads = threads,
                                           .said_fd = STDERR_FILENO,
                                           .planned_fd = STDOUT_FILENO};
    OWN(ingest_done) struct ingest ingest = {.epoll = -1, .signals = -1};
    enum rc rc = open_events(&ingest, err);
    if (rc == RC_OK)
        rc = ingest_batch_open(&request, &ingest.batch, err);
    ingest.converters = (struct master_converters){.batch = ingest.batch,
                                                   .settings = settings,
                                                   .is_forced = options->is_forced,
                                                   .manifests = options->manifests,
                                                   .thumbnails = options->thumbnails,
                                                   .epoll = ingest.epoll};
    if (rc == RC_OK && options->thumbnails != NULL && !options->is_dry_run)
        rc = master_thumbnails_check(settings, options->into, err);
    if (rc == RC_OK && options->manifests && !options->is_dry_run)
        rc = master_manifests_check(settings, options->into, err);
    if (rc == RC_OK)
        rc = master_converters_init(&ingest.converters, jobs, err);
    if (rc == RC_OK)
        rc = loop(&ingest, err);
    if (rc == RC_OK)
        *ret_is_done = ingest_batch_finish(ingest.batch);
    return rc;
}
