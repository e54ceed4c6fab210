#include "worker/manifest/activity_scan.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/manifest/survey.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEEPEST   64u
#define SETTLED_S 2

struct scanning {
    const struct activity_scan_source *source;
    struct activity_view *view;
    bool is_first; /* the log is empty: dates are those of the files */
    bool is_whole; /* nothing was overlooked */
    int64_t waited_ms;
    int64_t now_s;        /* when it began */
    uint64_t first, last; /* records */
    uint8_t *seen;        /* a bit for each of them: what it speaks of is there */
    struct arena *arena;  /* of the changes' paths */
    struct activity_change *change;
    size_t change_count, change_capacity;
    uint64_t inode[DEEPEST]; /* of the folders that we are in: links may lead round */
    struct err *err;
};

/* What the document of the folder above depends on. */
struct inside {
    uint64_t state;
    int64_t newest_s;
    bool has_any, is_collection;
};

static void scanning_done(struct scanning *scanning)
{
    activity_view_close(&scanning->view);
    arena_free(scanning->arena);
    free(scanning->seen);
    free(scanning->change);
}

static enum rc no_memory(struct scanning *scanning)
{
    return err_set(scanning->err, RC_NO_MEMORY, "no memory to look for changes");
}

static void release_arena(struct arena **arena)
{
    arena_free(*arena);
}

/* ---- changes ---- */

static enum rc note(struct scanning *scanning, enum activity_type type,
                    const struct activity_subject *subject, uint64_t state, int64_t at_s)
{
    if (scanning->change_count == scanning->change_capacity) {
        size_t capacity = scanning->change_capacity == 0 ? 256 : scanning->change_capacity * 2;
        void *grown = reallocarray(scanning->change, capacity, sizeof *scanning->change);
        if (grown == NULL)
            return no_memory(scanning);
        scanning->change = grown;
        scanning->change_capacity = capacity;
    }
    const char *path = arena_text(scanning->arena, subject->path, strlen(subject->path));
    if (path == NULL)
        return no_memory(scanning);
    scanning->change[scanning->change_count++] = (struct activity_change){
        .type = type, .subject = {path, subject->is_collection}, .state = state, .at_s = at_s};
    return RC_OK;
}

static void mark_seen(struct scanning *scanning, uint64_t number)
{
    if (number < scanning->first || number > scanning->last)
        return;
    uint64_t bit = number - scanning->first;
    scanning->seen[bit / 8] = (uint8_t)(scanning->seen[bit / 8] | 1u << bit % 8);
}

/* Whether what was written last at that time may be written still. Looking may take minutes, and all that is
 * written meanwhile counts: what is in a folder has to be judged as the folder is. What lies in the future
 * was dated by somebody else's clock. */
static bool is_unsettled(const struct scanning *scanning, int64_t newest_s)
{
    return newest_s >= scanning->now_s - SETTLED_S && newest_s <= time(NULL);
}

/* Something that has a document. */
static enum rc meet(struct scanning *scanning, const struct activity_subject *subject, uint64_t state,
                    int64_t newest_s)
{
    uint64_t known_state = 0, number = 0;
    if (!scanning->source->is_public(scanning->source->context, subject->path))
        return RC_OK;
    bool is_known = activity_view_known(scanning->view, subject, &known_state, &number);
    if (is_known)
        mark_seen(scanning, number);
    if ((is_known && known_state == state) || is_unsettled(scanning, newest_s))
        return RC_OK;
    int64_t at_s = scanning->is_first && newest_s < scanning->now_s ? newest_s : scanning->now_s;
    return note(scanning, is_known ? ACTIVITY_UPDATE : ACTIVITY_CREATE, subject, state, at_s);
}

/* ---- looking ---- */

