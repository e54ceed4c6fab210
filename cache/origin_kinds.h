/* The kinds of origin: for origin.c, which picks one, and the files that implement them. */
#ifndef CACHE_ORIGIN_KINDS_H
#define CACHE_ORIGIN_KINDS_H

#include "cache/origin.h"

struct origin_ops {
    /* NULL: nothing to share, and nothing is remembered. */
    void (*share)(struct origin *origin, const struct shm_leaseholder *holder,
                  const _Atomic int64_t *distrusted_ms);
    enum rc (*start)(struct origin *origin, struct err *err); /* NULL: there is nothing to start */
    void (*cancel)(struct origin *origin);                    /* NULL: nobody ever waits */
    void (*close)(struct origin *origin);
    int (*answer_fd)(const struct origin *origin); /* NULL: it has answered */
    enum rc (*open_blob)(struct origin *origin, const char *path, struct image_blob **ret_blob,
                         struct origin_version *ret_version, struct err *err);
    enum rc (*stat_file)(struct origin *origin, const char *path, struct origin_version *ret_version,
                         struct err *err);
    /* NULL: stat_file says so by itself. */
    enum rc (*last_word)(struct origin *origin, const char *path, struct err *err);
    /* NULL: it cannot be listed. */
    enum rc (*list)(struct origin *origin, const char *path, struct arena *arena,
                    struct origin_entry **ret_entries, size_t *ret_count, struct err *err);
    /* NULL: by the list. */
    enum rc (*visit)(struct origin *origin, const char *path,
                     enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                     void *context, struct err *err);
    void (*await)(struct origin *origin, const char *path,
                  struct origin_waiter *waiter); /* NULL: never RC_AWAY */
    /* NULL: the one in struct origin. */
    size_t (*needs)(const struct origin *origin, struct origin_needs ret_needs[ROOTS_MOST]);
};

struct origin {
    const struct origin_ops *ops;
    struct origin_needs needs;
};

/* Takes over `root_fd` in every case. */
RC_MUST_USE enum rc origin_folder_open(int root_fd, struct origin **ret_origin, struct err *err);

/* Several as one, at first none. `root` is the new one's from then on, and `name` copied. At most ROOTS_MOST. */
RC_MUST_USE enum rc origin_several_new(const struct settings *settings, struct origin **ret_origin,
                                       struct err *err);
void origin_several_add(struct origin *origin, const struct roots_root *name, struct origin *root);

/* For a folder that does not answer yet. Takes over `answer_fd` in every case. */
RC_MUST_USE enum rc origin_absent_open(const char *path, int answer_fd, struct origin **ret_origin,
                                       struct err *err);

/* Beneath the root: a path that leads out of it, or to nothing, is no image. Shared with the lane for slow folders. */
RC_MUST_USE enum rc origin_folder_open_file(int root_fd, const char *path, uint64_t flags, int *ret_fd,
                                            struct origin_version *ret_version, struct err *err);

/* Lists a folder beneath the root; `goes_on` (or NULL) is asked after each entry, and ends it with RC_CANCELLED. Shared likewise. */
RC_MUST_USE enum rc origin_folder_list(int root_fd, const char *path, bool (*goes_on)(void *context),
                                       void *context, struct arena *arena, struct origin_entry **ret_entries,
                                       size_t *ret_count, struct err *err);

#endif
