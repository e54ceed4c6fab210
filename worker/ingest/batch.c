#include "worker/ingest/batch.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/ingest/bucket.h"
#include "worker/ingest/destination.h"
#include "worker/ingest/name.h"
#include "worker/ingest/progress.h"
#include "worker/ingest/record.h"
#include "worker/ingest/report.h"
#include "worker/ingest/scratch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct ingest_batch {
    const struct ingest_request *request;
    struct ingest_destination destination;
    struct ingest_scratch scratch;
    struct ingest_sources sources;
    struct ingest_mapping mapping;
    struct ingest_agenda agenda;
    struct ingest_report report;
    struct ingest_progress progress;
    size_t cursor;
    size_t made, unchanged, planned, failed, dropped;
    double pixels;                  /* of what was made */
    double bytes, bytes_ended;      /* of the masters to convert, and of those that have ended */
    double pixels_read, bytes_read; /* of those under way */
    int64_t started_ms;
    bool is_stopped, is_report_lost;
};

/* What is said ---------------------------------------------------------------------------------------- */

/* "NAME: sentence" above the bar. */
static void say(struct ingest_batch *batch, const char *name, const char *sentence)
{
    OWN(bytes_done) struct bytes text = {0};
    if (ingest_name_show(name, &text, NULL) == RC_OK && bytes_format(&text, NULL, ": %s", sentence) == RC_OK)
        ingest_progress_line(&batch->progress, (char *)text.data);
}

static void write_report(struct ingest_batch *batch, const struct ingest_report_line *line)
{
    struct err err = {0};
    if (batch->is_report_lost || ingest_report_write(&batch->report, line, &err) == RC_OK)
        return;
    batch->is_report_lost = true; /* said once, counted at the end */
    say(batch, batch->request->report, err.message);
}

/* A name that gets no task. */
static void fail_name(void *context, const char *name, const char *sentence)
{
    struct ingest_batch *batch = context;
    batch->failed++;
    say(batch, name, sentence);
    write_report(batch, &(struct ingest_report_line){.status = "failed", .source = name, .error = sentence});
}

/* The same while the sources are looked for: all machines see it, one says it. */
static void fail_name_once(void *context, const char *name, const char *sentence)
{
    struct ingest_batch *batch = context;
    if (ingest_agenda_shard(name, batch->request->shard_count) == batch->request->shard)
        fail_name(context, name, sentence);
}

static void fail_task(struct ingest_batch *batch, const struct ingest_task *task, const char *sentence,
                      double seconds, uint64_t peak_memory_bytes)
{
    batch->failed++;
    say(batch, task->source->path, sentence);
    write_report(batch, &(struct ingest_report_line){.status = "failed",
                                                     .source = task->source->path,
                                                     .destination = task->path,
                                                     .error = sentence,
                                                     .seconds = seconds,
                                                     .peak_memory_bytes = peak_memory_bytes});
}

static size_t ended(const struct ingest_batch *batch)
{
    return batch->made + batch->unchanged + batch->planned + batch->failed;
}

/* Elsewhere than on a terminal each file gets its line. */
static void say_made(struct ingest_batch *batch, const struct ingest_task *task,
                     const struct ingest_result *result, double seconds)
{
    OWN(bytes_done) struct bytes text = {0};
    for (unsigned i = 0; i < result->warning_count; i++)
        say(batch, task->source->path, result->warning[i]);
    if (batch->progress.is_terminal)
        return;
    double mpx = (double)result->size.width_px * result->size.height_px / 1e6;
    if (bytes_format(&text, NULL, "[%zu/%zu] ", ended(batch), batch->agenda.count + batch->failed) == RC_OK &&
        ingest_name_show(task->path, &text, NULL) == RC_OK &&
        bytes_format(&text, NULL, ": %" PRIu32 " × %" PRIu32 " px, %.1f Mpx in %.1f s, %.1f MB",
                     result->size.width_px, result->size.height_px, mpx, seconds,
                     (double)result->destination_bytes / 1e6) == RC_OK)
        ingest_progress_line(&batch->progress, (char *)text.data);
}

static void say_planned(struct ingest_batch *batch, const struct ingest_task *task)
{
    OWN(bytes_done) struct bytes text = {0};
    if (ingest_name_show(task->source->path, &text, NULL) == RC_OK &&
        bytes_append(&text, " -> ", 4, NULL) == RC_OK && ingest_name_show(task->path, &text, NULL) == RC_OK &&
        bytes_format(&text, NULL, "  (%s)", task->variant->text) == RC_OK) {
        struct ingest_progress out = {.fd = batch->request->planned_fd};
        ingest_progress_line(&out, (char *)text.data);
    }
}

