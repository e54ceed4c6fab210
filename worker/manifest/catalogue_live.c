#include "worker/manifest/catalogue_live.h"

#include "base/log.h"
#include "base/own.h"
#include "worker/manifest/catalogue_columns.h"

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

struct manifest_catalogue_live {
    const char *file, *columns;
    int text_fd; /* -1: no catalogue */
    char *map_path, *lock_path;
    /* The map in use. Set at most once more after the start; what it replaces stays open until the end, since somebody may be
     * reading it. */
    _Atomic(struct manifest_catalogue *) map;
    struct manifest_catalogue *former;
    pthread_t loader;
    bool has_loader;
};

static bool is_current(const struct manifest_catalogue *map, const struct manifest_catalogue_live *live)
{
    struct stat text;
    if (map == NULL || fstat(live->text_fd, &text) != 0)
        return false;
    const struct manifest_catalogue_source source = manifest_catalogue_source(&text, live->columns);
    return manifest_catalogue_is_of(map, &source);
}

struct problems {
    const char *name;
    uint64_t count;
};

static void log_problem(uint64_t line, const char *sentence, void *context)
{
    struct problems *problems = context;
    if (problems->count++ < LOGGED_PROBLEMS)
        log_error("%s:%" PRIu64 ": %s", problems->name, line, sentence);
}

static void print_problem(uint64_t line, const char *sentence, void *context)
{
    struct problems *problems = context;
    problems->count++;
    fprintf(stderr, "%s:%" PRIu64 ": %s\n", problems->name, line, sentence);
}

/* ---- loading ---- */

/* Loads, unless the lock file says that somebody has found this very file wrong. Under the lock. */
static void load(struct manifest_catalogue_live *live, int lock_fd)
{
    struct stat text;
    struct manifest_catalogue_source refused = {0}, wanted;
    if (fstat(live->text_fd, &text) != 0)
        return;
    wanted = manifest_catalogue_source(&text, live->columns);
    if (pread(lock_fd, &refused, sizeof refused, 0) == (ssize_t)sizeof refused &&
        memcmp(&refused, &wanted, sizeof wanted) == 0)
        return;
    struct problems problems = {.name = live->file};
    uint64_t rows = 0;
    struct err err;
    enum rc rc = manifest_catalogue_load(live->text_fd, live->columns, live->map_path, log_problem, &problems,
                                         &rows, &err);
    if (rc == RC_OK)
        log_info("%s: %" PRIu64 " rows of the catalogue are loaded", live->file, rows);
    else if (rc != RC_CORRUPT)
        log_error("%s: %s; the catalogue from before stays", live->file, err.message);
    else if (pwrite(lock_fd, &wanted, sizeof wanted, 0) == (ssize_t)sizeof wanted)
        log_error("%s: %" PRIu64 " lines are wrong, none was taken over", live->file, problems.count);
}

static void *load_in_turn(void *context)
{
    struct manifest_catalogue_live *live = context;
    struct manifest_catalogue *fresh = NULL;
    struct err err;
    OWN_FD int lock_fd = open(live->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX) != 0) {
        log_error("catalogue: %s: %s", live->lock_path, strerror(errno));
        return NULL;
    }
    bool is_there = manifest_catalogue_open(live->map_path, &fresh, &err) == RC_OK;
    if (!is_there || !is_current(fresh, live)) {
        manifest_catalogue_close(&fresh);
        load(live, lock_fd);
        is_there = manifest_catalogue_open(live->map_path, &fresh, &err) == RC_OK;
    }
    if (is_there)
        live->former = atomic_exchange(&live->map, fresh);
    return NULL;
}

/* ---- checking ---- */

enum rc manifest_catalogue_check(const struct manifest_catalogue_options *options, const char **ret_name,
                                 struct err *err)
{
    OWN(catalogue_columns_free) struct catalogue_columns *columns = NULL;
    struct err wrong;
    *ret_name = "catalogue_columns";
    if (catalogue_columns_read(options->columns, &columns, &wrong) != RC_OK)
        return err_set(err, RC_BAD_REQUEST, "catalogue_columns: %s", wrong.message);
    *ret_name = "catalogue";
    if (options->file[0] == '\0')
        return RC_OK;
    if (options->folder == NULL)
        return err_set(err, RC_BAD_REQUEST, "catalogue is \"%s\", which needs a cache directory for its map",
                       options->file);
    if (access(options->file, R_OK) != 0)
        return err_set_errno(err, RC_BAD_REQUEST, errno, "catalogue is \"%s\"", options->file);
    return RC_OK;
}

bool manifest_catalogue_check_lines(const struct manifest_catalogue_options *options)
{
    struct problems problems = {.name = options->file};
    uint64_t rows = 0;
    struct err err;
    if (options->file[0] == '\0')
        return true;
    OWN_FD int fd = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return true; /* said already */
    enum rc rc = manifest_catalogue_load(fd, options->columns, NULL, print_problem, &problems, &rows, &err);
    if (rc != RC_OK && rc != RC_CORRUPT)
        fprintf(stderr, "%s: %s\n", options->file, err.message);
    return rc == RC_OK;
}

/* ---- coming and going ---- */

static enum rc open_map(struct manifest_catalogue_live *live,
                        const struct manifest_catalogue_options *options, struct err *err)
{
    struct manifest_catalogue *map = NULL;
    struct err ignored;
    live->text_fd = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (live->text_fd < 0)
        return err_set_errno(err, RC_IO, errno, "catalogue: %s", options->file);
    if (asprintf(&live->map_path, "%s/catalogue.mdb", options->folder) < 0 ||
        asprintf(&live->lock_path, "%s/catalogue.lock", options->folder) < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the catalogue");
    if (manifest_catalogue_open(live->map_path, &map, &ignored) == RC_OK)
        atomic_store(&live->map, map);
    return RC_OK;
}

enum rc manifest_catalogue_live_open(const struct manifest_catalogue_options *options,
                                     struct manifest_catalogue_live **ret_live, struct err *err)
{
    OWN(manifest_catalogue_live_close) struct manifest_catalogue_live *live = calloc(1, sizeof *live);
    if (live == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the catalogue");
    live->text_fd = -1;
    live->file = options->file;
    live->columns = options->columns;
    enum rc rc = options->file[0] != '\0' ? open_map(live, options, err) : RC_OK;
    if (rc == RC_OK)
        *ret_live = TAKE_PTR(live);
    return rc;
}

enum rc manifest_catalogue_live_start(struct manifest_catalogue_live *live, struct err *err)
{
    if (live->text_fd < 0 || is_current(atomic_load(&live->map), live))
        return RC_OK;
    int fault = pthread_create(&live->loader, NULL, load_in_turn, live);
    if (fault != 0)
        return err_set_errno(err, RC_NO_MEMORY, fault, "no thread to load the catalogue");
    live->has_loader = true;
    return RC_OK;
}

void manifest_catalogue_live_close(struct manifest_catalogue_live **live)
{
    struct manifest_catalogue_live *closed = TAKE_PTR(*live);
    if (closed == NULL)
        return;
    if (closed->has_loader)
        pthread_join(closed->loader, NULL);
    struct manifest_catalogue *map = atomic_load(&closed->map);
    manifest_catalogue_close(&map);
    manifest_catalogue_close(&closed->former);
    own_close(&closed->text_fd);
    free(closed->map_path);
    free(closed->lock_path);
    free(closed);
}

const struct manifest_catalogue *manifest_catalogue_now(const struct manifest_catalogue_live *live)
{
    return live == NULL ? NULL : atomic_load_explicit(&live->map, memory_order_acquire);
}
