#include "cache/origin_kinds.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/own.h"
#include "base/probe.h"
#include "cache/lane_transport.h"
#include "cache/remote.h"
#include "cache/web_address.h"
#include "cache/web_transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* For a slow folder without a cache directory, and where the cache directory is full. */
#define MEMORY_BYTES (INT64_C(256) << 20)

#define LONGEST_PROBE_MS 5000 /* so long a worker's start may take for a folder that hangs */

/* One image root. */
struct opening {
    const struct settings *settings;
    const char *place;
    int blocks_fd;
    int64_t memory_bytes;
};

static enum rc open_remote(const struct opening *opening, struct transport *transport,
                           const struct origin_needs *needs, struct origin **ret_origin, struct err *err)
{
    const struct settings *settings = opening->settings;
    const struct remote_options options = {.revalidate_ms = settings->revalidate_s * 1000,
                                           .stale_if_error_ms = settings->stale_if_error_s * 1000,
                                           .most_whole_bytes = settings->whole_file_bytes,
                                           /* the last try begins before two time-outs are over */
                                           .lease_ms = 3 * settings->fetch_timeout_s * 1000 + 1000};
    struct block_store *store = NULL;
    enum rc rc = block_store_open(opening->blocks_fd, settings->block_cache_bytes, opening->memory_bytes,
                                  &store, err);
    if (rc == RC_OK)
        return remote_open(&options, transport, store, needs, ret_origin, err);
    transport->ops->close(transport);
    if (needs->root_fd >= 0)
        close(needs->root_fd);
    return rc;
}

static enum rc open_web(const struct opening *opening, struct origin **ret_origin, struct err *err)
{
    struct transport *transport = NULL;
    struct origin_needs needs = {.root_fd = -1};
    if (opening->blocks_fd < 0)
        return err_set(err, RC_BAD_REQUEST,
                       "images are at %.120s, which needs a cache directory that can be written: --cache DIR",
                       opening->place);
    enum rc rc = web_transport_open(opening->settings, opening->place, &transport, &needs, err);
    return rc == RC_OK ? open_remote(opening, transport, &needs, ret_origin, err) : rc;
}

/* By the descriptor that the probe has: nothing here calls into the folder's file system. */
static enum rc open_folder(const struct opening *opening, struct probe *probe, struct origin **ret_origin,
                           struct err *err)
{
    const struct settings *settings = opening->settings;
    if (probe->answer_fd >= 0) {
        log_error("the image directory %s %s%s; images are served when it does", opening->place,
                  probe->os_errno == 0 ? "does not answer" : "does not answer: ",
                  probe->os_errno == 0 ? "" : strerror(probe->os_errno));
        return origin_absent_open(opening->place, TAKE_FD(probe->answer_fd), ret_origin, err);
    }
    OWN_FD int fd = TAKE_FD(probe->fd);
    if (fd < 0)
        return err_set_errno(err, probe_has_failed(probe->os_errno) ? RC_BUSY : RC_IO, probe->os_errno,
                             "the image directory %s cannot be opened", opening->place);
    bool slow = strcmp(settings->slow_folder, "always") == 0 ||
                (strcmp(settings->slow_folder, "auto") == 0 && probe_may_hang(probe->system_type));
    if (!slow)
        return origin_folder_open(TAKE_FD(fd), ret_origin, err);
    struct transport *transport = NULL;
    const struct origin_needs needs = {.root_fd = fd};
    enum rc rc = lane_transport_open(fd, opening->place, (uint32_t)settings->folder_threads,
                                     settings->fetch_timeout_s * 1000, &transport, err);
    if (rc != RC_OK)
        return rc;
    (void)TAKE_FD(fd);
    return open_remote(opening, transport, &needs, ret_origin, err);
}

/* The image roots, and what a look at those that are folders has found. */
struct places {
    size_t count;
    struct roots_root root[ROOTS_MOST];
    struct probe probe[ROOTS_MOST];
};

