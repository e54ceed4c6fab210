#include "cache/remote.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "cache/origin_kinds.h"
#include "cache/remote_claims.h"
#include "cache/remote_folders.h"
#include "cache/remote_stale.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ABSENT_MS  5000  /* so long it counts that a file was not there, where that is asked */
#define MOST_KNOWN 2048u /* paths; each with its descriptor */

static struct remote *remote_of(struct origin *origin)
{
    return (struct remote *)origin;
}

/* ---- what is known ---- */

static struct remote_file *file_of(struct recent_entry *entry)
{
    return entry == NULL ? NULL : RECENT_THING(entry, struct remote_file, recent);
}

static uint64_t hash_of(const char *path)
{
    return bytes_hash(BYTES_HASH_START, path, strlen(path));
}

/* Under the lock. NULL: it is not known. */
static struct remote_file *find(const struct remote *remote, const char *path)
{
    struct recent_entry *at = recent_first(&remote->files, hash_of(path));
    while (at != NULL && strcmp(file_of(at)->path, path) != 0)
        at = recent_next(at);
    return file_of(at);
}

void remote_content_unref(struct remote_content *content)
{
    if (content == NULL || atomic_fetch_sub_explicit(&content->references, 1, memory_order_acq_rel) > 1)
        return;
    block_file_close(&content->blocks);
    free(content->wanted);
    free(content);
}

struct remote_content *remote_content_ref(struct remote_content *content)
{
    atomic_fetch_add_explicit(&content->references, 1, memory_order_relaxed);
    return content;
}

enum rc remote_content_new(struct remote *remote, struct block_file *blocks,
                           struct remote_content **ret_content, struct err *err)
{
    uint64_t bytes = (block_file_count(blocks) + 7) / 8 + 1;
    struct remote_content *content = calloc(1, sizeof *content);
    uint8_t *bits = calloc(2, bytes);
    if (content == NULL || bits == NULL) {
        free(content);
        free(bits);
        block_file_close(&blocks);
        return err_set(err, RC_NO_MEMORY, "no memory to remember what is fetched");
    }
    content->remote = remote;
    content->blocks = blocks;
    content->wanted = bits;
    content->flying = bits + bytes;
    atomic_init(&content->references, 1);
    *ret_content = content;
    return RC_OK;
}

/* Forgets the files that were not used for longest, down to `most`. Under the lock. */
static void forget_down_to(struct remote *remote, uint32_t most)
{
    struct remote_file *file = file_of(remote->files.oldest), *newer;
    for (; file != NULL && remote->files.count > most; file = newer) {
        newer = file_of(file->recent.newer);
        if (file->flights == NULL && file->waiters == NULL &&
            (file->content == NULL || atomic_load(&file->content->references) == 1)) {
            recent_unlist(&remote->files, &file->recent);
            remote_content_unref(file->content);
            free(file);
        }
    }
}

void remote_make_room(struct remote *remote)
{
    forget_down_to(remote, remote->files.count / 2);
}

/* Under the lock. NULL: no memory. */
static struct remote_file *find_or_add(struct remote *remote, const char *path)
{
    struct remote_file *file = find(remote, path);
    if (file != NULL) {
        recent_use(&remote->files, &file->recent);
        return file;
    }
    size_t path_bytes = strlen(path) + 1;
    file = calloc(1, sizeof *file + path_bytes);
    if (file == NULL)
        return NULL;
    memcpy(file->path, path, path_bytes);
    file->remote = remote;
    if (remote->files.count >= MOST_KNOWN)
        forget_down_to(remote, MOST_KNOWN - 1);
    recent_list(&remote->files, &file->recent, hash_of(path));
    return file;
}

/* How long ago the version was confirmed, by whichever worker. */
int64_t remote_age_ms(struct remote_content *content)
{
    int64_t confirmed_ms = block_file_confirmed_ms(content->blocks), age_ms = clock_wall_ms() - confirmed_ms;
    return confirmed_ms == 0 || age_ms < 0 ? INT64_MAX : age_ms;
}