static uint64_t hash_version(uint64_t hash, const struct origin_version *version)
{
    uint64_t own = origin_version_hash(version);
    return bytes_hash(hash, &own, sizeof own);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The state that sidecar and row give to a path; `sidecar` NULL: there is none. */
static uint64_t hash_said(struct scanning *scanning, const char *path, const struct origin_entry *sidecar)
{
    uint64_t row = manifest_catalogue_hash(scanning->source->catalogue, path);
    uint64_t hash = bytes_hash(BYTES_HASH_START, &row, sizeof row);
    return sidecar == NULL ? hash : hash_version(hash, &sidecar->version);
}

static const struct origin_entry *sidecar_of(struct arena *arena, const struct manifest_survey *survey,
                                             const struct origin_entry *entry)
{
    const char *name = manifest_survey_sidecar(arena, entry->name, entry->is_folder);
    return name == NULL ? NULL : manifest_survey_find_file(survey, name);
}

static enum rc list(struct scanning *scanning, const char *path, struct arena *arena,
                    struct manifest_survey *survey)
{
    const char *away = NULL;
    enum rc rc;
    while ((rc = manifest_survey_list(scanning->source->origin, path, arena, &survey->entry,
                                      &survey->entry_count, &away, scanning->err)) == RC_AWAY) {
        int64_t begun_ms = clock_monotonic_ms();
        rc = origin_wait(scanning->source->origin, away, scanning->err);
        scanning->waited_ms += clock_monotonic_ms() - begun_ms;
        if (rc != RC_OK)
            return rc;
    }
    return rc;
}

static enum rc look_at_picture(struct scanning *scanning, struct arena *arena,
                               const struct manifest_survey *survey, const struct origin_entry *entry,
                               const char *path, struct inside *inside)
{
    const struct origin_entry *sidecar = sidecar_of(arena, survey, entry);
    uint64_t state = hash_version(hash_said(scanning, path, sidecar), &entry->version);
    int64_t newest_s = later(entry->version.modified.tv_sec,
                             sidecar == NULL ? 0 : sidecar->version.modified.tv_sec);
    inside->state = bytes_hash(bytes_hash(inside->state, entry->name, strlen(entry->name) + 1), &state,
                               sizeof state);
    inside->newest_s = later(inside->newest_s, newest_s);
    inside->has_any = true;
    scanning->source->pause(scanning->source->context);
    return meet(scanning, &(struct activity_subject){path, false}, state, newest_s);
}

static enum rc look_into(struct scanning *scanning, const char *path, const struct origin_entry *sidecar,
                         unsigned depth, uint64_t *ret_first, struct inside *ret_inside);

static bool is_round(const struct scanning *scanning, const struct origin_entry *entry, unsigned depth)
{
    for (unsigned i = 1; i <= depth; i++)
        if (entry->version.inode != 0 && scanning->inode[i] == entry->version.inode)
            return true;
    return depth + 1 >= DEEPEST;
}

static enum rc look_at_folder(struct scanning *scanning, struct arena *arena,
                              const struct manifest_survey *survey, const struct origin_entry *entry,
                              const char *path, unsigned depth, struct inside *inside)
{
    struct inside inner = {.has_any = false};
    uint64_t first = 0;
    if (is_round(scanning, entry, depth))
        return RC_OK;
    const struct origin_entry *sidecar = sidecar_of(arena, survey, entry);
    scanning->inode[depth + 1] = entry->version.inode;
    enum rc rc = look_into(scanning, path, sidecar, depth + 1, &first, &inner);
    if (rc != RC_OK || !inner.has_any)
        return rc;
    /* Of what is in there the collection shows the name, the kind and the first picture. */
    uint64_t shown[] = {hash_said(scanning, path, sidecar), first, inner.is_collection};
    inside->state = bytes_hash(bytes_hash(inside->state, entry->name, strlen(entry->name) + 1), shown,
                               sizeof shown);
    inside->newest_s = later(inside->newest_s, inner.newest_s);
    inside->has_any = inside->is_collection = true;
    return RC_OK;
}

static enum rc look_at_entries(struct scanning *scanning, struct arena *arena,
                               const struct manifest_survey *survey, const char *path, unsigned depth,
                               struct inside *inside)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < survey->entry_count && rc == RC_OK; i++) {
        const struct origin_entry *entry = &survey->entry[i];
        const char *below = manifest_survey_below(arena, path, entry->name);
        if (below == NULL)
            rc = no_memory(scanning);
        else if (scanning->source->stops(scanning->source->context))
            rc = err_set(scanning->err, RC_CANCELLED, "the look for changes was ended");
        else if (entry->is_folder)
            rc = look_at_folder(scanning, arena, survey, entry, below, depth, inside);
        else if (manifest_survey_is_picture(entry->name))
            rc = look_at_picture(scanning, arena, survey, entry, below, inside);
    }
    return rc;
}