static void look_at(struct places *places, const struct settings *settings)
{
    const char *rest = settings->images;
    int64_t patience_ms = settings->fetch_timeout_s * 1000;
    while (places->count < ROOTS_MOST && roots_next(&rest, &places->root[places->count])) {
        const char *place = places->root[places->count].place;
        places->probe[places->count++] = (struct probe){
            .folder_fd = AT_FDCWD, .goes_on = true, .path = roots_is_remote(place) ? NULL : place};
    }
    probe_folders(places->probe, places->count,
                  patience_ms < LONGEST_PROBE_MS ? patience_ms : LONGEST_PROBE_MS);
}

static void places_free(struct places **places)
{
    if (*places != NULL)
        probe_done((*places)->probe, (*places)->count);
    free(*places);
}

static enum rc open_root(struct opening *opening, struct places *places, size_t number,
                         struct origin **ret_origin, struct err *err)
{
    opening->place = places->root[number].place;
    return roots_is_remote(opening->place) ? open_web(opening, ret_origin, err)
                                           : open_folder(opening, &places->probe[number], ret_origin, err);
}

static enum rc open_several(struct opening *opening, struct places *places, struct origin **ret_origin,
                            struct err *err)
{
    OWN(origin_close) struct origin *several = NULL;
    enum rc rc = origin_several_new(opening->settings, &several, err);
    for (size_t i = 0; rc == RC_OK && i < places->count; i++) {
        struct origin *opened = NULL;
        rc = open_root(opening, places, i, &opened, err);
        if (rc == RC_OK)
            origin_several_add(several, &places->root[i], opened);
    }
    if (rc == RC_OK)
        *ret_origin = TAKE_PTR(several);
    return rc;
}

enum rc origin_open(const struct settings *settings, int blocks_fd, struct origin **ret_origin,
                    struct err *err)
{
    OWN(places_free) struct places *places = calloc(1, sizeof *places);
    if (places == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the image roots");
    look_at(places, settings);
    struct opening opening = {
        .settings = settings, .blocks_fd = blocks_fd, .memory_bytes = MEMORY_BYTES / (int64_t)places->count};
    bool is_one = places->count == 1 && places->root[0].name[0] == '\0';
    return is_one ? open_root(&opening, places, 0, ret_origin, err)
                  : open_several(&opening, places, ret_origin, err);
}

static enum rc check_address(const struct settings *settings, const char *name, const char *place,
                             const char **ret_name, struct err *err)
{
    struct web_address address;
    const char *setting = NULL;
    if (!roots_is_remote(place))
        return RC_OK;
    enum rc rc = web_address_of(&address, place, settings, &setting, err);
    bool is_s3 = rc == RC_OK && address.is_s3;
    if (rc == RC_OK)
        web_address_done(&address);
    else
        *ret_name = setting != NULL ? setting : name;
    if (!is_s3 || (settings->s3_access_key[0] == '\0') == (settings->s3_secret_key[0] == '\0'))
        return rc;
    bool has_access = settings->s3_access_key[0] != '\0';
    *ret_name = has_access ? "s3_access_key" : "s3_secret_key";
    return err_set(err, RC_BAD_REQUEST, "there is %s without %s", *ret_name,
                   has_access ? "s3_secret_key" : "s3_access_key");
}

enum rc origin_check_addresses(const struct settings *settings, const char **ret_name, struct err *err)
{
    const char *rest = settings->images;
    struct roots_root root;
    enum rc rc = RC_OK;
    while (rc == RC_OK && roots_next(&rest, &root))
        rc = check_address(settings, "images", root.place, ret_name, err);
    return rc == RC_OK ? check_address(settings, "derivative_tier", settings->derivative_tier, ret_name, err)
                       : rc;
}

void origin_share(struct origin *origin, const struct shm_leaseholder *holder,
                  const _Atomic int64_t *distrusted_ms)
{
    if (origin->ops->share != NULL)
        origin->ops->share(origin, holder, distrusted_ms);
}

enum rc origin_start(struct origin *origin, struct err *err)
{
    return origin->ops->start != NULL ? origin->ops->start(origin, err) : RC_OK;
}

void origin_cancel(struct origin *origin)
{
    if (origin->ops->cancel != NULL)
        origin->ops->cancel(origin);
}

void origin_close(struct origin **origin)
{
    if (*origin != NULL)
        (*origin)->ops->close(*origin);
    *origin = NULL;
}

size_t origin_needs(const struct origin *origin, struct origin_needs ret_needs[ROOTS_MOST])
{
    if (origin->ops->needs != NULL)
        return origin->ops->needs(origin, ret_needs);
    ret_needs[0] = origin->needs;
    return 1;
}

enum rc origin_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                         struct origin_version *ret_version, struct err *err)
{
    return origin->ops->open_blob(origin, path, ret_blob, ret_version, err);
}