void remote_complain(struct remote *remote, const char *path, const char *reason)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - remote->complained_ms < 5000 && remote->complained_ms != 0)
        return;
    remote->complained_ms = now_ms;
    log_warning("%s: %s; what is kept is served on", path, reason);
}

/* What another worker, or this one before it was started again, has found out about the file; nothing where it was found to be replaced since, or
 * the origin could call that current again and again. Under the lock. */
static void learn_from_store(struct remote *remote, struct remote_file *file)
{
    char name[BLOCK_NAME_BYTES];
    struct block_file *blocks = NULL;
    struct remote_content *content = NULL;
    if (!remote_name(remote, file->path, name) ||
        block_store_find(remote->store, name, &blocks, NULL) != RC_OK)
        return;
    if (block_file_confirmed_ms(blocks) == 0) {
        block_file_close(&blocks);
        return;
    }
    if (file->content != NULL) {
        const struct block_subject *ours = block_file_subject(file->content->blocks),
                                   *theirs = block_file_subject(blocks);
        bool other = origin_version_hash(&ours->version) != origin_version_hash(&theirs->version) ||
                     strcmp(ours->etag, theirs->etag) != 0;
        if (!other || block_file_confirmed_ms(blocks) <= block_file_confirmed_ms(file->content->blocks)) {
            block_file_close(&blocks);
            return;
        }
    }
    if (remote_content_new(remote, blocks, &content, NULL) != RC_OK)
        return;
    remote_content_unref(file->content);
    file->content = content;
    file->checked_ms = 0;
}

bool remote_is_trusted(const struct remote *remote, int64_t asked_ms)
{
    return remote->distrusted_ms == NULL ||
           asked_ms > atomic_load_explicit(remote->distrusted_ms, memory_order_acquire);
}

/* Whether what is known of the file may be used without asking, or without waiting for the answer. Under the lock. */
static bool is_current(struct remote *remote, struct remote_file *file)
{
    int64_t now_ms = clock_monotonic_ms();
    if ((file->content != NULL || file->absent_ms != 0) && file->checked_ms != 0 &&
        now_ms - file->checked_ms < remote->options.revalidate_ms &&
        remote_is_trusted(remote, file->checked_ms))
        return true;
    learn_from_store(remote, file);
    if (file->content == NULL)
        return remote_stale_is_due(file, now_ms);
    int64_t age_ms = remote_age_ms(file->content);
    if (age_ms >= remote->options.revalidate_ms || !remote_is_trusted(remote, now_ms - age_ms))
        return remote_stale_is_due(file, now_ms);
    file->checked_ms = now_ms - age_ms;
    return true;
}

bool remote_name(const struct remote *remote, const char *path, char ret_name[BLOCK_NAME_BYTES])
{
    int length = snprintf(ret_name, BLOCK_NAME_BYTES, "%s %s", remote->transport->name, path);
    return length > 0 && length < (int)BLOCK_NAME_BYTES;
}

/* ---- blobs ---- */

struct remote_blob {
    struct image_blob blob;
    struct remote_content *content;
};

/* False: the file has been found to be something else since, or was forgotten. */
static bool note_wanted(struct remote_content *content, uint64_t block)
{
    struct remote *remote = content->remote;
    const char *path = block_file_subject(content->blocks)->name + strlen(remote->transport->name) + 1;
    pthread_mutex_lock(&remote->mutex);
    const struct remote_file *file = find(remote, path);
    bool is_newest = file != NULL && file->content == content;
    content->wanted[block / 8] = (uint8_t)(content->wanted[block / 8] | 1u << block % 8);
    content->any_wanted = true;
    pthread_mutex_unlock(&remote->mutex);
    return is_newest;
}

