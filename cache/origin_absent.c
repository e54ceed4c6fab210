/* A folder that did not answer when it was to be opened: everything asked of it fails at once. The worker serves what does not
 * need it, and is replaced when the folder answers. */
#include "cache/origin_kinds.h"

#include "base/own.h"

#include <string.h>

struct absent {
    struct origin origin; /* first */
    int answer_fd;
    char path[];
};

static enum rc no_answer(const struct origin *origin, struct err *err)
{
    return err_set(err, RC_LATE, "the image directory %.180s does not answer",
                   ((const struct absent *)origin)->path);
}

static enum rc absent_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                struct origin_version *ret_version, struct err *err)
{
    (void)path;
    (void)ret_blob;
    (void)ret_version;
    return no_answer(origin, err);
}

static enum rc absent_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                                struct err *err)
{
    (void)path;
    (void)ret_version;
    return no_answer(origin, err);
}

static enum rc absent_list(struct origin *origin, const char *path, struct arena *arena,
                           struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    (void)path;
    (void)arena;
    (void)ret_entries;
    (void)ret_count;
    return no_answer(origin, err);
}

static enum rc absent_visit(struct origin *origin, const char *path,
                            enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                            void *context, struct err *err)
{
    (void)path;
    (void)visit;
    (void)context;
    return no_answer(origin, err);
}

static int absent_answer_fd(const struct origin *origin)
{
    return ((const struct absent *)origin)->answer_fd;
}

static void absent_close(struct origin *origin)
{
    own_close(&((struct absent *)origin)->answer_fd);
    free(origin);
}

static const struct origin_ops absent_ops = {.open_blob = absent_open_blob,
                                             .stat_file = absent_stat_file,
                                             .list = absent_list,
                                             .visit = absent_visit,
                                             .answer_fd = absent_answer_fd,
                                             .close = absent_close};

enum rc origin_absent_open(const char *path, int answer_fd, struct origin **ret_origin, struct err *err)
{
    OWN_FD int fd = answer_fd;
    size_t path_bytes = strlen(path) + 1;
    struct absent *absent = calloc(1, sizeof *absent + path_bytes);
    if (absent == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the image directory");
    absent->origin = (struct origin){.ops = &absent_ops, .needs = {.root_fd = -1}};
    absent->answer_fd = TAKE_FD(fd);
    memcpy(absent->path, path, path_bytes);
    *ret_origin = &absent->origin;
    return RC_OK;
}
