#include "cache/list_live.h"

#include "base/log.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOGGED_PROBLEMS 20u

struct list_live {
    struct list_live_options options;
    int text_fd;
    char *map_path, *lock_path;
    /* The map in use. Set at most once more after the start; what it replaces stays open until the end, since somebody may be
     * reading it. */
    _Atomic(struct list_map *) map;
    struct list_map *former;
    pthread_t loader;
    bool has_loader;
};

static bool is_current(const struct list_live *live, const struct list_map *map)
{
    struct stat text;
    if (map == NULL || fstat(live->text_fd, &text) != 0)
        return false;
    const struct list_map_source source = list_map_source(live->options.kind, &text,
                                                          live->options.settings_hash);
    return list_map_is_of(map, &source);
}

/* ---- making it ---- */

struct problems {
    const char *file;
    uint64_t count;
};

static void log_problem(uint64_t line, const char *sentence, void *context)
{
    struct problems *problems = context;
    if (problems->count++ < LOGGED_PROBLEMS)
        log_error("%s:%" PRIu64 ": %s", problems->file, line, sentence);
}

/* Makes the map, unless the lock file says that somebody has found this very text wrong. Under the lock. */
static void load(struct list_live *live, int lock_fd)
{
    const struct list_live_options *options = &live->options;
    struct stat text;
    struct list_map_source refused = {0}, wanted;
    if (fstat(live->text_fd, &text) != 0)
        return;
    wanted = list_map_source(options->kind, &text, options->settings_hash);
    if (pread(lock_fd, &refused, sizeof refused, 0) == (ssize_t)sizeof refused &&
        memcmp(&refused, &wanted, sizeof wanted) == 0)
        return;
    struct problems problems = {.file = options->file};
    uint64_t count = 0;
    struct err err;
    enum rc rc = options->load(options, live->text_fd, live->map_path, log_problem, &problems, &count, &err);
    if (rc == RC_OK)
        log_info("%s: %" PRIu64 " %s are loaded", options->file, count, options->entries);
    else if (rc != RC_CORRUPT)
        log_error("%s: %s; %s", options->file, err.message, options->former);
    else if (pwrite(lock_fd, &wanted, sizeof wanted, 0) == (ssize_t)sizeof wanted)
        log_error("%s: %" PRIu64 " lines are wrong, none was taken over", options->file, problems.count);
}

static void *load_in_turn(void *context)
{
    struct list_live *live = context;
    struct list_map *fresh = NULL;
    struct err err;
    OWN_FD int lock_fd = open(live->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX) != 0) {
        log_error("%s: %s: %s", live->options.setting, live->lock_path, strerror(errno));
        return NULL;
    }
    bool is_there = list_map_open(live->options.kind, live->map_path, &fresh, &err) == RC_OK;
    if (!is_there || !is_current(live, fresh)) {
        list_map_close(&fresh);
        load(live, lock_fd);
        is_there = list_map_open(live->options.kind, live->map_path, &fresh, &err) == RC_OK;
    }
    if (is_there)
        live->former = atomic_exchange(&live->map, fresh);
    return NULL;
}

/* ---- coming and going ---- */

enum rc list_live_open(const struct list_live_options *options, struct list_live **ret_live, struct err *err)
{
    OWN(list_live_close) struct list_live *live = calloc(1, sizeof *live);
    struct list_map *map = NULL;
    struct err ignored;
    if (live == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %s", options->kind->what);
    live->options = *options;
    live->text_fd = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (live->text_fd < 0)
        return err_set_errno(err, RC_IO, errno, "%s: %s", options->setting, options->file);
    if (asprintf(&live->map_path, "%s/%s.mdb", options->folder, options->name) < 0) {
        live->map_path = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for %s", options->kind->what);
    }
    if (asprintf(&live->lock_path, "%s/%s.lock", options->folder, options->name) < 0) {
        live->lock_path = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for %s", options->kind->what);
    }
    if (list_map_open(options->kind, live->map_path, &map, &ignored) == RC_OK)
        atomic_store(&live->map, map);
    *ret_live = TAKE_PTR(live);
    return RC_OK;
}

enum rc list_live_start(struct list_live *live, struct err *err)
{
    if (live == NULL || is_current(live, atomic_load(&live->map)))
        return RC_OK;
    int fault = pthread_create(&live->loader, NULL, load_in_turn, live);
    if (fault != 0)
        return err_set_errno(err, RC_NO_MEMORY, fault, "no thread to make %s", live->options.kind->what);
    live->has_loader = true;
    return RC_OK;
}

void list_live_close(struct list_live **live)
{
    struct list_live *closed = TAKE_PTR(*live);
    if (closed == NULL)
        return;
    if (closed->has_loader)
        pthread_join(closed->loader, NULL);
    struct list_map *map = atomic_load(&closed->map);
    list_map_close(&map);
    list_map_close(&closed->former);
    own_close(&closed->text_fd);
    free(closed->map_path);
    free(closed->lock_path);
    free(closed);
}

const struct list_map *list_live_now(const struct list_live *live)
{
    return live == NULL ? NULL : atomic_load_explicit(&live->map, memory_order_acquire);
}