/* Beginning ------------------------------------------------------------------------------------------- */

static enum rc find_sources(struct ingest_batch *batch, struct err *err)
{
    const struct ingest_request *request = batch->request;
    struct ingest_sources *sources = &batch->sources;
    enum rc rc = ingest_sources_init(sources, err);
    sources->avoid_device = batch->destination.device;
    sources->avoid_inode = batch->destination.inode;
    sources->avoid_prefix = batch->destination.is_remote ? request->into : NULL;
    sources->settings = request->settings;
    sources->base = request->base;
    sources->complain = fail_name_once;
    sources->context = batch;
    for (const char *const *argument = request->source; *argument != NULL && rc == RC_OK; argument++)
        rc = ingest_sources_add(sources, *argument, err);
    if (rc == RC_OK && request->list != NULL)
        rc = ingest_sources_add_list(sources, request->list, err);
    sources->complain = fail_name;
    if (rc == RC_OK)
        rc = ingest_agenda_make(&batch->agenda, sources, &batch->mapping, request->shard,
                                request->shard_count, err);
    for (size_t i = 0; i < batch->agenda.count; i++)
        batch->bytes += (double)batch->agenda.task[i].source->size_bytes;
    bool is_remote = batch->destination.is_remote;
    for (size_t i = 0; i < batch->agenda.count && !is_remote; i++)
        is_remote = batch->agenda.task[i].source->version != NULL;
    if (rc == RC_OK && is_remote && !request->is_dry_run)
        rc = ingest_scratch_open(request->settings->ingest_scratch, &batch->scratch, err);
    batch->destination.scratch = batch->scratch.path;
    return rc == RC_OK ? ingest_destination_guard(&batch->destination, sources, err) : rc;
}

enum rc ingest_batch_open(const struct ingest_request *request, struct ingest_batch **ret_batch,
                          struct err *err)
{
    OWN(ingest_batch_close) struct ingest_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a batch");
    batch->request = request;
    batch->report.fd = -1;
    batch->scratch = INGEST_SCRATCH_NONE;
    batch->mapping = (struct ingest_mapping){
        .settings = request->settings, .is_fixed = request->is_fixed, .rules = request->rules};
    batch->started_ms = clock_monotonic_ms();
    ingest_progress_init(&batch->progress, request->said_fd);
    enum rc rc = ingest_destination_open(&batch->destination, request->into, request->is_dry_run, err);
    if (rc == RC_OK && request->report != NULL)
        rc = ingest_report_open(request->report, &batch->report, err);
    if (rc == RC_OK)
        rc = find_sources(batch, err);
    if (rc != RC_OK)
        return rc;
    batch->started_ms = clock_monotonic_ms();
    *ret_batch = TAKE_PTR(batch);
    return RC_OK;
}

void ingest_batch_close(struct ingest_batch **batch)
{
    if (*batch == NULL)
        return;
    ingest_progress_clear(&(*batch)->progress);
    ingest_agenda_done(&(*batch)->agenda);
    ingest_mapping_done(&(*batch)->mapping);
    ingest_sources_done(&(*batch)->sources);
    ingest_report_close(&(*batch)->report);
    ingest_destination_close(&(*batch)->destination);
    ingest_scratch_close(&(*batch)->scratch);
    free(TAKE_PTR(*batch));
}

/* One file -------------------------------------------------------------------------------------------- */

