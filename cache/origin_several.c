/* Several origins as one: a path is looked for in each root that it can be in, in their order, and the first that has it wins.
 *
 * A folder here is simply asked each time. Of the others it is remembered for `revalidate` that they have said no, so that the
 * next root's turn comes; while a later root fetches, a no goes on, or with slow origins the first would always have to be asked again by
 * the time the second has answered, but one that is older than `revalidate` by then is asked again behind that. A root that is away and has said no before, less
 * than `stale_if_error` ago, is believed; one that has never been asked is waited for: nobody gets the picture of a
 * later root because the first had a bad moment. Who has said no to what stands in cache/denials.h. */
#include "base/log.h"
#include "base/own.h"
#include "cache/denials.h"
#include "cache/origin_kinds.h"
#include "cache/several_folders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* So long after a root has truly said no it goes on at most, should asking behind bring no answer. */
#define PROLONGED_MOST_MS 60000

struct several {
    struct origin origin; /* first */
    struct several_roots roots;
    int64_t stale_ms;
    int answers_fd; /* -1, or readable when a root that was absent answers */
    struct denials *denials;
};

static struct several *several_of(struct origin *origin)
{
    return (struct several *)origin;
}

/* ---- files ---- */

static enum rc nowhere(const char *path, struct err *err)
{
    return err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
}

/* What the path is called in the root; NULL: it cannot be there, or is known not to be. */
static const char *below_if_asked(struct several *several, uint32_t root, const char *path)
{
    const char *below = roots_below(&several->roots.name[root], path);
    bool is_denied = below != NULL && several_is_far(&several->roots, root) &&
                     denials_holds(several->denials, root, below);
    return is_denied ? NULL : below;
}

static enum rc several_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                 struct origin_version *ret_version, struct err *err)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++) {
        const char *below = below_if_asked(several, i, path);
        enum rc rc = below == NULL
                         ? RC_NOT_FOUND
                         : origin_open_blob(several->roots.root[i], below, ret_blob, ret_version, err);
        if (rc != RC_NOT_FOUND)
            return rc;
    }
    return nowhere(path, err);
}

static enum rc several_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                                 struct err *err)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++) {
        const char *below = below_if_asked(several, i, path);
        enum rc rc = below == NULL ? RC_NOT_FOUND
                                   : origin_stat_file(several->roots.root[i], below, ret_version, err);
        if (rc != RC_NOT_FOUND)
            return rc;
    }
    return nowhere(path, err);
}

static bool has_not(struct several *several, uint32_t root, const char *below)
{
    struct origin_version version;
    return origin_stat_file(several->roots.root[root], below, &version, NULL) == RC_NOT_FOUND;
}

/* Of the root whose turn it is. */
static enum rc several_last_word(struct origin *origin, const char *path, struct err *err)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++) {
        const char *below = below_if_asked(several, i, path);
        if (below != NULL && !has_not(several, i, below))
            return origin_last_word(several->roots.root[i], below, err);
    }
    return RC_OK;
}

/* ---- waiting ---- */

/* Between who waits and the one root that is asked. */
struct pending {
    struct origin_waiter waiter; /* first */
    struct several *several;
    struct origin_waiter *outer;
    uint32_t root;
    char path[];
};

static bool is_away(enum rc rc)
{
    return rc == RC_ORIGIN || rc == RC_LATE || rc == RC_BUSY;
}

/* Whether the root has said no, or holds on to one while it is silent. */
static bool is_no(struct several *several, uint32_t root, const char *below, enum rc rc)
{
    return rc == RC_NOT_FOUND || (rc == RC_OK && has_not(several, root, below));
}

/* Nobody waits for it. */
static void on_said_behind(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    struct pending *pending = (struct pending *)waiter;
    struct several *several = pending->several;
    const char *below = roots_below(&several->roots.name[pending->root], pending->path);
    (void)err;
    if (is_no(several, pending->root, below, rc))
        denials_note(several->denials, pending->root, below);
    else if (!is_away(rc) || !denials_renew(several->denials, pending->root, below, several->stale_ms))
        denials_drop(several->denials, pending->root, below);
    free(pending);
}

/* NULL: no memory. */
static struct pending *pending_new(struct several *several, uint32_t root, const char *path,
                                   struct origin_waiter *outer)
{
    size_t path_bytes = strlen(path) + 1;
    struct pending *pending = malloc(sizeof *pending + path_bytes);
    if (pending == NULL)
        return NULL;
    *pending = (struct pending){.several = several, .outer = outer, .root = root};
    memcpy(pending->path, path, path_bytes);
    return pending;
}

static void prolong_those_before(struct several *several, uint32_t root, const char *path)
{
    for (uint32_t i = 0; i < root; i++) {
        const char *below = roots_below(&several->roots.name[i], path);
        if (below == NULL || !several_is_far(&several->roots, i) ||
            !denials_prolong(several->denials, i, below, PROLONGED_MOST_MS))
            continue;
        struct pending *pending = pending_new(several, i, path, NULL);
        if (pending == NULL) {
            denials_drop(several->denials, i, below);
            continue;
        }
        pending->waiter.ready = on_said_behind;
        origin_await(several->roots.root[i], below, &pending->waiter);
    }
}

