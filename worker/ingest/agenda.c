#include "worker/ingest/agenda.h"

#include "base/own.h"
#include "worker/ingest/name.h"

#include <stdlib.h>
#include <string.h>

uint32_t ingest_agenda_shard(const char *name, uint32_t shard_count)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START, name, strlen(name));
    /* FNV's last bits follow the last letters: mixed, as MurmurHash3 ends. */
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)((hash ^ hash >> 33) % shard_count);
}

static int by_destination(const void *a, const void *b)
{
    const struct ingest_task *one = a, *other = b;
    int order = strcmp(one->destination, other->destination);
    return order != 0 ? order : strcmp(one->source->path, other->source->path);
}

/* A task for every source that can have one. */
static enum rc make_tasks(struct ingest_agenda *agenda, struct ingest_sources *sources,
                          struct ingest_mapping *mapping, uint32_t shard, uint32_t shard_count,
                          struct err *err)
{
    OWN(bytes_done) struct bytes name = {0};
    for (size_t i = 0; i < sources->count; i++) {
        struct ingest_task task = {.source = &sources->item[i]};
        struct err wrong = {0};
        enum rc rc = ingest_mapping_find(mapping, task.source->relative, &task.variant, err);
        if (rc != RC_OK)
            return rc;
        name.length = 0;
        rc = ingest_mapping_name(task.variant, task.source->relative, &name, &wrong);
        if (rc == RC_BAD_REQUEST) {
            if (ingest_agenda_shard(task.source->relative, shard_count) == shard)
                sources->complain(sources->context, task.source->path, wrong.message);
            continue;
        }
        task.destination = rc == RC_OK ? arena_text(agenda->arena, (char *)name.data, name.length) : NULL;
        if (task.destination == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for the names of %zu pyramids", sources->count);
        if (ingest_agenda_shard(task.destination, shard_count) == shard)
            agenda->task[agenda->count++] = task;
    }
    return RC_OK;
}

static bool is_same_file(const struct ingest_task *a, const struct ingest_task *b)
{
    if (a->source->version != NULL || b->source->version != NULL)
        return strcmp(a->source->path, b->source->path) == 0;
    return a->source->device == b->source->device && a->source->inode == b->source->inode;
}

static enum rc refuse(const struct ingest_task *task, const struct ingest_task *other,
                      struct ingest_sources *sources, struct err *err)
{
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = bytes_append(&text, "refused, because ", 17, err);
    if (rc == RC_OK)
        rc = ingest_name_show(other->source->path, &text, err);
    if (rc == RC_OK)
        rc = bytes_append(&text, " would become ", 14, err);
    if (rc == RC_OK)
        rc = ingest_name_show(task->destination, &text, err);
    if (rc == RC_OK)
        rc = bytes_append(&text, " too", 5, err);
    if (rc == RC_OK)
        sources->complain(sources->context, task->source->path, (char *)text.data);
    return rc;
}

/* Of tasks with one destination: none stays, or one where all are the same file. */
static enum rc settle_collisions(struct ingest_agenda *agenda, struct ingest_sources *sources,
                                 struct err *err)
{
    size_t kept = 0, end;
    for (size_t i = 0; i < agenda->count; i = end) {
        const struct ingest_task *first = &agenda->task[i], *other = NULL;
        for (end = i + 1; end < agenda->count; end++) {
            const struct ingest_task *next = &agenda->task[end];
            if (strcmp(next->destination, first->destination) != 0)
                break;
            if (other == NULL && !is_same_file(first, next))
                other = next;
        }
        for (size_t j = i; j < end && other != NULL; j++) {
            const struct ingest_task *task = &agenda->task[j];
            enum rc rc = refuse(task, is_same_file(task, first) ? other : first, sources, err);
            if (rc != RC_OK)
                return rc;
        }
        if (other == NULL)
            agenda->task[kept++] = *first;
    }
    agenda->count = kept;
    return RC_OK;
}

enum rc ingest_agenda_make(struct ingest_agenda *agenda, struct ingest_sources *sources,
                           struct ingest_mapping *mapping, uint32_t shard, uint32_t shard_count,
                           struct err *err)
{
    *agenda = (struct ingest_agenda){.arena = arena_new(),
                                     .task = calloc(sources->count + 1, sizeof *agenda->task)};
    enum rc rc = agenda->arena != NULL && agenda->task != NULL
                     ? make_tasks(agenda, sources, mapping, shard, shard_count, err)
                     : err_set(err, RC_NO_MEMORY, "no memory for %zu tasks", sources->count);
    if (rc == RC_OK) {
        qsort(agenda->task, agenda->count, sizeof *agenda->task, by_destination);
        rc = settle_collisions(agenda, sources, err);
    }
    if (rc != RC_OK)
        ingest_agenda_done(agenda);
    return rc;
}

void ingest_agenda_done(struct ingest_agenda *agenda)
{
    for (size_t i = 0; i < agenda->count; i++) {
        free(agenda->task[i].path);
        free(agenda->task[i].record);
        free(agenda->task[i].local_source);
        free(agenda->task[i].local_pyramid);
    }
    free(TAKE_PTR(agenda->task));
    if (agenda->arena != NULL)
        arena_free(TAKE_PTR(agenda->arena));
    agenda->count = 0;
}
