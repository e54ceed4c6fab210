/* What lies where a document is wanted, found by listing and looking at dates alone: no picture is opened.
 * Enough to say of which kind the document is, and whether one that was made before is still right.
 *
 * On a render thread, or one of its own: blocks on the file system. What is returned lives in the arena. */
#ifndef WORKER_MANIFEST_SURVEY_H
#define WORKER_MANIFEST_SURVEY_H

#include "cache/origin.h"

/* Which documents are written from where. */
struct manifest_survey {
    bool is_folder, is_collection;
    struct origin_entry *entry; /* of a folder: its folders, pictures and sidecars, in natural order */
    size_t entry_count;
    bool has_sidecar; /* the picture's or folder's own */
    /* Changes when the document may: with names, dates and sizes of all that it is made of, but for the
     * pictures that stand for folders in a collection. 0: something is so young that a further change might
     * not show. */
    uint64_t fingerprint;
};

struct list_map;

/* `path` below the image root, "" for it. RC_NOT_FOUND: neither picture nor folder. RC_AWAY: *ret_away is
 * what to wait for. Other codes of origin_list() and origin_stat_file(). `catalogue` may be NULL. */
RC_MUST_USE enum rc manifest_survey(struct origin *origin, const struct list_map *catalogue, const char *path,
                                    struct arena *arena, struct manifest_survey *ret_survey,
                                    const char **ret_away, struct err *err);

/* Lists a folder: its folders, pictures and sidecars, in natural order. Codes of origin_list(). */
RC_MUST_USE enum rc manifest_survey_list(struct origin *origin, const char *path, struct arena *arena,
                                         struct origin_entry **ret_entries, size_t *ret_count,
                                         const char **ret_away, struct err *err);

/* The picture or sidecar of that name in the folder; NULL: there is none. */
const struct origin_entry *manifest_survey_find_file(const struct manifest_survey *survey, const char *name);
/* By the name's extension. */
bool manifest_survey_is_picture(const char *name);
/* Whether it is a folder with a date of its own, of whose contents the survey knows nothing else. */
bool manifest_survey_is_dated(const struct origin_entry *entry);
bool manifest_survey_has_folders(const struct origin_entry *entry, size_t count);
/* The first picture, which stands for its folder; NULL: there is none. */
const struct origin_entry *manifest_survey_first(const struct origin_entry *entry, size_t count);
/* "FOLDER/NAME"; NULL when memory is out. */
const char *manifest_survey_below(struct arena *arena, const char *folder, const char *name);
/* NAME.json beside the file or folder NAME; NULL when memory is out. */
const char *manifest_survey_sidecar(struct arena *arena, const char *path, bool is_folder);

#endif
