#include "worker/web/folder.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/own.h"
#include "worker/iiif/identifier.h"
#include "worker/manifest/survey.h"
#include "worker/manifest/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KEPT       256u
#define MOST_KEPT_BYTES ((size_t)96 << 20)
#define MOST_NAMES      ((size_t)10000000)
#define AGE_PER_COST    20

/* One listing: the names lie one behind the other in `text`. */
struct listing {
    struct web_folder folder; /* first: what callers see */
    char *path;
    char *text;
    const char **name;
    bool *is_link;
    size_t bytes;
    int64_t good_until_ms, used;
    uint32_t references; /* one is the shelf's, while it is on it */
};

struct web_folders {
    struct origin *origin;
    int64_t revalidate_ms;
    pthread_mutex_t mutex;
    struct listing *kept[MOST_KEPT];
    size_t kept_count, kept_bytes;
    int64_t clock;
};

/* ---- reading ---- */

struct found {
    size_t at; /* in the text */
    bool is_folder, is_link;
};

struct reading {
    struct bytes text, found;
    const atomic_bool *is_over;
};

static void reading_done(struct reading *reading)
{
    bytes_done(&reading->text);
    bytes_done(&reading->found);
}

static bool can_be_said(const char *name)
{
    struct iiif_identifier identifier;
    return iiif_identifier_read(name, &identifier, NULL) == RC_OK && identifier.page == 1 &&
           strcmp(identifier.path, name) == 0;
}

static enum rc visit(void *context, const struct origin_name *name, struct err *err)
{
    struct reading *reading = context;
    if (reading->is_over != NULL && atomic_load_explicit(reading->is_over, memory_order_relaxed))
        return err_set(err, RC_CANCELLED, "the server ends");
    if ((!name->is_folder && !manifest_survey_is_picture(name->name)) || !can_be_said(name->name))
        return RC_OK;
    const struct found found = {
        .at = reading->text.length, .is_folder = name->is_folder, .is_link = name->is_link};
    if (reading->found.length / sizeof found >= MOST_NAMES)
        return err_set(err, RC_TOO_LARGE, "the folder has more than %zu pictures", MOST_NAMES);
    enum rc rc = bytes_append(&reading->text, name->name, strlen(name->name) + 1, err);
    return rc == RC_OK ? bytes_append(&reading->found, &found, sizeof found, err) : rc;
}

static int in_order(const void *left, const void *right, void *text)
{
    const struct found *a = left, *b = right;
    if (a->is_folder != b->is_folder)
        return a->is_folder ? -1 : 1;
    return manifest_text_natural((const char *)text + a->at, (const char *)text + b->at);
}

static void listing_free(struct listing **listing)
{
    if (*listing == NULL)
        return;
    free((*listing)->path);
    free((*listing)->text);
    free((*listing)->name);
    free((*listing)->is_link);
    free(*listing);
    *listing = NULL;
}

static enum rc make_listing(struct reading *reading, const char *path, struct listing **ret_listing,
                            struct err *err)
{
    const struct found *found = (const struct found *)(const void *)reading->found.data;
    size_t count = reading->found.length / sizeof *found;
    OWN(listing_free) struct listing *listing = calloc(1, sizeof *listing);
    if (listing != NULL) {
        listing->path = strdup(path);
        listing->name = calloc(count + 1, sizeof *listing->name);
        listing->is_link = calloc(count + 1, sizeof *listing->is_link);
    }
    if (listing == NULL || listing->path == NULL || listing->name == NULL || listing->is_link == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a folder of %zu pictures", count);
    listing->bytes = sizeof *listing + reading->text.capacity +
                     (count + 1) * (sizeof *listing->name + sizeof *listing->is_link);
    listing->text = (char *)reading->text.data;
    reading->text = (struct bytes){0};
    if (count > 0)
        qsort_r(reading->found.data, count, sizeof *found, in_order, listing->text);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = listing->text + found[i].at;
        if (kept > 0 && strcmp(name, listing->name[kept - 1]) == 0)
            continue; /* of another root */
        listing->name[kept] = name;
        listing->is_link[kept++] = found[i].is_link;
        listing->folder.folder_count += found[i].is_folder;
    }
    listing->folder.name = listing->name;
    listing->folder.is_link = listing->is_link;
    listing->folder.count = kept;
    *ret_listing = TAKE_PTR(listing);
    return RC_OK;
}

