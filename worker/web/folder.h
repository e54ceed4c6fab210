/* What a folder shows: its folders, then its pictures, each in natural order.
 *
 * Kept for a while, since a folder may be large: as long as a replaced source may go unnoticed, and at least
 * twenty times as long as it took to be read, so that reading folders takes a twentieth of one processor at
 * most. Names that no identifier can say (hidden ones, control bytes, what looks like a page of a file) are
 * left out. On render threads: blocks on the file system. Private to a process; nothing survives a crash. */
#ifndef WORKER_WEB_FOLDER_H
#define WORKER_WEB_FOLDER_H

#include "cache/origin.h"

#include <stdatomic.h>

/* Immutable. */
struct web_folder {
    const char *const *name; /* folders first */
    const bool *is_link;     /* a folder or picture that has another name, too */
    size_t folder_count, count;
};

struct web_folders;

RC_MUST_USE enum rc web_folders_new(struct origin *origin, int64_t revalidate_ms,
                                    struct web_folders **ret_folders, struct err *err);
/* Every reference must have been given back. */
void web_folders_free(struct web_folders **folders);

/* `path` "": the root. Codes of origin_visit(); RC_NO_MEMORY. */
RC_MUST_USE enum rc web_folders_get(struct web_folders *folders, const char *path,
                                    const struct web_folder **ret_folder, struct err *err);
void web_folders_release(struct web_folders *folders, const struct web_folder **folder);

/* Reads one and keeps it nowhere; `is_over` (or NULL) ends it early with RC_CANCELLED. Free it by
 * web_folder_free(). */
RC_MUST_USE enum rc web_folder_read(struct origin *origin, const char *path, const atomic_bool *is_over,
                                    const struct web_folder **ret_folder, struct err *err);
void web_folder_free(const struct web_folder **folder);

#endif
