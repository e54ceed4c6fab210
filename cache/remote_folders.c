#include "cache/remote_folders.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/recent.h"
#include "cache/remote_stale.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS      256u
#define MOST_FOLDERS 1000u
#define MOST_ENTRIES 500000u

struct remote_folder {
    struct transport_listing listing; /* first; while `flying` the transport's */
    struct remote_folders *folders;
    struct recent_entry recent;
    struct origin_waiter *waiters;
    bool flying, is_missing;
    int64_t flying_ms;          /* since when */
    int64_t known_ms, asked_ms; /* monotonic; known_ms 0: nothing is known */
    struct arena *arena;        /* of the entries */
    struct origin_entry *entry;
    size_t count;
    char path[];
};

struct remote_folders {
    struct transport *transport;
    int64_t revalidate_ms, stale_ms;
    pthread_mutex_t mutex;
    size_t entries;
    bool silent;    /* the origin lets somebody wait who need not */
    int64_t due_ms; /* when it has to be looked at again; 0: nobody waits who need not */
    struct recent known;
    struct recent_entry *bucket[BUCKETS];
};

/* ---- the table, under the lock ---- */

static struct remote_folder *folder_of(struct recent_entry *entry)
{
    return entry == NULL ? NULL : RECENT_THING(entry, struct remote_folder, recent);
}

static void forget(struct remote_folders *folders, struct remote_folder *folder)
{
    recent_unlist(&folders->known, &folder->recent);
    folders->entries -= folder->count;
    arena_free(folder->arena);
    free(folder);
}

/* The newest stays in any case. */
static void make_room(struct remote_folders *folders)
{
    struct remote_folder *folder = folder_of(folders->known.oldest), *newer;
    for (; folder != NULL && (folders->known.count > MOST_FOLDERS || folders->entries > MOST_ENTRIES);
         folder = newer) {
        newer = folder_of(folder->recent.newer);
        if (!folder->flying && folder->waiters == NULL && newer != NULL)
            forget(folders, folder);
    }
}

/* NULL: no memory. */
static struct remote_folder *find_or_add(struct remote_folders *folders, const char *path)
{
    size_t path_bytes = strlen(path) + 1;
    uint64_t hash = bytes_hash(BYTES_HASH_START, path, path_bytes);
    for (struct recent_entry *at = recent_first(&folders->known, hash); at != NULL; at = recent_next(at))
        if (strcmp(folder_of(at)->path, path) == 0) {
            recent_use(&folders->known, at);
            return folder_of(at);
        }
    struct remote_folder *folder = calloc(1, sizeof *folder + path_bytes);
    if (folder == NULL)
        return NULL;
    memcpy(folder->path, path, path_bytes);
    folder->folders = folders;
    recent_list(&folders->known, &folder->recent, hash);
    make_room(folders);
    return folder;
}

static bool is_kept(const struct remote_folder *folder, int64_t now_ms)
{
    return folder->known_ms != 0 && now_ms - folder->asked_ms < folder->folders->stale_ms;
}

/* Of what is known, and asked for again, the answer is not waited for any longer. */
static bool is_due(const struct remote_folder *folder, int64_t now_ms)
{
    return folder->flying &&
           (folder->folders->silent || now_ms - folder->flying_ms >= REMOTE_STALE_PATIENCE_MS) &&
           is_kept(folder, now_ms);
}

static bool is_current(const struct remote_folder *folder)
{
    int64_t now_ms = clock_monotonic_ms();
    return (folder->known_ms != 0 && now_ms - folder->known_ms < folder->folders->revalidate_ms) ||
           is_due(folder, now_ms);
}

/* ---- listing ---- */

static enum rc copy_entries(const struct remote_folder *folder, struct arena *arena,
                            struct origin_entry **ret_entries, struct err *err)
{
    struct origin_entry *entry = arena_alloc(arena, (folder->count + 1) * sizeof *entry);
    for (size_t i = 0; entry != NULL && i < folder->count; i++) {
        entry[i] = folder->entry[i];
        entry[i].name = arena_text(arena, folder->entry[i].name, strlen(folder->entry[i].name));
        if (entry[i].name == NULL)
            entry = NULL;
    }
    *ret_entries = entry;
    return entry != NULL ? RC_OK
                         : err_set(err, RC_NO_MEMORY, "no memory for a folder of %zu entries", folder->count);
}

