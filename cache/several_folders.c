#include "cache/several_folders.h"

#include "base/own.h"
#include "cache/origin_kinds.h"

#include <stdlib.h>
#include <string.h>

bool several_is_far(const struct several_roots *roots, uint32_t root)
{
    return roots->root[root]->ops->await != NULL;
}

/* What a folder is called in the root; NULL: it cannot be there. */
static const char *folder_below(const struct roots_root *name, const char *path)
{
    const char *below = roots_below(name, path);
    return below == NULL && strcmp(path, name->name) == 0 ? "" : below;
}

/* ---- listing ---- */

struct merging {
    struct arena *arena;
    struct origin_entry *entry;
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct origin_entry *)a)->name, ((const struct origin_entry *)b)->name);
}

/* Adds what is not there by name yet; `entry` is of one folder, and sorted here. */
static enum rc merge(struct merging *merging, struct origin_entry *entry, size_t count, struct err *err)
{
    if (count == 0)
        return RC_OK;
    struct origin_entry *all = arena_alloc(merging->arena, (merging->count + count) * sizeof *all);
    if (all == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a folder of %zu entries", merging->count + count);
    qsort(entry, count, sizeof *entry, by_name);
    size_t a = 0, b = 0, out = 0;
    while (a < merging->count || b < count) {
        int order = a == merging->count ? 1 : b == count ? -1 : by_name(&merging->entry[a], &entry[b]);
        all[out] = order <= 0 ? merging->entry[a] : entry[b];
        if (order == 0 && all[out].is_folder) /* one date would speak for one of them only */
            all[out].version = (struct origin_version){.size_bytes = 0};
        out++;
        a += order <= 0;
        b += order >= 0;
    }
    if (out > ORIGIN_MOST_ENTRIES)
        return err_set(err, RC_TOO_LARGE, "the folder has more than %u entries", ORIGIN_MOST_ENTRIES);
    merging->entry = all;
    merging->count = out;
    return RC_OK;
}

/* No root has the folder; `is_unlisted`: as far as can be known, since one of them cannot be asked. */
static enum rc no_list(const char *path, bool is_unlisted, struct err *err)
{
    return is_unlisted
               ? err_set(err, RC_UNSUPPORTED, "what lies in a folder cannot be asked where these images are")
               : err_set(err, RC_NOT_FOUND, "there is no folder '%.180s'", path);
}

enum rc several_folders_list(const struct several_roots *roots, const char *path, struct arena *arena,
                             struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    struct merging merging = {.arena = arena};
    struct err said;
    bool is_there = false, is_unlisted = false;
    for (uint32_t i = 0; i < roots->count; i++) {
        const struct roots_root *name = &roots->name[i];
        const char *below = folder_below(name, path);
        struct origin_entry *entry = NULL;
        size_t count = 0;
        enum rc rc = RC_OK;
        if (below != NULL) {
            rc = origin_list(roots->root[i], below, arena, &entry, &count, &said);
        } else if (path[0] == '\0') {
            entry = arena_alloc(arena, sizeof *entry);
            if (entry == NULL)
                return err_set(err, RC_NO_MEMORY, "no memory for a folder");
            *entry = (struct origin_entry){.name = name->name, .is_folder = true};
            count = 1;
        } else {
            continue;
        }
        is_unlisted = is_unlisted || rc == RC_UNSUPPORTED;
        if (rc == RC_NOT_FOUND || rc == RC_UNSUPPORTED)
            continue;
        is_there = true;
        if (rc == RC_OK)
            rc = merge(&merging, entry, count, &said);
        if (rc != RC_OK)
            return err_set(err, rc, "%s", said.message);
    }
    if (!is_there)
        return no_list(path, is_unlisted, err);
    *ret_entries = merging.entry;
    *ret_count = merging.count;
    return RC_OK;
}

enum rc several_folders_visit(const struct several_roots *roots, const char *path,
                              enum rc (*visit)(void *context, const struct origin_name *name,
                                               struct err *err),
                              void *context, struct err *err)
{
    bool is_there = false, is_unlisted = false;
    for (uint32_t i = 0; i < roots->count; i++) {
        const struct roots_root *name = &roots->name[i];
        const char *below = folder_below(name, path);
        enum rc rc = RC_OK;
        if (below != NULL)
            rc = origin_visit(roots->root[i], below, visit, context, err);
        else if (path[0] == '\0')
            rc = visit(context, &(struct origin_name){.name = name->name, .is_folder = true}, err);
        else
            continue;
        is_unlisted = is_unlisted || rc == RC_UNSUPPORTED;
        is_there = is_there || rc == RC_OK;
        if (rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_UNSUPPORTED)
            return rc;
    }
    return is_there ? RC_OK : no_list(path, is_unlisted, err);
}

/* ---- waiting ---- */

static enum rc await(const struct several_roots *roots, const char *path, struct origin_waiter *waiter,
                     bool *ret_waits, struct err *err)
{
    struct arena *arena = arena_new();
    char *folder = arena == NULL ? NULL : arena_text(arena, path, strlen(path) - 1);
    enum rc rc = folder == NULL ? err_set(err, RC_NO_MEMORY, "no memory to look into '%.180s'", path) : RC_OK;
    for (uint32_t i = 0; i < roots->count && rc == RC_OK && !*ret_waits; i++) {
        struct origin_entry *entry;
        size_t count;
        struct err ignored;
        const char *below = folder_below(&roots->name[i], folder);
        if (below == NULL || !several_is_far(roots, i) ||
            origin_list(roots->root[i], below, arena, &entry, &count, &ignored) != RC_AWAY)
            continue;
        const char *asked = arena_format(arena, "%s/", below);
        *ret_waits = asked != NULL;
        if (asked != NULL)
            origin_await(roots->root[i], asked, waiter);
    }
    arena_free(arena);
    return rc;
}

void several_folders_await(const struct several_roots *roots, const char *path, struct origin_waiter *waiter)
{
    bool waits = false;
    struct err err;
    enum rc rc = await(roots, path, waiter, &waits, &err);
    if (!waits)
        waiter->ready(waiter, rc, rc == RC_OK ? NULL : &err);
}
