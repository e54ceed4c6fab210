#include "worker/manifest/kept.h"

#include "base/own.h"
#include "base/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS       512u
#define LARGEST_SHARE 4 /* one item takes at most this part of the room */

struct kept_entry {
    struct manifest_kept_item item; /* first */
    struct recent_entry recent;
    atomic_uint references; /* one is the table's while it is listed */
    int64_t made_ms, confirmed_ms;
    size_t bytes; /* all that belongs to it */
    struct bytes data;
    struct manifest_pictured *pictured;
    char *texts; /* the paths of `pictured` */
    char key[];
};

struct manifest_kept {
    pthread_mutex_t mutex;
    size_t bytes, most_bytes;
    struct recent listed;
    struct recent_entry *bucket[BUCKETS];
};

enum rc manifest_kept_new(size_t most_bytes, struct manifest_kept **ret_kept, struct err *err)
{
    struct manifest_kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for documents");
    pthread_mutex_init(&kept->mutex, NULL);
    kept->most_bytes = most_bytes;
    kept->listed = (struct recent){.bucket = kept->bucket, .bucket_count = BUCKETS};
    *ret_kept = kept;
    return RC_OK;
}

static void entry_free(struct kept_entry *entry)
{
    bytes_done(&entry->data);
    free(entry->pictured);
    free(entry->texts);
    free(entry);
}

/* ---- the table, under the lock ---- */

static uint64_t hash_of(const char *key)
{
    return bytes_hash(BYTES_HASH_START, key, strlen(key));
}

static struct kept_entry *entry_in(struct recent_entry *at)
{
    return at == NULL ? NULL : RECENT_THING(at, struct kept_entry, recent);
}

static struct kept_entry *find(struct manifest_kept *kept, const char *key)
{
    struct recent_entry *at = recent_first(&kept->listed, hash_of(key));
    while (at != NULL && strcmp(entry_in(at)->key, key) != 0)
        at = recent_next(at);
    return entry_in(at);
}

/* Without the lock, too: who has one keeps the entry. */
static void unref(struct kept_entry *entry)
{
    if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
        entry_free(entry);
}

static void unlist(struct manifest_kept *kept, struct kept_entry *entry)
{
    recent_unlist(&kept->listed, &entry->recent);
    kept->bytes -= entry->bytes;
    unref(entry);
}

static void list(struct manifest_kept *kept, struct kept_entry *entry)
{
    struct kept_entry *rival = find(kept, entry->key);
    if (rival != NULL)
        unlist(kept, rival);
    while (kept->listed.oldest != NULL && kept->bytes + entry->bytes > kept->most_bytes)
        unlist(kept, entry_in(kept->listed.oldest));
    recent_list(&kept->listed, &entry->recent, hash_of(entry->key));
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    kept->bytes += entry->bytes;
}

/* ---- */

void manifest_kept_free(struct manifest_kept **kept)
{
    struct manifest_kept *freed = TAKE_PTR(*kept);
    if (freed == NULL)
        return;
    while (freed->listed.oldest != NULL)
        unlist(freed, entry_in(freed->listed.oldest));
    pthread_mutex_destroy(&freed->mutex);
    free(freed);
}

const struct manifest_kept_item *manifest_kept_find(struct manifest_kept *kept, const char *key,
                                                    int64_t made_ms, int64_t confirmed_ms)
{
    pthread_mutex_lock(&kept->mutex);
    struct kept_entry *entry = find(kept, key);
    if (entry != NULL && (entry->made_ms <= made_ms || entry->confirmed_ms <= confirmed_ms))
        entry = NULL;
    if (entry != NULL) {
        atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
        recent_use(&kept->listed, &entry->recent);
    }
    pthread_mutex_unlock(&kept->mutex);
    return entry == NULL ? NULL : &entry->item;
}

/* Items are handed out as constant; the time is the table's own. */
static struct kept_entry *entry_of(const struct manifest_kept_item *item)
{
    return (struct kept_entry *)(uintptr_t)item;
}

void manifest_kept_confirm(struct manifest_kept *kept, const struct manifest_kept_item *item, int64_t at_ms)
{
    struct kept_entry *entry = entry_of(item);
    pthread_mutex_lock(&kept->mutex);
    if (entry->confirmed_ms < at_ms)
        entry->confirmed_ms = at_ms;
    pthread_mutex_unlock(&kept->mutex);
}

void manifest_kept_release(const struct manifest_kept_item *item)
{
    if (item != NULL)
        unref(entry_of(item));
}

static bool copy_pictured(struct kept_entry *entry, const struct manifest_kept_item *like)
{
    size_t bytes = 1, at = 0;
    for (size_t i = 0; i < like->pictured_count; i++)
        bytes += strlen(like->pictured[i].path) + 1;
    entry->pictured = calloc(like->pictured_count + 1, sizeof *entry->pictured);
    entry->texts = malloc(bytes);
    if (entry->pictured == NULL || entry->texts == NULL)
        return false;
    for (size_t i = 0; i < like->pictured_count; i++) {
        size_t length = strlen(like->pictured[i].path) + 1;
        memcpy(entry->texts + at, like->pictured[i].path, length);
        entry->pictured[i] = (struct manifest_pictured){entry->texts + at, like->pictured[i].version_hash};
        at += length;
    }
    entry->bytes += bytes + (like->pictured_count + 1) * sizeof *entry->pictured;
    return true;
}

const struct manifest_kept_item *manifest_kept_put(struct manifest_kept *kept, const char *key,
                                                   const struct manifest_kept_item *like, struct bytes *data,
                                                   int64_t at_ms)
{
    size_t key_bytes = strlen(key) + 1;
    struct kept_entry *entry = calloc(1, sizeof *entry + key_bytes);
    if (entry == NULL)
        return NULL;
    memcpy(entry->key, key, key_bytes);
    entry->bytes = sizeof *entry + key_bytes + data->capacity;
    atomic_init(&entry->references, 1);
    entry->made_ms = entry->confirmed_ms = at_ms;
    if (!copy_pictured(entry, like)) {
        entry_free(entry);
        return NULL;
    }
    entry->data = *data;
    *data = (struct bytes){0};
    entry->item = *like;
    entry->item.data = entry->data.data;
    entry->item.length = entry->data.length;
    entry->item.pictured = entry->pictured;
    pthread_mutex_lock(&kept->mutex);
    if (entry->bytes <= kept->most_bytes / LARGEST_SHARE)
        list(kept, entry);
    pthread_mutex_unlock(&kept->mutex);
    return &entry->item;
}
