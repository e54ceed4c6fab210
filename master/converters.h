/* The converters of a batch: for each master under way one process after the other, and what becomes of it:
 * a carrier that brings it from its bucket, the converter, a carrier that takes the pyramid to its bucket,
 * what writes its manifest, what asks for thumbnails. Most need only the second.
 *
 * Forked by the code that forks workers (child.h), heard over their channels, watched, and killed when they
 * stand still. However one ends, its file has an outcome and the others go on. One thread, nothing here
 * waits. */
#ifndef MASTER_CONVERTERS_H
#define MASTER_CONVERTERS_H

#include "worker/converter.h"
#include "worker/ingest/batch.h"

enum master_converter_step { STEP_BRING, STEP_CONVERT, STEP_TAKE, STEP_MANIFEST, STEP_THUMBNAILS };

struct master_converter {
    pid_t pid;   /* 0: the place is free */
    int channel; /* -1: its end was seen */
    struct ingest_task *task;
    int64_t heard_ms;         /* when it last showed progress, */
    uint64_t moved_bytes;     /* and what it had read and written until then */
    bool is_hung, is_dropped; /* killed because it stood still; because the batch is over */
    bool has_result;
    struct worker_conversion_message result;
    enum master_converter_step step; /* what the process does */
    bool was_unchanged;              /* as was found before this step */
    bool was_made;                   /* the pyramid, by a process before it, with */
    struct ingest_result made;
    uint64_t peak_memory_bytes;
};

struct master_converters {
    struct ingest_batch *batch;
    const struct settings *settings;
    bool is_forced;         /* pyramids are made also where they are there and unchanged */
    bool manifests;         /* are wanted */
    const char *thumbnails; /* widths; NULL: none are wanted */
    int epoll;
    uint64_t event_data; /* what epoll says of a channel, with the place added */
    uint32_t count, running;
    struct master_converter *converter;
};

/* Makes `count` places; batch, settings, epoll and event_data are set. */
RC_MUST_USE enum rc master_converters_init(struct master_converters *converters, uint32_t count,
                                           struct err *err);
void master_converters_done(struct master_converters *converters);

/* Forks a converter for the task into a free place; for one that is unchanged, what makes its manifest or
 * thumbnails. When that fails the task has ended. */
void master_converters_start(struct master_converters *converters, struct ingest_task *task);
/* Hears what the converter of a place says. */
void master_converters_hear(struct master_converters *converters, uint32_t place);
/* SIGCHLD: takes in the ends of converters. */
void master_converters_reap(struct master_converters *converters);
/* Kills those that have shown no progress for too long: said none, read nothing and written nothing. */
void master_converters_watch(struct master_converters *converters, int64_t now_ms);
/* The batch is over: kills all; their files are no failures, the next run does them. */
void master_converters_drop(struct master_converters *converters);

#endif