enum rc web_folder_read(struct origin *origin, const char *path, const atomic_bool *is_over,
                        const struct web_folder **ret_folder, struct err *err)
{
    OWN(reading_done) struct reading reading = {.is_over = is_over};
    struct listing *listing = NULL;
    enum rc rc = origin_visit(origin, path, visit, &reading, err);
    if (rc == RC_OK)
        rc = make_listing(&reading, path, &listing, err);
    if (rc == RC_OK)
        *ret_folder = &listing->folder;
    return rc;
}

void web_folder_free(const struct web_folder **folder)
{
    struct listing *listing = (struct listing *)(uintptr_t)*folder;
    listing_free(&listing);
    *folder = NULL;
}

/* ---- keeping ---- */

enum rc web_folders_new(struct origin *origin, int64_t revalidate_ms, struct web_folders **ret_folders,
                        struct err *err)
{
    struct web_folders *folders = calloc(1, sizeof *folders);
    if (folders == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the gallery");
    folders->origin = origin;
    folders->revalidate_ms = revalidate_ms;
    pthread_mutex_init(&folders->mutex, NULL);
    *ret_folders = folders;
    return RC_OK;
}

/* With the mutex. */
static void drop_reference(struct listing *listing)
{
    if (--listing->references == 0)
        listing_free(&listing);
}

/* With the mutex. */
static void take_off(struct web_folders *folders, size_t place)
{
    struct listing *listing = folders->kept[place];
    folders->kept_bytes -= listing->bytes;
    folders->kept[place] = folders->kept[--folders->kept_count];
    drop_reference(listing);
}

void web_folders_free(struct web_folders **folders)
{
    if (*folders == NULL)
        return;
    while ((*folders)->kept_count > 0)
        take_off(*folders, 0);
    pthread_mutex_destroy(&(*folders)->mutex);
    free(*folders);
    *folders = NULL;
}

/* With the mutex: what was used longest ago leaves until there is room for one more. */
static void make_room(struct web_folders *folders, size_t bytes)
{
    while (folders->kept_count > 0 &&
           (folders->kept_count == MOST_KEPT || folders->kept_bytes + bytes > MOST_KEPT_BYTES)) {
        size_t oldest = 0;
        for (size_t i = 1; i < folders->kept_count; i++)
            if (folders->kept[i]->used < folders->kept[oldest]->used)
                oldest = i;
        take_off(folders, oldest);
    }
}

/* With the mutex. Forgets one that is too old. */
static struct listing *find(struct web_folders *folders, const char *path)
{
    for (size_t i = 0; i < folders->kept_count; i++) {
        struct listing *listing = folders->kept[i];
        if (strcmp(listing->path, path) != 0)
            continue;
        if (clock_monotonic_ms() > listing->good_until_ms) {
            take_off(folders, i);
            return NULL;
        }
        return listing;
    }
    return NULL;
}

enum rc web_folders_get(struct web_folders *folders, const char *path, const struct web_folder **ret_folder,
                        struct err *err)
{
    pthread_mutex_lock(&folders->mutex);
    struct listing *listing = find(folders, path);
    if (listing != NULL) {
        listing->references++;
        listing->used = ++folders->clock;
    }
    pthread_mutex_unlock(&folders->mutex);
    if (listing != NULL) {
        *ret_folder = &listing->folder;
        return RC_OK;
    }
    int64_t begun_ms = clock_monotonic_ms();
    const struct web_folder *read = NULL;
    enum rc rc = web_folder_read(folders->origin, path, NULL, &read, err);
    if (rc != RC_OK)
        return rc;
    int64_t now_ms = clock_monotonic_ms(), cost_ms = AGE_PER_COST * (now_ms - begun_ms);
    listing = (struct listing *)(uintptr_t)read;
    listing->good_until_ms = now_ms + (cost_ms > folders->revalidate_ms ? cost_ms : folders->revalidate_ms);
    pthread_mutex_lock(&folders->mutex);
    listing->used = ++folders->clock;
    listing->references = 2;
    make_room(folders, listing->bytes);
    folders->kept[folders->kept_count++] = listing;
    folders->kept_bytes += listing->bytes;
    pthread_mutex_unlock(&folders->mutex);
    *ret_folder = &listing->folder;
    return RC_OK;
}

void web_folders_release(struct web_folders *folders, const struct web_folder **folder)
{
    struct listing *listing = (struct listing *)(uintptr_t)*folder;
    *folder = NULL;
    if (listing == NULL)
        return;
    pthread_mutex_lock(&folders->mutex);
    drop_reference(listing);
    pthread_mutex_unlock(&folders->mutex);
}
