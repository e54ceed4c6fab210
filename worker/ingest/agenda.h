/* What a batch has to do: a task for each master, in a fixed order, after everything has been taken out that
 * cannot be done or is somebody else's. Made once per batch from the sources; owns the names of
 * destinations. */
#ifndef WORKER_INGEST_AGENDA_H
#define WORKER_INGEST_AGENDA_H

#include "worker/ingest/mapping.h"
#include "worker/ingest/sources.h"

struct ingest_task {
    const struct ingest_source *source;
    const struct ingest_variant *variant;
    const char *destination; /* below the folder or prefix that --into names */
    /* While it is under way; the batch's. */
    char *path;                         /* of the destination */
    char *local_source, *local_pyramid; /* where they lie meanwhile; NULL: where they are and shall be */
    char *record;
    bool is_unchanged; /* its pyramid is there */
    double part;       /* of the master that has been read */
    double pixels;     /* of it */
    int64_t started_ms;
};

struct ingest_agenda {
    struct arena *arena;
    struct ingest_task *task; /* by destination */
    size_t count;
};

/* Of `shard_count` machines that are given the same sources, number `shard` (from 0) gets the tasks whose
 * destination's name falls to it. Which these are depends on the name alone, so that machines which see
 * folders at different moments neither miss a file nor do one twice. `complain` (the sources') hears of each
 * source of this shard that gets no task: two different files with one destination, names that cannot be. */
RC_MUST_USE enum rc ingest_agenda_make(struct ingest_agenda *agenda, struct ingest_sources *sources,
                                       struct ingest_mapping *mapping, uint32_t shard, uint32_t shard_count,
                                       struct err *err);
void ingest_agenda_done(struct ingest_agenda *agenda);

/* Which of so many shards a name falls to. */
uint32_t ingest_agenda_shard(const char *name, uint32_t shard_count);

#endif