static void on_ready(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    struct pending *pending = (struct pending *)waiter;
    struct several *several = pending->several;
    struct origin_waiter *outer = pending->outer;
    const char *below = roots_below(&several->roots.name[pending->root], pending->path);
    struct err said;
    if (is_no(several, pending->root, below, rc)) {
        denials_note(several->denials, pending->root, below);
        rc = RC_OK; /* the next one's turn */
    } else if (is_away(rc) && denials_renew(several->denials, pending->root, below, several->stale_ms)) {
        rc = RC_OK;
    }
    if (rc == RC_OK)
        prolong_those_before(several, pending->root, pending->path);
    else
        said = *err;
    free(pending);
    outer->ready(outer, rc, rc == RC_OK ? NULL : &said);
}

/* Asks the first root that has not said no. Where none is left, or a folder has it, starting over will tell. */
static void several_await(struct origin *origin, const char *path, struct origin_waiter *waiter)
{
    struct several *several = several_of(origin);
    if (path[0] != '\0' && path[strlen(path) - 1] == '/') {
        several_folders_await(&several->roots, path, waiter);
        return;
    }
    for (uint32_t i = 0; i < several->roots.count; i++) {
        const char *below = below_if_asked(several, i, path);
        if (below == NULL || has_not(several, i, below))
            continue;
        if (!several_is_far(&several->roots, i))
            break;
        struct pending *pending = pending_new(several, i, path, waiter);
        struct err err;
        if (pending == NULL) {
            waiter->ready(waiter, err_set(&err, RC_NO_MEMORY, "no memory to look for image '%.180s'", path),
                          &err);
            return;
        }
        pending->waiter.ready = on_ready;
        origin_await(several->roots.root[i], roots_below(&several->roots.name[i], pending->path),
                     &pending->waiter);
        return;
    }
    waiter->ready(waiter, RC_OK, NULL);
}

/* ---- all of them ---- */

static enum rc several_list(struct origin *origin, const char *path, struct arena *arena,
                            struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    return several_folders_list(&several_of(origin)->roots, path, arena, ret_entries, ret_count, err);
}

static enum rc several_visit(struct origin *origin, const char *path,
                             enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                             void *context, struct err *err)
{
    return several_folders_visit(&several_of(origin)->roots, path, visit, context, err);
}

static void several_share(struct origin *origin, const struct shm_leaseholder *holder,
                          const _Atomic int64_t *distrusted_ms)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++)
        origin_share(several->roots.root[i], holder, distrusted_ms);
}

static int several_answer_fd(const struct origin *origin)
{
    return ((const struct several *)origin)->answers_fd;
}

static enum rc several_start(struct origin *origin, struct err *err)
{
    struct several *several = several_of(origin);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < several->roots.count && rc == RC_OK; i++)
        rc = origin_start(several->roots.root[i], err);
    return rc;
}

static void several_cancel(struct origin *origin)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++)
        origin_cancel(several->roots.root[i]);
}

static void several_close(struct origin *origin)
{
    struct several *several = several_of(origin);
    for (uint32_t i = 0; i < several->roots.count; i++)
        origin_close(&several->roots.root[i]);
    denials_free(&several->denials);
    own_close(&several->answers_fd);
    free(several);
}

static size_t several_needs(const struct origin *origin, struct origin_needs ret_needs[ROOTS_MOST])
{
    const struct several *several = (const struct several *)origin;
    for (uint32_t i = 0; i < several->roots.count; i++)
        ret_needs[i] = several->roots.root[i]->needs;
    return several->roots.count;
}

static const struct origin_ops several_ops = {.share = several_share,
                                              .answer_fd = several_answer_fd,
                                              .start = several_start,
                                              .cancel = several_cancel,
                                              .close = several_close,
                                              .open_blob = several_open_blob,
                                              .stat_file = several_stat_file,
                                              .last_word = several_last_word,
                                              .list = several_list,
                                              .visit = several_visit,
                                              .await = several_await,
                                              .needs = several_needs};

enum rc origin_several_new(const struct settings *settings, struct origin **ret_origin, struct err *err)
{
    struct several *several = calloc(1, sizeof *several);
    struct denials *denials = denials_new(settings->revalidate_s < 1 ? 1000 : settings->revalidate_s * 1000);
    if (several == NULL || denials == NULL) {
        free(several);
        denials_free(&denials);
        return err_set(err, RC_NO_MEMORY, "no memory for the image roots");
    }
    several->origin = (struct origin){.ops = &several_ops, .needs = {.root_fd = -1}};
    several->denials = denials;
    several->stale_ms = settings->stale_if_error_s * 1000;
    several->answers_fd = -1;
    *ret_origin = &several->origin;
    return RC_OK;
}

/* Where this fails the root stays absent until the worker is replaced for another reason. */
static void await_answer(struct several *several, int answer_fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (several->answers_fd < 0)
        several->answers_fd = epoll_create1(EPOLL_CLOEXEC);
    if (several->answers_fd < 0 || epoll_ctl(several->answers_fd, EPOLL_CTL_ADD, answer_fd, &event) < 0)
        log_warning("an image directory cannot be waited for: %s", strerror(errno));
}

void origin_several_add(struct origin *origin, const struct roots_root *name, struct origin *root)
{
    struct several *several = several_of(origin);
    several->roots.name[several->roots.count] = *name;
    several->roots.root[several->roots.count++] = root;
    if (origin_answer_fd(root) >= 0)
        await_answer(several, origin_answer_fd(root));
}
