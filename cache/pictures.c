#include "cache/pictures.h"

#include "base/clock.h"
#include "base/own.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define BUCKET_COUNT 1024u

/* Pictures hang in a bucket's chain while they are the current one for their key, and in the recency list with it. One
 * that was replaced or pushed out hangs nowhere and lives until its last reference goes. */
struct entry {
    struct picture picture; /* first: a picture's address is its entry's */
    struct entry *chain;
    struct entry *newer, *older;
    uint32_t references; /* one of them is the table's own while `listed` */
    bool listed;
    int64_t checked_ms;
    uint32_t page;
    char path[];
};

struct pictures {
    struct origin *origin;
    struct image_source_limits limits;
    uint32_t capacity, count;
    int64_t revalidate_ms;
    pthread_mutex_t mutex;
    struct entry *newest, *oldest;
    struct entry *bucket[BUCKET_COUNT];
};

enum rc pictures_new(struct origin *origin, const struct image_source_limits *limits, uint32_t capacity,
                     int64_t revalidate_ms, struct pictures **ret_pictures, struct err *err)
{
    struct pictures *pictures = calloc(1, sizeof *pictures);
    if (pictures == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of open pictures");
    pictures->origin = origin;
    pictures->limits = *limits;
    pictures->capacity = capacity;
    pictures->revalidate_ms = revalidate_ms;
    pthread_mutex_init(&pictures->mutex, NULL);
    *ret_pictures = pictures;
    return RC_OK;
}

static void entry_free(struct entry *entry)
{
    image_colour_free(&entry->picture.colour);
    image_source_unref(&entry->picture.source);
    free(entry);
}

static struct entry **bucket_of(struct pictures *pictures, const char *path, uint32_t page)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START, path, strlen(path));
    return &pictures->bucket[(hash ^ page) % BUCKET_COUNT];
}

static struct entry *find(struct pictures *pictures, const char *path, uint32_t page)
{
    struct entry *entry = *bucket_of(pictures, path, page);
    while (entry != NULL && (entry->page != page || strcmp(entry->path, path) != 0))
        entry = entry->chain;
    return entry;
}

static void recency_remove(struct pictures *pictures, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &pictures->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &pictures->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void recency_add(struct pictures *pictures, struct entry *entry)
{
    entry->older = pictures->newest;
    *(pictures->newest != NULL ? &pictures->newest->newer : &pictures->oldest) = entry;
    pictures->newest = entry;
}

/* Takes an entry out of the table; what is left to free afterwards, outside the lock, or NULL. */
static struct entry *unlist(struct pictures *pictures, struct entry *entry)
{
    struct entry **link = bucket_of(pictures, entry->path, entry->page);
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    recency_remove(pictures, entry);
    entry->listed = false;
    pictures->count--;
    return --entry->references == 0 ? entry : NULL;
}

static void list(struct pictures *pictures, struct entry *entry)
{
    struct entry **bucket = bucket_of(pictures, entry->path, entry->page);
    entry->chain = *bucket;
    *bucket = entry;
    recency_add(pictures, entry);
    entry->listed = true;
    entry->references++;
    pictures->count++;
}

/* Under the lock. */
static struct picture *lend(struct pictures *pictures, struct entry *entry)
{
    recency_remove(pictures, entry);
    recency_add(pictures, entry);
    entry->references++;
    return &entry->picture;
}

struct picture *pictures_peek(struct pictures *pictures, const char *path, uint32_t page)
{
    struct picture *picture = NULL;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&pictures->mutex);
    struct entry *entry = find(pictures, path, page);
    if (entry != NULL && now_ms - entry->checked_ms < pictures->revalidate_ms)
        picture = lend(pictures, entry);
    pthread_mutex_unlock(&pictures->mutex);
    return picture;
}