/* A folder and all below it; *ret_first is of its first picture. */
static enum rc look_into(struct scanning *scanning, const char *path, const struct origin_entry *sidecar,
                         unsigned depth, uint64_t *ret_first, struct inside *ret_inside)
{
    OWN(release_arena) struct arena *arena = arena_new();
    struct manifest_survey survey = {.is_folder = true};
    struct inside inside = {.state = hash_said(scanning, path, sidecar),
                            .newest_s = sidecar == NULL ? 0 : sidecar->version.modified.tv_sec,
                            .is_collection = path[0] == '\0'};
    if (arena == NULL)
        return no_memory(scanning);
    enum rc rc = list(scanning, path, arena, &survey);
    if (rc != RC_OK && rc != RC_CANCELLED && rc != RC_NO_MEMORY && depth > 0) {
        scanning->is_whole = scanning->is_whole && rc == RC_NOT_FOUND;
        return RC_OK;
    }
    if (rc == RC_OK)
        rc = look_at_entries(scanning, arena, &survey, path, depth, &inside);
    if (rc != RC_OK)
        return rc;
    const struct origin_entry *first = manifest_survey_first(survey.entry, survey.entry_count);
    *ret_first = first == NULL ? 0
                               : hash_version(bytes_hash(BYTES_HASH_START, first->name, strlen(first->name)),
                                              &first->version);
    inside.is_collection = inside.is_collection ||
                           manifest_survey_has_folders(survey.entry, survey.entry_count);
    *ret_inside = inside;
    return !inside.has_any ? RC_OK
                           : meet(scanning, &(struct activity_subject){path, inside.is_collection},
                                  inside.state, inside.newest_s);
}

/* ---- the whole ---- */

static bool note_gone(void *context, const struct activity_subject *subject, uint64_t number)
{
    struct scanning *scanning = context;
    uint64_t bit = number - scanning->first;
    if (number < scanning->first || number > scanning->last || (scanning->seen[bit / 8] >> bit % 8 & 1) != 0)
        return true;
    return note(scanning, ACTIVITY_DELETE, subject, 0, scanning->now_s) == RC_OK;
}

static int by_date(const void *left, const void *right)
{
    const struct activity_change *a = left, *b = right;
    return a->at_s != b->at_s ? (a->at_s < b->at_s ? -1 : 1) : strcmp(a->subject.path, b->subject.path);
}

static enum rc begin(struct scanning *scanning, struct activity_log *log)
{
    enum rc rc = activity_view_open(log, &scanning->view, scanning->err);
    if (rc != RC_OK)
        return rc;
    scanning->is_first = !activity_view_span(scanning->view, &scanning->first, &scanning->last);
    scanning->seen = calloc((scanning->is_first ? 0 : scanning->last - scanning->first) / 8 + 1, 1);
    scanning->arena = arena_new();
    return scanning->seen == NULL || scanning->arena == NULL ? no_memory(scanning) : RC_OK;
}

enum rc activity_scan(const struct activity_scan_source *source, struct activity_log *log,
                      struct activity_scan_result *ret_result, struct err *err)
{
    OWN(scanning_done)
    struct scanning scanning = {.source = source, .is_whole = true, .now_s = time(NULL), .err = err};
    struct inside inside = {.has_any = false};
    uint64_t first = 0;
    enum rc rc = begin(&scanning, log);
    if (rc == RC_OK)
        rc = look_into(&scanning, "", NULL, 0, &first, &inside);
    if (rc != RC_OK)
        return rc;
    scanning.is_whole = scanning.is_whole && inside.has_any;
    if (scanning.is_whole)
        activity_view_each(scanning.view, note_gone, &scanning);
    activity_view_close(&scanning.view);
    if (scanning.change_count > 1)
        qsort(scanning.change, scanning.change_count, sizeof *scanning.change, by_date);
    if (scanning.change_count > 0)
        rc = activity_log_append(log, scanning.change, scanning.change_count, err);
    if (rc == RC_OK)
        rc = activity_log_trim(log, scanning.now_s, err);
    if (rc == RC_OK)
        *ret_result = (struct activity_scan_result){scanning.change_count, scanning.is_whole,
                                                    scanning.waited_ms};
    return rc;
}