/* The record of the pyramid that the master, as it is now, is to become. */
static enum rc make_record(const struct ingest_task *task, struct bytes *out, struct err *err)
{
    const struct ingest_source *source = task->source;
    struct stat st;
    char changed[48];
    if (source->version != NULL)
        return ingest_record_make(source->size_bytes, source->version, task->variant->text, out, err);
    if (stat(source->path, &st) < 0)
        return err_set_errno(err, RC_IO, errno, "it cannot be read");
    snprintf(changed, sizeof changed, "%" PRId64 ".%09ld", (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return ingest_record_make((uint64_t)st.st_size, changed, task->variant->text, out, err);
}

/* Where a master from a bucket, and a pyramid for one, lie meanwhile. */
static enum rc name_local(const struct ingest_batch *batch, struct ingest_task *task, struct err *err)
{
    size_t number = (size_t)(task - batch->agenda.task);
    if (batch->scratch.path == NULL)
        return RC_OK;
    if (task->source->version != NULL &&
        asprintf(&task->local_source, "%s/%zu", batch->scratch.path, number) < 0)
        task->local_source = NULL;
    if (batch->destination.is_remote &&
        asprintf(&task->local_pyramid, "%s/%zu.tif", batch->scratch.path, number) < 0)
        task->local_pyramid = NULL;
    return (task->source->version != NULL) == (task->local_source != NULL) &&
                   batch->destination.is_remote == (task->local_pyramid != NULL)
               ? RC_OK
               : err_set(err, RC_NO_MEMORY, "no memory for the name of a file");
}

/* Whether the pyramid is there; what lies in a bucket is looked at by a carrier, or, where there is none,
 * here. */
static bool is_unchanged(const struct ingest_batch *batch, const struct ingest_task *task)
{
    if (batch->request->is_forced || (batch->destination.is_remote && !batch->request->is_dry_run))
        return false;
    if (!batch->destination.is_remote)
        return ingest_record_is_in(task->path, task->record);
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = NULL;
    OWN(bytes_done) struct bytes first = {0};
    return ingest_bucket_open(batch->request->settings, task->path, &bucket, NULL) == RC_OK &&
           ingest_bucket_peek(bucket, INGEST_RECORD_REACH_BYTES, &first, NULL) == RC_OK &&
           ingest_record_is_at(first.data, first.length, task->record);
}

/* Looks at master and destination as they are now. RC_OK: to be converted; RC_NOT_FOUND: nothing to be done.
 * Otherwise the file fails. */
static enum rc prepare(struct ingest_batch *batch, struct ingest_task *task, struct err *err)
{
    OWN(bytes_done) struct bytes record = {0};
    enum rc rc = ingest_destination_path(&batch->destination, task->destination, &task->path, err);
    if (rc != RC_OK)
        return rc;
    rc = make_record(task, &record, err);
    if (rc == RC_OK)
        rc = name_local(batch, task, err);
    if (rc == RC_OK)
        rc = ingest_destination_check(&batch->destination, task->path, err);
    if (rc != RC_OK)
        return rc;
    task->record = (char *)TAKE_PTR(record.data);
    return is_unchanged(batch, task) ? RC_NOT_FOUND : RC_OK;
}

/* How far a file under way has come. */
static void note_part(struct ingest_batch *batch, struct ingest_task *task, double pixels, double part)
{
    batch->pixels_read += pixels - task->pixels;
    batch->bytes_read += (part - task->part) * (double)task->source->size_bytes;
    task->pixels = pixels;
    task->part = part;
}

static void settle(struct ingest_batch *batch, struct ingest_task *task)
{
    note_part(batch, task, 0, 0);
    batch->bytes_ended += (double)task->source->size_bytes;
    if (task->local_source != NULL)
        unlink(task->local_source);
    if (task->local_pyramid != NULL)
        unlink(task->local_pyramid);
    free(TAKE_PTR(task->path));
    free(TAKE_PTR(task->record));
    free(TAKE_PTR(task->local_source));
    free(TAKE_PTR(task->local_pyramid));
}

/* What was never to be converted does not count as work. */
static void settle_without_work(struct ingest_batch *batch, struct ingest_task *task, const char *status)
{
    write_report(batch, &(struct ingest_report_line){
                            .status = status, .source = task->source->path, .destination = task->path});
    batch->bytes -= (double)task->source->size_bytes;
    batch->bytes_ended -= (double)task->source->size_bytes;
    settle(batch, task);
}

static void settle_unchanged(struct ingest_batch *batch, struct ingest_task *task)
{
    batch->unchanged++;
    settle_without_work(batch, task, "unchanged");
}

struct ingest_task *ingest_batch_next(struct ingest_batch *batch)
{
    while (!batch->is_stopped && batch->cursor < batch->agenda.count) {
        struct ingest_task *task = &batch->agenda.task[batch->cursor++];
        struct err err = {0};
        enum rc rc = prepare(batch, task, &err);
        task->is_unchanged = rc == RC_NOT_FOUND;
        if (rc == RC_NOT_FOUND && batch->request->returns_unchanged && !batch->request->is_dry_run)
            return task;
        if (rc == RC_NOT_FOUND) {
            settle_unchanged(batch, task);
        } else if (rc == RC_OK && batch->request->is_dry_run) {
            batch->planned++;
            say_planned(batch, task);
            settle_without_work(batch, task, "planned");
        } else {
            if (rc == RC_OK)
                rc = ingest_destination_make_folder(&batch->destination, task->destination, &err);
            if (rc == RC_OK) {
                task->started_ms = clock_monotonic_ms();
                return task;
            }
            fail_task(batch, task, err.message, 0, 0);
            settle(batch, task);
            if (ingest_destination_is_lost(&batch->destination, err.os_errno, &err))
                ingest_batch_stop(batch, err.message);
        }
    }
    return NULL;
}

enum rc ingest_batch_options(const struct ingest_batch *batch, const struct ingest_task *task,
                             struct ingest_options *ret_options, struct err *err)
{
    struct ingest_options options;
    enum rc rc = ingest_mapping_options(task->variant, &options, err);
    if (rc != RC_OK)
        return rc;
    options.threads = batch->request->threads;
    options.record = task->record;
    *ret_options = options;
    return RC_OK;
}

void ingest_batch_heard(struct ingest_batch *batch, struct ingest_task *task, struct image_size size,
                        uint32_t rows_done)
{
    note_part(batch, task, (double)size.width_px * rows_done,
              size.height_px > 0 ? (double)rows_done / size.height_px : 0);
}

void ingest_batch_ended(struct ingest_batch *batch, struct ingest_task *task,
                        const struct ingest_outcome *outcome)
{
    double seconds = (double)(clock_monotonic_ms() - task->started_ms) / 1000;
    if (outcome->is_killed)
        ingest_convert_discard(task->local_pyramid != NULL ? task->local_pyramid : task->path);
    if (outcome->rc == RC_CANCELLED) {
        batch->dropped++;
    } else if (outcome->rc != RC_OK) {
        fail_task(batch, task, outcome->sentence, seconds, outcome->peak_memory_bytes);
    } else if (task->is_unchanged || outcome->is_unchanged) {
        settle_unchanged(batch, task);
        return;
    } else {
        batch->made++;
        batch->pixels += (double)outcome->result->size.width_px * outcome->result->size.height_px;
        say_made(batch, task, outcome->result, seconds);
        write_report(batch, &(struct ingest_report_line){.status = "made",
                                                         .source = task->source->path,
                                                         .destination = task->path,
                                                         .result = outcome->result,
                                                         .seconds = seconds,
                                                         .peak_memory_bytes = outcome->peak_memory_bytes});
    }
    settle(batch, task);
    struct err err = {0};
    if (outcome->rc != RC_OK && outcome->rc != RC_CANCELLED &&
        ingest_destination_is_lost(&batch->destination, outcome->os_errno, &err))
        ingest_batch_stop(batch, err.message);
}

/* All of it ------------------------------------------------------------------------------------------- */

void ingest_batch_draw(struct ingest_batch *batch)
{
    if (!batch->progress.is_terminal || batch->request->is_dry_run)
        return;
    const struct ingest_figures figures = {.files = batch->agenda.count,
                                           .ended = ended(batch),
                                           .failed = batch->failed,
                                           .pixels = batch->pixels + batch->pixels_read,
                                           .bytes = batch->bytes,
                                           .bytes_ended = batch->bytes_ended + batch->bytes_read,
                                           .elapsed_ms = clock_monotonic_ms() - batch->started_ms};
    ingest_progress_draw(&batch->progress, &figures);
}

void ingest_batch_stop(struct ingest_batch *batch, const char *sentence)
{
    if (batch->is_stopped)
        return;
    batch->is_stopped = true;
    say(batch, "vitrine ingest", sentence);
}

bool ingest_batch_finish(struct ingest_batch *batch)
{
    OWN(bytes_done) struct bytes text = {0};
    char taken[INGEST_PROGRESS_TIME_BYTES];
    double seconds = (double)(clock_monotonic_ms() - batch->started_ms) / 1000;
    size_t left = batch->agenda.count - batch->cursor + batch->dropped;
    ingest_progress_time(seconds, taken);
    ingest_progress_clear(&batch->progress);
    enum rc rc = batch->request->is_dry_run
                     ? bytes_format(&text, NULL, "%zu to be made, %zu unchanged, %zu failed", batch->planned,
                                    batch->unchanged, batch->failed)
                     : bytes_format(&text, NULL, "%zu made, %zu unchanged, %zu failed", batch->made,
                                    batch->unchanged, batch->failed);
    if (rc == RC_OK && left > 0)
        rc = bytes_format(&text, NULL, ", %zu left", left);
    if (rc == RC_OK && batch->sources.passed_over > 0)
        rc = bytes_format(&text, NULL, ", %zu other files passed over", batch->sources.passed_over);
    if (rc == RC_OK && batch->made > 0 && seconds > 0)
        rc = bytes_format(&text, NULL, "; %.1f Mpx in %s, %.1f Mpx/s", batch->pixels / 1e6, taken,
                          batch->pixels / 1e6 / seconds);
    if (rc == RC_OK && batch->is_stopped)
        rc = bytes_format(&text, NULL, "; the same command goes on from here");
    if (rc == RC_OK)
        ingest_progress_line(&batch->progress, (char *)text.data);
    return batch->failed == 0 && left == 0 && !batch->is_stopped && !batch->is_report_lost;
}
