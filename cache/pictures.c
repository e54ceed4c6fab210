#include "cache/pictures.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/derivative_entry.h"
#include "cache/picture_entry.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define BUCKET_COUNT 1024u
#define PURGE_GAP    64u /* pages in a row that the index does not have */
#define SETTLED_S    2

struct pictures {
    struct pictures_options options;
    pthread_mutex_t mutex;
    struct recent listed;
    struct recent_entry *bucket[BUCKET_COUNT];
};

enum rc pictures_new(const struct pictures_options *options, struct pictures **ret_pictures, struct err *err)
{
    struct pictures *pictures = calloc(1, sizeof *pictures);
    if (pictures == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of open pictures");
    pictures->options = *options;
    pictures->listed = (struct recent){.bucket = pictures->bucket, .bucket_count = BUCKET_COUNT};
    pthread_mutex_init(&pictures->mutex, NULL);
    *ret_pictures = pictures;
    return RC_OK;
}

static struct picture_entry *entry_of(struct recent_entry *at)
{
    return at == NULL ? NULL : RECENT_THING(at, struct picture_entry, recent);
}

static uint64_t hash_of(const char *path, uint32_t page)
{
    return bytes_hash(BYTES_HASH_START, path, strlen(path)) ^ page;
}

static struct picture_entry *find(struct pictures *pictures, const char *path, uint32_t page)
{
    struct recent_entry *at = recent_first(&pictures->listed, hash_of(path, page));
    while (at != NULL && (entry_of(at)->page != page || strcmp(entry_of(at)->path, path) != 0))
        at = recent_next(at);
    return entry_of(at);
}

/* Takes an entry out of the table; what is left to free afterwards, outside the lock, or NULL. */
static struct picture_entry *unlist(struct pictures *pictures, struct picture_entry *entry)
{
    recent_unlist(&pictures->listed, &entry->recent);
    entry->listed = false;
    return --entry->references == 0 ? entry : NULL;
}

/* Under the lock. */
static struct picture *lend(struct pictures *pictures, struct picture_entry *entry)
{
    recent_use(&pictures->listed, &entry->recent);
    entry->references++;
    return &entry->picture;
}

/* Lists what was made outside the lock, in place of what is there. */
static void list_instead(struct pictures *pictures, struct picture_entry *made)
{
    struct picture_entry *dead = NULL;
    pthread_mutex_lock(&pictures->mutex);
    struct picture_entry *rival = find(pictures, made->path, made->page);
    if (rival != NULL)
        dead = unlist(pictures, rival);
    else if (pictures->listed.count >= pictures->options.capacity)
        dead = unlist(pictures, entry_of(pictures->listed.oldest));
    recent_list(&pictures->listed, &made->recent, hash_of(made->path, made->page));
    made->listed = true;
    made->references++;
    pthread_mutex_unlock(&pictures->mutex);
    if (dead != NULL)
        picture_entry_free(dead);
}

/* ---- finding pictures ---- */

static struct picture_wanted want(const struct pictures *pictures, const char *path, uint32_t page)
{
    const struct shm_index_key key = shm_index_key(pictures->options.root, path, page);
    const uint64_t view = pictures->options.view;
    const struct shm_fences *fences = pictures->options.fences;
    return (struct picture_wanted){.path = path,
                                   .page = page,
                                   .key = key,
                                   .sighting = {{key.word[0] ^ view, key.word[1] ^ view}},
                                   .checked_ms = clock_monotonic_ms(),
                                   .epoch = fences != NULL ? shm_fences_epoch(fences) : 0};
}

/* Under the lock. What others have seen since counts for more than what we have. */
static bool is_current(struct picture_entry *entry, uint64_t seen_version, int64_t seen_ms, int64_t oldest_ms)
{
    if (seen_ms > entry->checked_ms) {
        if (entry->picture.version_hash != seen_version)
            return false;
        entry->checked_ms = seen_ms;
    }
    return entry->checked_ms > oldest_ms;
}

/* What was compared with its source before this is to be compared again. */
static int64_t oldest_comparison_ms(const struct pictures *pictures, int64_t now_ms)
{
    const _Atomic int64_t *distrusted = pictures->options.distrusted_ms;
    int64_t oldest_ms = now_ms - pictures->options.revalidate_ms;
    int64_t distrusted_ms = distrusted == NULL ? 0 : atomic_load_explicit(distrusted, memory_order_acquire);
    return distrusted_ms > oldest_ms ? distrusted_ms : oldest_ms;
}

/* Under the lock. Whether half of its time is over and nobody was told yet. */
static bool ages(const struct pictures *pictures, struct picture_entry *entry, int64_t now_ms)
{
    int64_t half_ms = pictures->options.revalidate_ms / 2;
    if (entry->checked_ms > now_ms - half_ms || entry->told_ms > now_ms - half_ms / 2)
        return false;
    entry->told_ms = now_ms;
    return true;
}

struct picture *pictures_peek(struct pictures *pictures, const char *path, uint32_t page, bool *ret_ages)
{
    struct picture_wanted wanted = want(pictures, path, page);
    int64_t now_ms = wanted.checked_ms;
    struct picture *picture = NULL;
    int64_t oldest_ms = oldest_comparison_ms(pictures, now_ms);
    bool seen = shm_sightings_find(pictures->options.sightings, &wanted.sighting, &wanted.version,
                                   &wanted.checked_ms);
    if (ret_ages != NULL)
        *ret_ages = false;
    pthread_mutex_lock(&pictures->mutex);
    struct picture_entry *entry = find(pictures, path, page);
    if (entry != NULL && is_current(entry, wanted.version, seen ? wanted.checked_ms : INT64_MIN, oldest_ms)) {
        picture = lend(pictures, entry);
        if (ret_ages != NULL)
            *ret_ages = ages(pictures, entry, now_ms);
    }
    pthread_mutex_unlock(&pictures->mutex);
    if (picture == NULL && seen && wanted.checked_ms > oldest_ms &&
        (entry = picture_entry_recall(&pictures->options, &wanted, false)) != NULL) {
        list_instead(pictures, entry);
        picture = &entry->picture;
    }
    return picture;
}

/* It is to be opened anew although the version is the same. */
static bool is_dead(const struct pictures *pictures, const struct picture_entry *entry)
{
    const struct image_source *source = entry->picture.source;
    const struct shm_fences *fences = pictures->options.fences;
    return (source != NULL && atomic_load_explicit(&source->blob->is_dead, memory_order_relaxed)) ||
           (fences != NULL &&
            shm_fences_is_fenced(fences, entry->epoch, derivative_mark(entry->path), entry->path));
}

/* The listed picture if it is of the version that was seen just now; one of another leaves the table. */
static struct picture *lend_if_current(struct pictures *pictures, const struct picture_wanted *wanted,
                                       bool with_source)
{
    struct picture *picture = NULL;
    struct picture_entry *dead = NULL;
    pthread_mutex_lock(&pictures->mutex);
    struct picture_entry *entry = find(pictures, wanted->path, wanted->page);
    if (entry != NULL && (entry->picture.version_hash != wanted->version || is_dead(pictures, entry))) {
        dead = unlist(pictures, entry);
    } else if (entry != NULL && (entry->picture.source != NULL || !with_source)) {
        entry->checked_ms = wanted->checked_ms > entry->checked_ms ? wanted->checked_ms : entry->checked_ms;
        picture = lend(pictures, entry);
    }
    pthread_mutex_unlock(&pictures->mutex);
    if (dead != NULL)
        picture_entry_free(dead);
    return picture;
}

/* Whether a later change would show in the modification time: file systems round it, some to two seconds. */
static bool is_settled(int64_t modified_s)
{
    return time(NULL) - modified_s > SETTLED_S;
}

/* Puts a parsed source into the index, at the latest when it is compared again. */
static void keep(struct pictures *pictures, const struct picture_wanted *wanted, struct picture *picture)
{
    struct picture_entry *entry = (struct picture_entry *)picture;
    if (picture->source == NULL || !is_settled(picture->modified_s) ||
        atomic_exchange_explicit(&entry->is_kept, true, memory_order_relaxed))
        return;
    picture_record_keep(pictures->options.index, &wanted->key, picture->version_hash, picture->modified_s,
                        picture->source);
}

/* The source cannot be had. One that is gone takes everything along that is known of it; of one that is away nothing is
 * known yet. */
static void forget(struct pictures *pictures, const struct picture_wanted *wanted, enum rc why)
{
    struct picture_entry *dead = NULL;
    if (why == RC_AWAY)
        return;
    shm_sightings_forget(pictures->options.sightings, &wanted->sighting);
    pthread_mutex_lock(&pictures->mutex);
    struct picture_entry *entry = find(pictures, wanted->path, wanted->page);
    bool was_known = entry != NULL;
    if (was_known)
        dead = unlist(pictures, entry);
    pthread_mutex_unlock(&pictures->mutex);
    if (was_known && why == RC_NOT_FOUND && pictures->options.index != NULL)
        shm_index_remove(pictures->options.index, &wanted->key);
    if (dead != NULL)
        picture_entry_free(dead);
}

static void note_version(struct pictures *pictures, const struct origin_version *version,
                         struct picture_wanted *wanted)
{
    wanted->version = origin_version_hash(version);
    wanted->modified_s = version->modified.tv_sec;
    /* Or what the origin has kept for `revalidate` would be kept here for as long again. */
    if (version->confirmed_ms != 0 && version->confirmed_ms < wanted->checked_ms)
        wanted->checked_ms = version->confirmed_ms;
    shm_sightings_note(pictures->options.sightings, &wanted->sighting, wanted->version, wanted->checked_ms);
}

/* Compares with the source; *ret_picture is what is listed of that version, or NULL. */
static enum rc compare(struct pictures *pictures, struct picture_wanted *wanted, bool with_source,
                       struct picture **ret_picture, struct err *err)
{
    struct origin_version version;
    enum rc rc = origin_stat_file(pictures->options.origin, wanted->path, &version, err);
    if (rc != RC_OK) {
        forget(pictures, wanted, rc);
        return rc;
    }
    note_version(pictures, &version, wanted);
    *ret_picture = lend_if_current(pictures, wanted, with_source);
    if (*ret_picture != NULL)
        keep(pictures, wanted, *ret_picture);
    return RC_OK;
}

void pictures_compare(struct pictures *pictures, const char *path, uint32_t page)
{
    struct err err;
    struct picture_wanted wanted = want(pictures, path, page);
    struct picture *picture = NULL;
    if (compare(pictures, &wanted, false, &picture, &err) == RC_OK)
        pictures_release(pictures, &picture);
}

enum rc pictures_look(struct pictures *pictures, const char *path, uint32_t page,
                      struct picture **ret_picture, bool *ret_opened, struct err *err)
{
    struct picture_wanted wanted = want(pictures, path, page);
    struct picture *picture = NULL;
    enum rc rc = compare(pictures, &wanted, false, &picture, err);
    if (rc != RC_OK)
        return rc;
    struct picture_entry *recalled = picture == NULL ? picture_entry_recall(&pictures->options, &wanted, true)
                                                     : NULL;
    if (recalled != NULL) {
        list_instead(pictures, recalled);
        picture = &recalled->picture;
    }
    if (picture == NULL)
        return pictures_open(pictures, path, page, ret_picture, ret_opened, err);
    *ret_picture = picture;
    *ret_opened = false;
    return RC_OK;
}

static bool is_listed_open(struct pictures *pictures, const struct picture_wanted *wanted)
{
    pthread_mutex_lock(&pictures->mutex);
    const struct picture_entry *entry = find(pictures, wanted->path, wanted->page);
    bool is_open = entry != NULL && entry->picture.source != NULL;
    pthread_mutex_unlock(&pictures->mutex);
    return is_open;
}

static enum rc open_now(struct pictures *pictures, struct picture_wanted *wanted,
                        struct picture **ret_picture, bool *ret_opened, struct err *err)
{
    struct image_blob *blob = NULL;
    struct origin_version version;
    struct picture_entry *opened = NULL;
    enum rc rc = origin_open_blob(pictures->options.origin, wanted->path, &blob, &version, err);
    if (rc != RC_OK) {
        forget(pictures, wanted, rc);
        return rc;
    }
    note_version(pictures, &version, wanted);
    rc = picture_entry_open(&pictures->options, wanted, blob, &opened, ret_opened, err);
    if (rc != RC_OK)
        return rc;
    list_instead(pictures, opened);
    keep(pictures, wanted, &opened->picture);
    *ret_picture = &opened->picture;
    return RC_OK;
}

enum rc pictures_open(struct pictures *pictures, const char *path, uint32_t page,
                      struct picture **ret_picture, bool *ret_opened, struct err *err)
{
    struct picture_wanted wanted = want(pictures, path, page);
    struct picture *current = NULL;
    if (is_listed_open(pictures, &wanted)) {
        enum rc rc = compare(pictures, &wanted, true, &current, err);
        if (rc != RC_OK)
            return rc;
    }
    if (current == NULL)
        return open_now(pictures, &wanted, ret_picture, ret_opened, err);
    *ret_picture = current;
    *ret_opened = false;
    return RC_OK;
}

void pictures_release(struct pictures *pictures, struct picture **picture)
{
    struct picture_entry *entry = (struct picture_entry *)*picture;
    *picture = NULL;
    if (entry == NULL)
        return;
    pthread_mutex_lock(&pictures->mutex);
    bool last = --entry->references == 0;
    pthread_mutex_unlock(&pictures->mutex);
    if (last)
        picture_entry_free(entry);
}

void pictures_free(struct pictures **pictures)
{
    if (*pictures == NULL)
        return;
    while ((*pictures)->listed.newest != NULL) {
        struct picture_entry *dead = unlist(*pictures, entry_of((*pictures)->listed.newest));
        assert(dead != NULL);
        picture_entry_free(dead);
    }
    pthread_mutex_destroy(&(*pictures)->mutex);
    free(TAKE_PTR(*pictures));
}

/* Which pages there are is not known: some that were asked for may be far behind the last before them. */
void pictures_purge(struct pictures *pictures, const char *path)
{
    struct shm_index *index = pictures->options.index;
    uint32_t missing = 0;
    if (index == NULL)
        return;
    for (uint32_t page = 1; missing < PURGE_GAP; page++) {
        OWN(bytes_done) struct bytes record = {0};
        struct picture_wanted wanted = want(pictures, path, page);
        uint64_t version;
        bool is_there = shm_index_get(index, &wanted.key, true, &version, &record);
        missing = is_there ? 0 : missing + 1;
        shm_sightings_forget(pictures->options.sightings, &wanted.sighting);
        if (is_there)
            shm_index_remove(index, &wanted.key);
    }
    shm_index_settle(index);
}
