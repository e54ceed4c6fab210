#include "master/converters.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "master/child.h"
#include "master/manifests.h"
#include "master/thumbnails.h"
#include "worker/carrier.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SENTENCE_BYTES 320 /* that of struct err, and some words */

enum rc master_converters_init(struct master_converters *converters, uint32_t count, struct err *err)
{
    converters->converter = calloc(count, sizeof *converters->converter);
    if (converters->converter == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u converters", count);
    converters->count = count;
    for (uint32_t i = 0; i < count; i++)
        converters->converter[i].channel = -1;
    return RC_OK;
}

void master_converters_done(struct master_converters *converters)
{
    for (uint32_t i = 0; i < converters->count; i++)
        own_close(&converters->converter[i].channel);
    free(TAKE_PTR(converters->converter));
}

static void close_file(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}

/* In the new process. */
static int run(void *context, int channel)
{
    struct worker_conversion *conversion = context;
    conversion->channel = channel;
    return worker_converter_run(conversion);
}

/* Of a process that is about a pyramid which is there already. */
struct thumbnails_errand {
    const struct master_converters *converters;
    const struct ingest_task *task;
};

/* In the new process. It says as a converter does how it went. */
static int say_result(int channel, enum rc rc, struct err *err)
{
    struct worker_conversion_message message;
    memset(&message, 0, sizeof message);
    message.kind = WORKER_RESULT;
    message.rc = (int32_t)rc;
    if (rc != RC_OK)
        memcpy(message.message, err->message, sizeof message.message);
    return fdio_send(channel, &message, sizeof message, -1, err) == RC_OK ? WORKER_EXIT_DONE
                                                                          : WORKER_EXIT_FAILED;
}

static int run_thumbnails(void *context, int channel)
{
    const struct thumbnails_errand *errand = context;
    struct err err = {0};
    signal(SIGINT, SIG_IGN);
    enum rc rc = master_thumbnails_make(errand->converters->settings, errand->task->path,
                                        errand->converters->thumbnails, &err);
    return say_result(channel, rc, &err);
}

static int run_manifest(void *context, int channel)
{
    const struct thumbnails_errand *errand = context;
    struct err err = {0};
    signal(SIGINT, SIG_IGN);
    enum rc rc = master_manifests_make(errand->converters->settings, errand->task->path, &err);
    return say_result(channel, rc, &err);
}

static int run_bring(void *context, int channel)
{
    struct worker_errand *errand = context;
    errand->channel = channel;
    return worker_carrier_bring(errand);
}

static int run_take(void *context, int channel)
{
    struct worker_errand *errand = context;
    errand->channel = channel;
    return worker_carrier_take(errand);
}

static enum rc fork_converter(struct master_converters *converters, struct master_converter *converter,
                              struct err *err)
{
    const struct ingest_task *task = converter->task;
    pid_t *pid = &converter->pid;
    int *channel = &converter->channel;
    struct thumbnails_errand thumbnails = {.converters = converters, .task = task};
    struct worker_errand errand = {.settings = converters->settings,
                                   .source = task->local_source != NULL ? task->source->path : NULL,
                                   .version = task->source->version,
                                   .local_source = task->local_source,
                                   .destination = task->local_pyramid != NULL ? task->path : NULL,
                                   .record = converters->is_forced ? NULL : task->record,
                                   .local_destination = task->local_pyramid};
    struct worker_conversion conversion = {
        .settings = converters->settings,
        .source = task->local_source != NULL ? task->local_source : task->source->path,
        .destination = task->local_pyramid != NULL ? task->local_pyramid : task->path};
    switch (converter->step) {
    case STEP_BRING:
        return master_child_fork("its carrier", run_bring, &errand, pid, channel, err);
    case STEP_TAKE:
        return master_child_fork("its carrier", run_take, &errand, pid, channel, err);
    case STEP_MANIFEST:
        return master_child_fork("what writes its manifest", run_manifest, &thumbnails, pid, channel, err);
    case STEP_THUMBNAILS:
        return master_child_fork("what makes its thumbnails", run_thumbnails, &thumbnails, pid, channel, err);
    case STEP_CONVERT:
        break;
    }
    enum rc rc = ingest_batch_options(converters->batch, task, &conversion.options, err);
    return rc == RC_OK ? master_child_fork("its converter", run, &conversion, pid, channel, err) : rc;
}

/* Starts the process of a place; when that fails, its task has ended. */
static void start(struct master_converters *converters, struct master_converter *converter)
{
    struct err err = {0};
    enum rc rc = fork_converter(converters, converter, &err);
    if (rc != RC_OK) {
        const struct ingest_outcome outcome = {.rc = rc, .os_errno = err.os_errno, .sentence = err.message};
        ingest_batch_ended(converters->batch, converter->task, &outcome);
        return;
    }
    converters->running++;
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = converters->event_data +
                                            (uint64_t)(converter - converters->converter)};
    /* Without it there is no progress to be seen; the result is read when the process ends. */
    (void)!epoll_ctl(converters->epoll, EPOLL_CTL_ADD, converter->channel, &event);
}

