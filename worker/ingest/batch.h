/* A batch: many masters become pyramids, one after the other, and nothing that happens to one ends the rest.
 *
 *     sources → agenda → next ──► (a converter, the caller's) ──► heard … ended ──► report, progress
 *                         └─ done and unchanged, or impossible: said, and the one after it
 *
 * The bookkeeping alone: which file is next, what is said, what the report gets, when to stop. Processes are
 * its caller's (master/ingest.c), so that a server may run a batch by the same calls one day. One thread,
 * opens no picture. What a kill at any moment leaves: whole pyramids, each with the record of what it was
 * made of (record.h), and for each conversion under way a temporary file, which the next run removes. */
#ifndef WORKER_INGEST_BATCH_H
#define WORKER_INGEST_BATCH_H

#include "worker/ingest/agenda.h"
#include "worker/ingest/convert.h"

struct ingest_request {
    const char *const *source;   /* ends with NULL */
    const char *list;            /* a file of names; NULL: none */
    const char *base;            /* NULL: none */
    const char *into;            /* folder, made where it is missing, or s3://BUCKET/PREFIX */
    const char *report;          /* NULL: none */
    bool is_forced;              /* converts what is done and unchanged, too */
    bool is_dry_run;             /* says what would be done, and changes nothing */
    uint32_t shard, shard_count; /* from 0; count 1: everything */
    const struct settings *settings;
    const bool *is_fixed; /* for each row of the settings whether rules leave it alone */
    const struct ingest_rules *rules;
    bool returns_unchanged; /* there is something to be done for pyramids that are there already */
    uint32_t threads;       /* for each conversion */
    int said_fd;            /* progress and what is wrong */
    int planned_fd;         /* what a dry run would do */
};

struct ingest_outcome {
    enum rc rc;
    int os_errno;
    const char *sentence;               /* where rc is not RC_OK */
    const struct ingest_result *result; /* where it is */
    bool is_unchanged;                  /* a carrier found it so: rc is RC_OK, and there is no result */
    bool is_killed;                     /* the converter ended without a result */
    uint64_t peak_memory_bytes;
};

struct ingest_batch;

/* Finds and sorts the sources; what is wrong with single ones is said and counted. RC_IO: the destination or
 * the report cannot be opened, a list cannot be read. */
RC_MUST_USE enum rc ingest_batch_open(const struct ingest_request *request, struct ingest_batch **ret_batch,
                                      struct err *err);
void ingest_batch_close(struct ingest_batch **batch);

/* The next master to convert, or, where the request wants that, whose pyramid is there already
 * (is_unchanged); NULL: there is none, or the batch has stopped. */
struct ingest_task *ingest_batch_next(struct ingest_batch *batch);
/* How the conversion of a task is to be done. `record` of the options is the task's. RC_BAD_REQUEST never
 * with settings that were checked. */
RC_MUST_USE enum rc ingest_batch_options(const struct ingest_batch *batch, const struct ingest_task *task,
                                         struct ingest_options *ret_options, struct err *err);

/* So many rows of the task's master have been read. */
void ingest_batch_heard(struct ingest_batch *batch, struct ingest_task *task, struct image_size size,
                        uint32_t rows_done);
/* RC_CANCELLED: the batch was stopped before it was done; this is no failure. */
void ingest_batch_ended(struct ingest_batch *batch, struct ingest_task *task,
                        const struct ingest_outcome *outcome);

/* The bar, where there is a terminal. */
void ingest_batch_draw(struct ingest_batch *batch);
/* Nothing is begun any more; the sentence is said once. Tasks under way are ended by the caller. */
void ingest_batch_stop(struct ingest_batch *batch, const char *sentence);
/* The last line. True when every file is done. */
bool ingest_batch_finish(struct ingest_batch *batch);

#endif
