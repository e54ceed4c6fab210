#include "worker/manifest/survey.h"

#include "base/bytes.h"
#include "worker/manifest/catalogue.h"
#include "worker/manifest/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SETTLED_S      2 /* file systems round dates, some to two seconds */
#define LISTED_AT_ONCE 64u

bool manifest_survey_is_picture(const char *name)
{
    static const char *const extensions[] = {"tif", "tiff", "ptif", "ptiff", "btf",
                                             "jpg", "jpeg", "png",  "webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof extensions / sizeof extensions[0]; i++)
        if (strcasecmp(dot + 1, extensions[i]) == 0)
            return true;
    return false;
}

static bool is_sidecar(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && strcmp(dot, ".json") == 0;
}

static int in_natural_order(const void *left, const void *right)
{
    return manifest_text_natural(((const struct origin_entry *)left)->name,
                                 ((const struct origin_entry *)right)->name);
}

const struct origin_entry *manifest_survey_find_file(const struct manifest_survey *survey, const char *name)
{
    const struct origin_entry wanted = {.name = name}, *found = NULL;
    if (survey->entry_count > 0)
        found = bsearch(&wanted, survey->entry, survey->entry_count, sizeof wanted, in_natural_order);
    return found != NULL && !found->is_folder ? found : NULL;
}

const char *manifest_survey_below(struct arena *arena, const char *folder, const char *name)
{
    return arena_format(arena, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
}

const char *manifest_survey_sidecar(struct arena *arena, const char *path, bool is_folder)
{
    const char *slash = strrchr(path, '/'), *dot = is_folder ? NULL : strrchr(path, '.');
    if (dot == NULL || (slash != NULL && dot < slash))
        dot = path + strlen(path);
    return arena_format(arena, "%.*s.json", (int)(dot - path), path);
}

bool manifest_survey_is_dated(const struct origin_entry *entry)
{
    static const struct origin_version undated;
    return entry->is_folder && memcmp(&entry->version, &undated, sizeof undated) != 0;
}

bool manifest_survey_has_folders(const struct origin_entry *entry, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (entry[i].is_folder)
            return true;
    return false;
}

const struct origin_entry *manifest_survey_first(const struct origin_entry *entry, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!entry[i].is_folder && manifest_survey_is_picture(entry[i].name))
            return &entry[i];
    return NULL;
}

enum rc manifest_survey_list(struct origin *origin, const char *path, struct arena *arena,
                             struct origin_entry **ret_entries, size_t *ret_count, const char **ret_away,
                             struct err *err)
{
    struct origin_entry *entry = NULL;
    size_t count = 0, kept = 0;
    enum rc rc = origin_list(origin, path, arena, &entry, &count, err);
    if (rc == RC_AWAY) {
        *ret_away = arena_format(arena, "%s/", path);
        return *ret_away == NULL ? err_set(err, RC_NO_MEMORY, "no memory for a folder") : rc;
    }
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < count; i++)
        if (entry[i].is_folder || manifest_survey_is_picture(entry[i].name) || is_sidecar(entry[i].name))
            entry[kept++] = entry[i];
    if (kept > 0)
        qsort(entry, kept, sizeof *entry, in_natural_order);
    *ret_entries = entry;
    *ret_count = kept;
    return RC_OK;
}

/* ---- the fingerprint ---- */

struct looking {
    struct origin *origin;
    const struct list_map *catalogue;
    struct arena *arena;
    uint64_t hash;
    int64_t newest_s;
    const char **ret_away;
    struct err *err;
};

static void add_version(struct looking *looking, const struct origin_version *version)
{
    uint64_t hash = origin_version_hash(version);
    looking->hash = bytes_hash(looking->hash, &hash, sizeof hash);
    if (version->modified.tv_sec > looking->newest_s)
        looking->newest_s = version->modified.tv_sec;
}

static void add_row(struct looking *looking, const char *path)
{
    uint64_t row = manifest_catalogue_hash(looking->catalogue, path);
    looking->hash = bytes_hash(looking->hash, &row, sizeof row);
}

/* As origin_stat_file(), which far away would have to be waited for again and again where there is
 * nothing. */
static enum rc stat_file(struct looking *looking, const char *path, struct origin_version *ret_version)
{
    enum rc rc = origin_last_word(looking->origin, path, looking->err);
    if (rc == RC_OK)
        rc = origin_stat_file(looking->origin, path, ret_version, looking->err);
    if (rc == RC_AWAY)
        *looking->ret_away = path;
    return rc;
}

/* The sidecar of the document itself. */
static enum rc add_own_sidecar(struct looking *looking, const char *path, bool is_folder, bool *ret_has)
{
    struct origin_version version;
    const char *sidecar = manifest_survey_sidecar(looking->arena, path, is_folder);
    if (sidecar == NULL)
        return err_set(looking->err, RC_NO_MEMORY, "no memory for a sidecar's name");
    enum rc rc = stat_file(looking, sidecar, &version);
    *ret_has = rc == RC_OK;
    if (rc == RC_OK)
        add_version(looking, &version);
    return rc == RC_NOT_FOUND || rc == RC_FORBIDDEN ? RC_OK : rc;
}