static enum master_converter_step first_step(const struct master_converters *converters,
                                             const struct ingest_task *task)
{
    if (task->is_unchanged)
        return converters->manifests ? STEP_MANIFEST : STEP_THUMBNAILS;
    return task->local_source != NULL || task->local_pyramid != NULL ? STEP_BRING : STEP_CONVERT;
}

/* What follows a step that went well. False: nothing, the task is done. */
static bool find_next_step(const struct master_converters *converters,
                           const struct master_converter *converter, enum master_converter_step *ret_step)
{
    bool is_unchanged = converter->result.kind == WORKER_UNCHANGED;
    if (converter->step == STEP_BRING && !is_unchanged)
        *ret_step = STEP_CONVERT;
    else if (converter->step == STEP_CONVERT && converter->task->local_pyramid != NULL)
        *ret_step = STEP_TAKE;
    else if (converter->step < STEP_MANIFEST && converters->manifests)
        *ret_step = STEP_MANIFEST;
    else if (converter->step < STEP_THUMBNAILS && converters->thumbnails != NULL)
        *ret_step = STEP_THUMBNAILS;
    else
        return false;
    return true;
}

/* The next process of the place. */
static void go_on(struct master_converters *converters, struct master_converter *converter,
                  enum master_converter_step step, uint64_t peak_memory_bytes)
{
    const struct master_converter before = *converter;
    *converter = (struct master_converter){
        .channel = -1,
        .task = before.task,
        .heard_ms = clock_monotonic_ms(),
        .step = step,
        .was_unchanged = before.was_unchanged ||
                         (before.step == STEP_BRING && before.result.kind == WORKER_UNCHANGED),
        .was_made = before.was_made,
        .made = before.made,
        .peak_memory_bytes = before.peak_memory_bytes};
    if (before.step == STEP_CONVERT) {
        converter->was_made = true;
        converter->made = before.result.result;
        converter->peak_memory_bytes = peak_memory_bytes;
    }
    start(converters, converter);
}

void master_converters_start(struct master_converters *converters, struct ingest_task *task)
{
    struct master_converter *converter = converters->converter;
    while (converter->pid != 0)
        converter++;
    *converter = (struct master_converter){
        .channel = -1, .task = task, .heard_ms = clock_monotonic_ms(), .step = first_step(converters, task)};
    start(converters, converter);
}

void master_converters_hear(struct master_converters *converters, uint32_t place)
{
    struct master_converter *converter = &converters->converter[place];
    while (converter->channel >= 0) {
        struct worker_conversion_message message;
        size_t length = 0;
        OWN_FD int fd = -1; /* converters send none; one that comes is closed */
        struct err err;
        enum rc rc = fdio_receive(converter->channel, &message, sizeof message, &length, &fd, &err);
        if (rc == RC_BUSY)
            return;
        if (rc != RC_OK || length == 0) {
            own_close(&converter->channel);
            converter->channel = -1;
        } else if (worker_converter_check(&message, length) && !converter->has_result) {
            converter->heard_ms = clock_monotonic_ms();
            if (message.kind == WORKER_PROGRESS) {
                ingest_batch_heard(converters->batch, converter->task, message.size, message.rows_done);
            } else {
                converter->has_result = true;
                converter->result = message;
            }
        }
    }
}