static bool blob_want(struct image_blob *blob, uint64_t offset, uint64_t length)
{
    struct remote_content *content = ((struct remote_blob *)blob)->content;
    bool all_here = true;
    if (length == 0)
        return true;
    for (uint64_t block = offset / BLOCK_BYTES; block <= (offset + length - 1) / BLOCK_BYTES; block++)
        if (!block_file_has(content->blocks, block)) {
            if (!note_wanted(content, block))
                atomic_store_explicit(&blob->is_dead, true, memory_order_relaxed);
            all_here = false;
        }
    return all_here;
}

static enum rc blob_read(struct image_blob *blob, void *data, size_t length, uint64_t offset,
                         enum image_blob_patience patience, struct err *err)
{
    struct remote_content *content = ((struct remote_blob *)blob)->content;
    enum rc rc = block_file_read(content->blocks, data, length, offset, patience, err);
    if (rc == RC_AWAY && !blob_want(blob, offset, length))
        return rc;
    if (rc == RC_AWAY) /* it has come meanwhile */
        rc = block_file_read(content->blocks, data, length, offset, patience, err);
    return rc;
}

static void blob_close(struct image_blob *blob)
{
    remote_content_unref(((struct remote_blob *)blob)->content);
    free(blob);
}

static const struct image_blob_ops blob_ops = {.read = blob_read, .want = blob_want, .close = blob_close};

/* ---- the origin's calls ---- */

/* Paths are parts of keys and URLs: nothing in them may lead up, or mean nothing. */
static bool is_plain(const char *path)
{
    for (const char *part = path;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f)
                return false;
        part += length;
        if (*part == '\0')
            return true;
    }
}

/* Under the lock. When the origin has confirmed what is used; 0, which is as good as now, where it is used because the origin is away. */
static int64_t when_confirmed(const struct remote *remote, const struct remote_file *file)
{
    bool is_young = clock_monotonic_ms() - file->checked_ms < remote->options.revalidate_ms;
    return is_young ? file->checked_ms : 0;
}

/* What is known and current of the file, with a reference. */
static enum rc find_current(struct remote *remote, const char *path, struct remote_content **ret_content,
                            int64_t *ret_confirmed_ms, struct err *err)
{
    char name[BLOCK_NAME_BYTES];
    if (!is_plain(path) || !remote_name(remote, path, name))
        return err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&remote->mutex);
    struct remote_file *file = find_or_add(remote, path);
    if (file == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory to look for image '%.180s'", path);
    else if (!is_current(remote, file))
        rc = err_set(err, RC_AWAY, "image '%.180s' has to be looked for at its origin", path);
    else if (file->content == NULL)
        rc = err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    if (rc == RC_OK) {
        *ret_content = remote_content_ref(file->content);
        *ret_confirmed_ms = when_confirmed(remote, file);
    }
    pthread_mutex_unlock(&remote->mutex);
    return rc;
}

static enum rc remote_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                struct origin_version *ret_version, struct err *err)
{
    struct remote_content *content = NULL;
    int64_t confirmed_ms;
    enum rc rc = find_current(remote_of(origin), path, &content, &confirmed_ms, err);
    if (rc != RC_OK)
        return rc;
    struct remote_blob *blob = calloc(1, sizeof *blob);
    if (blob == NULL) {
        remote_content_unref(content);
        return err_set(err, RC_NO_MEMORY, "no memory to open image '%.180s'", path);
    }
    const struct origin_version *version = &block_file_subject(content->blocks)->version;
    blob->blob = (struct image_blob){.ops = &blob_ops, .size_bytes = version->size_bytes};
    blob->content = content;
    *ret_version = *version;
    ret_version->confirmed_ms = confirmed_ms;
    *ret_blob = &blob->blob;
    return RC_OK;
}