/* The listed picture if it still is what `version` says; else takes it out of the table. */
static struct picture *lend_if_current(struct pictures *pictures, const char *path, uint32_t page,
                                       const struct origin_version *version)
{
    struct picture *picture = NULL;
    struct entry *dead = NULL;
    uint64_t version_hash = version != NULL ? origin_version_hash(version) : 0;
    pthread_mutex_lock(&pictures->mutex);
    struct entry *entry = find(pictures, path, page);
    if (entry != NULL && version != NULL && entry->picture.version_hash == version_hash &&
        !atomic_load_explicit(&entry->picture.source->blob->is_dead, memory_order_relaxed)) {
        entry->checked_ms = clock_monotonic_ms();
        picture = lend(pictures, entry);
    } else if (entry != NULL) {
        dead = unlist(pictures, entry);
    }
    pthread_mutex_unlock(&pictures->mutex);
    if (dead != NULL)
        entry_free(dead);
    return picture;
}

static enum rc entry_open(struct pictures *pictures, const char *path, uint32_t page,
                          struct entry **ret_entry, struct err *err)
{
    size_t path_bytes = strlen(path) + 1;
    struct entry *entry = calloc(1, sizeof *entry + path_bytes);
    if (entry == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to open image '%s'", path);
    memcpy(entry->path, path, path_bytes);
    entry->page = page;
    entry->references = 1;
    entry->checked_ms = clock_monotonic_ms();

    struct picture *picture = &entry->picture;
    struct image_blob *blob = NULL;
    enum rc rc = origin_open_blob(pictures->origin, path, &blob, &picture->version, err);
    if (rc == RC_OK)
        rc = image_source_open(blob, page, &pictures->limits, &picture->source, err);
    if (rc == RC_OK)
        rc = image_colour_decide(&picture->source->format, &picture->source->metadata.icc, &picture->colour,
                                 &picture->note, err);
    if (rc != RC_OK) {
        entry_free(entry);
        return rc;
    }
    if (!image_colour_is_untouched(picture->colour)) /* tiles of another colour space are never sent as they are */
        picture->source->pyramid.tiles_join = false;
    picture->version_hash = origin_version_hash(&picture->version);
    *ret_entry = entry;
    return RC_OK;
}

enum rc pictures_open(struct pictures *pictures, const char *path, uint32_t page,
                      struct picture **ret_picture, bool *ret_opened, struct err *err)
{
    struct origin_version version;
    enum rc rc = origin_stat_file(pictures->origin, path, &version, err);
    if (rc == RC_AWAY) /* not known yet whether what is open is current */
        return rc;
    struct picture *current = lend_if_current(pictures, path, page, rc == RC_OK ? &version : NULL);
    if (rc != RC_OK)
        return rc;
    if (current != NULL) {
        *ret_picture = current;
        *ret_opened = false;
        return RC_OK;
    }

    struct entry *opened = NULL;
    rc = entry_open(pictures, path, page, &opened, err);
    if (rc != RC_OK)
        return rc;
    struct entry *dead = NULL;
    pthread_mutex_lock(&pictures->mutex);
    struct entry *rival = find(pictures, path, page); /* another thread may have opened it meanwhile */
    if (rival != NULL)
        dead = unlist(pictures, rival);
    else if (pictures->count >= pictures->capacity)
        dead = unlist(pictures, pictures->oldest);
    list(pictures, opened);
    pthread_mutex_unlock(&pictures->mutex);
    if (dead != NULL)
        entry_free(dead);
    *ret_picture = &opened->picture;
    *ret_opened = true;
    return RC_OK;
}

void pictures_release(struct pictures *pictures, struct picture **picture)
{
    struct entry *entry = (struct entry *)*picture;
    *picture = NULL;
    if (entry == NULL)
        return;
    pthread_mutex_lock(&pictures->mutex);
    bool last = --entry->references == 0;
    pthread_mutex_unlock(&pictures->mutex);
    if (last)
        entry_free(entry);
}

void pictures_free(struct pictures **pictures)
{
    if (*pictures == NULL)
        return;
    while ((*pictures)->newest != NULL) {
        struct entry *dead = unlist(*pictures, (*pictures)->newest);
        assert(dead != NULL);
        entry_free(dead);
    }
    pthread_mutex_destroy(&(*pictures)->mutex);
    free(TAKE_PTR(*pictures));
}