/* Why there is no result, in words. */
static void describe_end(const struct master_converters *converters, const struct master_converter *converter,
                         int status, char ret_sentence[SENTENCE_BYTES])
{
    static const char *const who[] = {[STEP_BRING] = "what fetches it",
                                      [STEP_CONVERT] = "its converter",
                                      [STEP_TAKE] = "what stores it",
                                      [STEP_MANIFEST] = "what writes it",
                                      [STEP_THUMBNAILS] = "what asks for them"};
    char end[MASTER_CHILD_END_BYTES];
    if (converter->is_hung) {
        snprintf(ret_sentence, SENTENCE_BYTES, "its conversion stood still for %" PRId64 " s and was ended",
                 converters->settings->ingest_hang_timeout_s);
        return;
    }
    master_child_describe_end(status, end);
    snprintf(ret_sentence, SENTENCE_BYTES, "%s %s", who[converter->step], end);
}

/* The process of a place has ended; its task has too, or goes on with the next one. */
static void settle(struct master_converters *converters, struct master_converter *converter, int status,
                   uint64_t peak_memory_bytes)
{
    struct ingest_outcome outcome = {.rc = RC_IO,
                                     .is_killed = !converter->has_result && converter->step == STEP_CONVERT,
                                     .sentence = converter->result.message,
                                     .result = &converter->result.result,
                                     .peak_memory_bytes = peak_memory_bytes};
    enum master_converter_step next;
    char sentence[SENTENCE_BYTES], whole[2 * SENTENCE_BYTES];
    if (converter->has_result) {
        outcome.rc = (enum rc)converter->result.rc;
        outcome.os_errno = converter->result.os_errno;
        outcome.is_unchanged = converter->result.kind == WORKER_UNCHANGED;
    } else if (converter->is_dropped) {
        outcome.rc = RC_CANCELLED;
    } else {
        describe_end(converters, converter, status, sentence);
        outcome.sentence = sentence;
    }
    own_close(&converter->channel);
    converter->channel = -1;
    converter->pid = 0;
    converters->running--;
    if (outcome.rc == RC_OK && find_next_step(converters, converter, &next)) {
        go_on(converters, converter, next, peak_memory_bytes);
        return;
    }
    if (converter->was_made) {
        outcome.result = &converter->made;
        outcome.peak_memory_bytes = converter->peak_memory_bytes;
    }
    if (converter->was_unchanged && outcome.rc == RC_OK)
        outcome.is_unchanged = true;
    if (converter->step == STEP_THUMBNAILS || converter->step == STEP_MANIFEST) {
        snprintf(whole, sizeof whole, "its pyramid is there, but not its %s: %s",
                 converter->step == STEP_MANIFEST ? "manifest" : "thumbnails", outcome.sentence);
        outcome.sentence = whole;
    }
    ingest_batch_ended(converters->batch, converter->task, &outcome);
}

void master_converters_reap(struct master_converters *converters)
{
    for (uint32_t i = 0; i < converters->count; i++) {
        struct master_converter *converter = &converters->converter[i];
        struct rusage usage;
        int status;
        if (converter->pid == 0 || wait4(converter->pid, &status, WNOHANG, &usage) != converter->pid)
            continue;
        master_converters_hear(converters, i); /* its last words */
        settle(converters, converter, status, (uint64_t)usage.ru_maxrss * 1024);
    }
}

/* What a process has read and written so far: while it puts a large file together or reads it back, it says
 * nothing. 0: the system does not tell. */
static uint64_t moved_bytes(pid_t pid)
{
    char path[32], line[64];
    uint64_t sum = 0, value;
    snprintf(path, sizeof path, "/proc/%d/io", pid);
    OWN(close_file) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "rchar: %" SCNu64, &value) == 1 || sscanf(line, "wchar: %" SCNu64, &value) == 1)
            sum += value;
    return sum;
}

void master_converters_watch(struct master_converters *converters, int64_t now_ms)
{
    int64_t limit_ms = 1000 * converters->settings->ingest_hang_timeout_s;
    for (uint32_t i = 0; i < converters->count; i++) {
        struct master_converter *converter = &converters->converter[i];
        if (converter->pid == 0 || converter->is_hung || now_ms - converter->heard_ms < limit_ms)
            continue;
        uint64_t moved = moved_bytes(converter->pid);
        if (moved != converter->moved_bytes) {
            converter->moved_bytes = moved;
            converter->heard_ms = now_ms;
            continue;
        }
        converter->is_hung = true;
        kill(converter->pid, SIGKILL);
    }
}

void master_converters_drop(struct master_converters *converters)
{
    for (uint32_t i = 0; i < converters->count; i++) {
        struct master_converter *converter = &converters->converter[i];
        if (converter->pid == 0)
            continue;
        converter->is_dropped = true;
        kill(converter->pid, SIGKILL);
    }
}