enum rc origin_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                         struct err *err)
{
    return origin->ops->stat_file(origin, path, ret_version, err);
}

int origin_answer_fd(const struct origin *origin)
{
    return origin->ops->answer_fd != NULL ? origin->ops->answer_fd(origin) : -1;
}

void origin_await(struct origin *origin, const char *path, struct origin_waiter *waiter)
{
    assert(origin->ops->await != NULL); /* nothing else says RC_AWAY */
    origin->ops->await(origin, path, waiter);
}

enum rc origin_last_word(struct origin *origin, const char *path, struct err *err)
{
    return origin->ops->last_word != NULL ? origin->ops->last_word(origin, path, err) : RC_OK;
}

static void forget_waiter(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    (void)rc;
    (void)err;
    free(waiter);
}

void origin_prefetch(struct origin *origin, const char *path)
{
    struct origin_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL)
        return;
    waiter->ready = forget_waiter;
    origin_await(origin, path, waiter);
}

struct waiting {
    struct origin_waiter waiter; /* first */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool is_ready;
    enum rc rc;
    struct err err;
};

static void end_waiting(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    struct waiting *waiting = (struct waiting *)waiter;
    pthread_mutex_lock(&waiting->mutex);
    waiting->is_ready = true;
    waiting->rc = rc;
    if (rc != RC_OK)
        waiting->err = *err;
    pthread_cond_signal(&waiting->wake);
    pthread_mutex_unlock(&waiting->mutex);
}

enum rc origin_wait(struct origin *origin, const char *path, struct err *err)
{
    struct waiting waiting = {.waiter = {.ready = end_waiting},
                              .mutex = PTHREAD_MUTEX_INITIALIZER,
                              .wake = PTHREAD_COND_INITIALIZER};
    origin_await(origin, path, &waiting.waiter);
    pthread_mutex_lock(&waiting.mutex);
    while (!waiting.is_ready)
        pthread_cond_wait(&waiting.wake, &waiting.mutex);
    pthread_mutex_unlock(&waiting.mutex);
    return waiting.rc == RC_OK ? RC_OK : err_set(err, waiting.rc, "%s", waiting.err.message);
}

enum rc origin_list(struct origin *origin, const char *path, struct arena *arena,
                    struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    if (origin->ops->list == NULL)
        return err_set(err, RC_UNSUPPORTED,
                       "what lies in a folder cannot be asked where these images are; a manifest of a single "
                       "image can be made");
    return origin->ops->list(origin, path, arena, ret_entries, ret_count, err);
}

/* Of an origin that only gives whole lists. */
static enum rc visit_list(struct origin *origin, const char *path,
                          enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                          void *context, struct err *err)
{
    struct origin_entry *entry = NULL;
    size_t count = 0;
    struct arena *arena = arena_new();
    if (arena == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a folder");
    enum rc rc = origin_list(origin, path, arena, &entry, &count, err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        const struct origin_name name = {
            .name = entry[i].name, .is_folder = entry[i].is_folder, .is_link = entry[i].is_link};
        rc = visit(context, &name, err);
    }
    arena_free(arena);
    return rc;
}

enum rc origin_visit(struct origin *origin, const char *path,
                     enum rc (*visit)(void *context, const struct origin_name *name, struct err *err),
                     void *context, struct err *err)
{
    return origin->ops->visit != NULL ? origin->ops->visit(origin, path, visit, context, err)
                                      : visit_list(origin, path, visit, context, err);
}

uint64_t origin_version_hash(const struct origin_version *version)
{
    const uint64_t words[] = {version->size_bytes, version->inode, (uint64_t)version->modified.tv_sec,
                              (uint64_t)version->modified.tv_nsec};
    return bytes_hash(BYTES_HASH_START, words, sizeof words);
}
