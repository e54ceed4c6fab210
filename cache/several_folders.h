/* Folders of several image roots as if they were one's: what lies in them, and waiting until that is known. For cache/origin_several.c.
 *
 * Folders of all roots with the same path are one; the names of roots are folders of the root of all. Roots that cannot be listed
 * are left out, unless none can. */
#ifndef CACHE_SEVERAL_FOLDERS_H
#define CACHE_SEVERAL_FOLDERS_H

#include "base/roots.h"
#include "cache/origin.h"

struct several_roots {
    uint32_t count;
    struct roots_root name[ROOTS_MOST];
    struct origin *root[ROOTS_MOST];
};

/* Whether the root says RC_AWAY at times. */
bool several_is_far(const struct several_roots *roots, uint32_t root);

/* As origin_list(), in the order of names. */
RC_MUST_USE enum rc several_folders_list(const struct several_roots *roots, const char *path,
                                         struct arena *arena, struct origin_entry **ret_entries,
                                         size_t *ret_count, struct err *err);
/* As origin_visit(); a name that is in more than one root is visited as often. */
RC_MUST_USE enum rc several_folders_visit(const struct several_roots *roots, const char *path,
                                          enum rc (*visit)(void *context, const struct origin_name *name,
                                                           struct err *err),
                                          void *context, struct err *err);

/* Has the first root list the folder that does not know what lies there; `path` ends with a slash. The waiter is called when it
 * does, or at once where all know. */
void several_folders_await(const struct several_roots *roots, const char *path, struct origin_waiter *waiter);

#endif