static enum rc remote_stat_file(struct origin *origin, const char *path, struct origin_version *ret_version,
                                struct err *err)
{
    struct remote_content *content = NULL;
    int64_t confirmed_ms;
    enum rc rc = find_current(remote_of(origin), path, &content, &confirmed_ms, err);
    if (rc != RC_OK)
        return rc;
    *ret_version = block_file_subject(content->blocks)->version;
    ret_version->confirmed_ms = confirmed_ms;
    remote_content_unref(content);
    return RC_OK;
}

/* "a/b" and "" are folders that are plain. */
static enum rc remote_list(struct origin *origin, const char *path, struct arena *arena,
                           struct origin_entry **ret_entries, size_t *ret_count, struct err *err)
{
    const struct remote *remote = remote_of(origin);
    if (remote->folders == NULL)
        return err_set(err, RC_UNSUPPORTED, "%s cannot be asked what lies in a folder",
                       remote->transport->name);
    if (path[0] != '\0' && !is_plain(path))
        return err_set(err, RC_NOT_FOUND, "there is no folder '%.180s'", path);
    return remote_folders_list(remote->folders, path, arena, ret_entries, ret_count, err);
}

static bool remote_was_absent(struct origin *origin, const char *path)
{
    struct remote *remote = remote_of(origin);
    pthread_mutex_lock(&remote->mutex);
    const struct remote_file *file = find(remote, path);
    bool is_absent = file != NULL && file->content == NULL && file->absent_ms != 0 &&
                     clock_monotonic_ms() - file->absent_ms < ABSENT_MS;
    pthread_mutex_unlock(&remote->mutex);
    return is_absent;
}

static void await_folder(struct remote *remote, const char *path, struct origin_waiter *waiter)
{
    struct err err;
    size_t length = strlen(path) - 1; /* without the slash */
    OWN_FREE char *folder = strndup(path, length);
    if (folder == NULL)
        waiter->ready(waiter, err_set(&err, RC_NO_MEMORY, "no memory to look into '%.180s'", path), &err);
    else
        remote_folders_await(remote->folders, folder, waiter);
    if (remote->served)
        shm_lease_ring(&remote->holder); /* when it is to be let go may have changed */
}

static void remote_await(struct origin *origin, const char *path, struct origin_waiter *waiter)
{
    struct remote *remote = remote_of(origin);
    size_t length = strlen(path);
    if (length > 0 && path[length - 1] == '/' && remote->folders != NULL) {
        await_folder(remote, path, waiter);
        return;
    }
    struct remote_flight *flights = NULL;
    struct err err;
    enum rc rc = RC_OK;
    bool waits = false;
    pthread_mutex_lock(&remote->mutex);
    struct remote_file *file = remote->cancelled ? NULL : find_or_add(remote, path);
    if (remote->cancelled)
        rc = err_set(&err, RC_CANCELLED, "the server is going down");
    else if (file == NULL)
        rc = err_set(&err, RC_NO_MEMORY, "no memory to look for image '%.180s'", path);
    else if (!is_current(remote, file))
        rc = remote_flight_look(file, &flights, &err);
    else if (file->content != NULL)
        rc = remote_flight_fetch(file, &flights, &err);
    if (rc == RC_OK && file->flights != NULL && !remote_stale_is_due(file, clock_monotonic_ms())) {
        waits = true;
        waiter->until = file->next_number;
        waiter->next = file->waiters;
        file->waiters = waiter;
    }
    pthread_mutex_unlock(&remote->mutex);
    while (flights != NULL) {
        struct remote_flight *flight = flights;
        flights = flight->start_next;
        remote->transport->ops->submit(remote->transport, &flight->fetch);
    }
    if (!waits)
        waiter->ready(waiter, rc, rc != RC_OK ? &err : NULL);
}

static void remote_share(struct origin *origin, const struct shm_leaseholder *holder,
                         const _Atomic int64_t *distrusted_ms)
{
    struct remote *remote = remote_of(origin);
    remote->distrusted_ms = distrusted_ms;
    remote->served = true;
    remote->shares = block_store_is_shared(remote->store);
    remote->holder = *holder;
}