/* Where folders have no dates of their own, what is in them counts. */
static enum rc add_inner(struct looking *looking, const char *path)
{
    struct origin_entry *entry = NULL;
    size_t count = 0;
    enum rc rc = manifest_survey_list(looking->origin, path, looking->arena, &entry, &count,
                                      looking->ret_away, looking->err);
    const struct origin_entry *first = rc == RC_OK ? manifest_survey_first(entry, count) : NULL;
    bool has_folders = manifest_survey_has_folders(entry, count);
    looking->hash = bytes_hash(looking->hash, &has_folders, sizeof has_folders);
    if (first != NULL) {
        looking->hash = bytes_hash(looking->hash, first->name, strlen(first->name) + 1);
        add_version(looking, &first->version);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc add_entry(struct looking *looking, const char *path, const struct origin_entry *entry)
{
    const char *whole = manifest_survey_below(looking->arena, path, entry->name);
    if (whole == NULL)
        return err_set(looking->err, RC_NO_MEMORY, "no memory for a folder");
    looking->hash = bytes_hash(looking->hash, entry->name, strlen(entry->name) + 1);
    looking->hash = bytes_hash(looking->hash, &entry->is_folder, sizeof entry->is_folder);
    add_row(looking, whole);
    add_version(looking, &entry->version);
    return entry->is_folder && !manifest_survey_is_dated(entry) ? add_inner(looking, whole) : RC_OK;
}

/* Folders that are to be listed far away are on their way together. */
static enum rc add_entries(struct looking *looking, const char *path, const struct manifest_survey *survey)
{
    const char *first_away = NULL;
    enum rc rc = RC_OK;
    for (size_t i = 0, away = 0; i < survey->entry_count && rc == RC_OK && away < LISTED_AT_ONCE; i++) {
        rc = add_entry(looking, path, &survey->entry[i]);
        if (rc != RC_AWAY)
            continue;
        if (away++ == 0)
            first_away = *looking->ret_away;
        else
            origin_prefetch(looking->origin, *looking->ret_away);
        rc = RC_OK;
    }
    if (rc != RC_OK || first_away == NULL)
        return rc;
    *looking->ret_away = first_away;
    return err_set(looking->err, RC_AWAY, "folders have to be listed by their origin");
}

static enum rc survey_picture(struct looking *looking, const char *path, struct manifest_survey *survey)
{
    struct origin_version version;
    enum rc rc = stat_file(looking, path, &version);
    if (rc == RC_OK) {
        add_version(looking, &version);
        rc = add_own_sidecar(looking, path, false, &survey->has_sidecar);
    }
    return rc;
}

static enum rc survey_folder(struct looking *looking, const char *path, struct manifest_survey *survey)
{
    enum rc rc = manifest_survey_list(looking->origin, path, looking->arena, &survey->entry,
                                      &survey->entry_count, looking->ret_away, looking->err);
    if (rc != RC_OK)
        return rc;
    survey->is_folder = true;
    survey->is_collection = path[0] == '\0' ||
                            manifest_survey_has_folders(survey->entry, survey->entry_count);
    rc = add_entries(looking, path, survey);
    return rc == RC_OK ? add_own_sidecar(looking, path, true, &survey->has_sidecar) : rc;
}

enum rc manifest_survey(struct origin *origin, const struct list_map *catalogue, const char *path,
                        struct arena *arena, struct manifest_survey *ret_survey, const char **ret_away,
                        struct err *err)
{
    struct looking looking = {.origin = origin,
                              .catalogue = catalogue,
                              .arena = arena,
                              .hash = BYTES_HASH_START,
                              .ret_away = ret_away,
                              .err = err};
    struct manifest_survey survey = {.is_folder = false};
    /* What is called like a picture most likely is one; far away, asking costs. */
    bool picture_first = manifest_survey_is_picture(path);
    enum rc rc = picture_first ? survey_picture(&looking, path, &survey)
                               : survey_folder(&looking, path, &survey);
    if ((rc == RC_NOT_FOUND || rc == RC_UNSUPPORTED) && path[0] != '\0') {
        struct err second_err;
        looking.err = &second_err;
        enum rc second = picture_first ? survey_folder(&looking, path, &survey)
                                       : survey_picture(&looking, path, &survey);
        /* Which sentence helps: that there is nothing, or that nobody can tell. */
        if (second != RC_UNSUPPORTED && !(rc == RC_UNSUPPORTED && second == RC_NOT_FOUND)) {
            *err = second_err;
            rc = second;
        }
    }
    if (rc != RC_OK)
        return rc;
    add_row(&looking, path);
    bool is_settled = time(NULL) - looking.newest_s > SETTLED_S;
    survey.fingerprint = !is_settled ? 0 : looking.hash != 0 ? looking.hash : 1;
    *ret_survey = survey;
    return RC_OK;
}
