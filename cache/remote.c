#include "cache/remote.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/origin_kinds.h"
#include "cache/remote_claims.h"
#include "cache/remote_folders.h"
#include "cache/remote_stale.h"
#include "cache/remote_wanted.h"

#include <assert.h>
#include <string.h>

#define LAST_WORD_MS 5000 /* so long it counts that a file is not there, or may not be had */

static struct remote *remote_of(struct origin *origin)
{
    return (struct remote *)origin;
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
    const struct remote_file *file = remote_known_find(remote, path);
    bool is_newest = file != NULL && file->content == content;
    remote_set_bit(content->wanted, block, true);
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

/* What is known and current of the file, with a reference. */
static enum rc find_current(struct remote *remote, const char *path, struct remote_content **ret_content,
                            int64_t *ret_confirmed_ms, struct err *err)
{
    char name[BLOCK_NAME_BYTES];
    if (!is_plain(path) || !remote_name(remote, path, name))
        return err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&remote->mutex);
    struct remote_file *file = remote_known_find_or_add(remote, path);
    if (file == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory to look for image '%.180s'", path);
    else if (!remote_known_is_current(remote, file))
        rc = err_set(err, RC_AWAY, "image '%.180s' has to be looked for at its origin", path);
    else if (file->content == NULL)
        rc = err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    if (rc == RC_OK) {
        *ret_content = remote_content_ref(file->content);
        *ret_confirmed_ms = remote_known_confirmed_ms(remote, file);
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

static enum rc remote_last_word(struct origin *origin, const char *path, struct err *err)
{
    struct remote *remote = remote_of(origin);
    int64_t oldest_ms = clock_monotonic_ms() - LAST_WORD_MS;
    enum rc rc = RC_OK;
    pthread_mutex_lock(&remote->mutex);
    const struct remote_file *file = remote_known_find(remote, path);
    if (file != NULL && file->content == NULL && file->absent_ms != 0 && file->absent_ms > oldest_ms)
        rc = err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    else if (file != NULL && file->refused_ms != 0 && file->refused_ms > oldest_ms)
        rc = err_set(err, RC_FORBIDDEN, "image '%.180s' may not be read at its origin", path);
    pthread_mutex_unlock(&remote->mutex);
    return rc;
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
    struct remote_file *file = remote->cancelled ? NULL : remote_known_find_or_add(remote, path);
    if (remote->cancelled)
        rc = err_set(&err, RC_CANCELLED, "the server is going down");
    else if (file == NULL)
        rc = err_set(&err, RC_NO_MEMORY, "no memory to look for image '%.180s'", path);
    else if (!remote_known_is_current(remote, file))
        rc = remote_flight_look(file, &flights, &err);
    else if (file->content != NULL)
        rc = remote_wanted_fetch(file, &flights, &err);
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

static enum rc remote_start(struct origin *origin, struct err *err)
{
    struct remote *remote = remote_of(origin);
    block_store_on_deleted(remote->store, remote_known_let_go_of_deleted, remote);
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
    remote_known_forget_down_to(remote, 0);
    assert(remote->files.count == 0); /* all blobs are closed */
    pthread_mutex_unlock(&remote->mutex);
    block_store_close(&remote->store);
    if (remote->origin.needs.root_fd >= 0)
        close(remote->origin.needs.root_fd);
    pthread_mutex_destroy(&remote->mutex);
    free(remote);
}

static int remote_answer_fd(const struct origin *origin)
{
    return ((const struct remote *)origin)->transport->lost_fd;
}

static const struct origin_ops remote_ops = {
    .answer_fd = remote_answer_fd,
    .share = remote_share,
    .start = remote_start,
    .cancel = remote_cancel,
    .close = remote_close,
    .open_blob = remote_open_blob,
    .stat_file = remote_stat_file,
    .last_word = remote_last_word,
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