/* Files that were deleted, by any worker, and that nobody here reads: to be looked up anew. On the store's thread. */
static void let_go_of_deleted(void *context)
{
    struct remote *remote = context;
    pthread_mutex_lock(&remote->mutex);
    for (struct recent_entry *at = remote->files.oldest; at != NULL; at = at->newer) {
        struct remote_file *file = file_of(at);
        if (file->content == NULL || atomic_load(&file->content->references) > 1 ||
            !block_file_is_deleted(file->content->blocks))
            continue;
        remote_content_unref(file->content);
        file->content = NULL;
        file->checked_ms = 0;
    }
    pthread_mutex_unlock(&remote->mutex);
}

static enum rc remote_start(struct origin *origin, struct err *err)
{
    struct remote *remote = remote_of(origin);
    block_store_on_deleted(remote->store, let_go_of_deleted, remote);
    enum rc rc = block_store_start(remote->store, err);
    if (rc == RC_OK && remote->transport->ops->start != NULL)
        rc = remote->transport->ops->start(remote->transport, err);
    return rc == RC_OK ? remote_watch_start(remote, err) : rc;
}

static void remote_cancel(struct origin *origin)
{
    struct remote *remote = remote_of(origin);
    pthread_mutex_lock(&remote->mutex);
    remote->cancelled = true;
    pthread_mutex_unlock(&remote->mutex);
    remote->transport->ops->cancel(remote->transport);
    if (remote->served)
        shm_lease_ring(&remote->holder);
}

static void remote_close(struct origin *origin)
{
    struct remote *remote = remote_of(origin);
    remote_cancel(origin);
    remote_watch_stop(remote);
    remote->transport->ops->close(remote->transport); /* no flight is left */
    remote_folders_free(&remote->folders);
    pthread_mutex_lock(&remote->mutex);
    forget_down_to(remote, 0);
    assert(remote->files.count == 0); /* all blobs are closed */
    pthread_mutex_unlock(&remote->mutex);
    block_store_close(&remote->store);
    if (remote->origin.needs.root_fd >= 0)
        close(remote->origin.needs.root_fd);
    pthread_mutex_destroy(&remote->mutex);
    free(remote);
}

static const struct origin_ops remote_ops = {
    .share = remote_share,
    .start = remote_start,
    .cancel = remote_cancel,
    .close = remote_close,
    .open_blob = remote_open_blob,
    .stat_file = remote_stat_file,
    .was_absent = remote_was_absent,
    .list = remote_list,
    .await = remote_await,
};

enum rc remote_open(const struct remote_options *options, struct transport *transport,
                    struct block_store *store, const struct origin_needs *needs, struct origin **ret_origin,
                    struct err *err)
{
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL) {
        transport->ops->close(transport);
        block_store_close(&store);
        if (needs->root_fd >= 0)
            close(needs->root_fd);
        return err_set(err, RC_NO_MEMORY, "no memory for the origin");
    }
    remote->origin = (struct origin){.ops = &remote_ops, .needs = *needs};
    remote->options = *options;
    /* What was just asked has to count for those who waited for the answer. */
    if (remote->options.revalidate_ms < 1000)
        remote->options.revalidate_ms = 1000;
    remote->transport = transport;
    remote->store = store;
    remote->files = (struct recent){.bucket = remote->bucket, .bucket_count = REMOTE_BUCKETS};
    pthread_mutex_init(&remote->mutex, NULL);
    if (transport->ops->list != NULL) {
        enum rc rc = remote_folders_new(transport, remote->options.revalidate_ms,
                                        remote->options.stale_if_error_ms, &remote->folders, err);
        if (rc != RC_OK) {
            remote_close(&remote->origin);
            return rc;
        }
    }
    *ret_origin = &remote->origin;
    return RC_OK;
}