enum rc remote_folders_list(struct remote_folders *folders, const char *path, struct arena *arena,
                            struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    pthread_mutex_lock(&folders->mutex);
    const struct remote_folder *folder = find_or_add(folders, path);
    enum rc rc = RC_OK;
    if (folder == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory to look into folder '%.180s'", path);
    else if (!is_current(folder))
        rc = err_set(err, RC_AWAY, "folder '%.180s' has to be listed by its origin", path);
    else if (folder->is_missing)
        rc = err_set(err, RC_NOT_FOUND, "there is no folder '%.180s'", path);
    else
        rc = copy_entries(folder, arena, ret_entries, err);
    if (rc == RC_OK)
        *ret_count = folder->count;
    pthread_mutex_unlock(&folders->mutex);
    return rc;
}

/* Takes in what has come. Under the lock; what is left to free is returned. */
static struct arena *take_in(struct remote_folder *folder, enum rc *rc)
{
    struct remote_folders *folders = folder->folders;
    struct arena *dead = folder->listing.arena;
    int64_t now_ms = clock_monotonic_ms();
    bool is_answered = *rc == RC_OK || *rc == RC_NOT_FOUND;
    if (is_answered) {
        dead = folder->arena;
        folders->entries -= folder->count;
        folder->is_missing = *rc == RC_NOT_FOUND;
        folder->arena = folder->listing.arena;
        folder->entry = folder->listing.entry;
        folder->count = folder->is_missing ? 0 : folder->listing.count;
        folders->entries += folder->count;
        folder->known_ms = folder->asked_ms = now_ms;
        folders->silent = false;
        *rc = RC_OK; /* that there is none, listing says */
    } else if (remote_stale_is_weather(*rc) && is_kept(folder, now_ms)) {
        folder->known_ms = now_ms;
        *rc = RC_OK;
    }
    folder->listing.arena = NULL;
    folder->flying = false;
    make_room(folders);
    return dead;
}

static void on_listed(struct transport_listing *listing, enum rc rc, const struct err *err)
{
    struct remote_folder *folder = (struct remote_folder *)listing;
    struct remote_folders *folders = folder->folders;
    pthread_mutex_lock(&folders->mutex);
    struct origin_waiter *waiter = TAKE_PTR(folder->waiters);
    struct arena *dead = take_in(folder, &rc);
    pthread_mutex_unlock(&folders->mutex);
    arena_free(dead);
    while (waiter != NULL) {
        struct origin_waiter *next = waiter->next;
        waiter->ready(waiter, rc, rc != RC_OK ? err : NULL);
        waiter = next;
    }
}

void remote_folders_await(struct remote_folders *folders, const char *path, struct origin_waiter *waiter)
{
    struct err err;
    struct transport_listing *listing = NULL;
    pthread_mutex_lock(&folders->mutex);
    struct remote_folder *folder = find_or_add(folders, path);
    bool waits = folder != NULL && !is_current(folder);
    if (waits && !folder->flying) {
        folder->flying = true;
        folder->flying_ms = clock_monotonic_ms();
        folder->listing = (struct transport_listing){.path = folder->path, .done = on_listed};
        listing = &folder->listing;
        waits = !is_due(folder, folder->flying_ms);
    }
    if (waits) {
        waiter->next = folder->waiters;
        folder->waiters = waiter;
        if (folders->due_ms == 0 && is_kept(folder, folder->flying_ms))
            folders->due_ms = folder->flying_ms + REMOTE_STALE_PATIENCE_MS;
    }
    pthread_mutex_unlock(&folders->mutex);
    if (listing != NULL)
        folders->transport->ops->list(folders->transport, listing);
    if (!waits)
        waiter->ready(waiter,
                      folder != NULL ? RC_OK
                                     : err_set(&err, RC_NO_MEMORY, "no memory to look into '%.180s'", path),
                      folder != NULL ? NULL : &err);
}

struct origin_waiter *remote_folders_let_go(struct remote_folders *folders, int64_t now_ms,
                                            int64_t *ret_due_ms)
{
    struct origin_waiter *taken = NULL;
    pthread_mutex_lock(&folders->mutex);
    bool is_time = folders->due_ms != 0 && folders->due_ms <= now_ms;
    folders->due_ms = is_time ? 0 : folders->due_ms;
    for (struct recent_entry *at = is_time ? folders->known.newest : NULL; at != NULL; at = at->older) {
        struct remote_folder *folder = RECENT_THING(at, struct remote_folder, recent);
        if (folder->waiters == NULL || !is_kept(folder, now_ms))
            continue;
        if (is_due(folder, now_ms)) {
            folders->silent = true;
            remote_stale_take(&folder->waiters, &taken);
        } else if (folders->due_ms == 0 || folder->flying_ms + REMOTE_STALE_PATIENCE_MS < folders->due_ms) {
            folders->due_ms = folder->flying_ms + REMOTE_STALE_PATIENCE_MS;
        }
    }
    *ret_due_ms = folders->due_ms;
    pthread_mutex_unlock(&folders->mutex);
    return taken;
}

/* ---- coming and going ---- */

enum rc remote_folders_new(struct transport *transport, int64_t revalidate_ms, int64_t stale_ms,
                           struct remote_folders **ret_folders, struct err *err)
{
    struct remote_folders *folders = calloc(1, sizeof *folders);
    if (folders == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the origin's folders");
    folders->transport = transport;
    folders->revalidate_ms = revalidate_ms;
    folders->stale_ms = stale_ms;
    folders->known = (struct recent){.bucket = folders->bucket, .bucket_count = BUCKETS};
    pthread_mutex_init(&folders->mutex, NULL);
    *ret_folders = folders;
    return RC_OK;
}

void remote_folders_free(struct remote_folders **folders)
{
    struct remote_folders *freed = TAKE_PTR(*folders);
    if (freed == NULL)
        return;
    for (struct remote_folder *folder; (folder = folder_of(freed->known.oldest)) != NULL;) {
        assert(!folder->flying);
        forget(freed, folder);
    }
    pthread_mutex_destroy(&freed->mutex);
    free(freed);
}
