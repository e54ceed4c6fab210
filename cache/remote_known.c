#include "cache/remote_known.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/remote_stale.h"

#include <stdio.h>
#include <string.h>

#define MOST_KNOWN 2048u /* paths; each with its descriptor */

bool remote_name(const struct remote *remote, const char *path, char ret_name[BLOCK_NAME_BYTES])
{
    int length = snprintf(ret_name, BLOCK_NAME_BYTES, "%s %s", remote->transport->name, path);
    return length > 0 && length < (int)BLOCK_NAME_BYTES;
}

/* ---- versions ---- */

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

/* ---- paths ---- */

static struct remote_file *file_of(struct recent_entry *entry)
{
    return entry == NULL ? NULL : RECENT_THING(entry, struct remote_file, recent);
}

static uint64_t hash_of(const char *path)
{
    return bytes_hash(BYTES_HASH_START, path, strlen(path));
}

struct remote_file *remote_known_find(const struct remote *remote, const char *path)
{
    struct recent_entry *at = recent_first(&remote->files, hash_of(path));
    while (at != NULL && strcmp(file_of(at)->path, path) != 0)
        at = recent_next(at);
    return file_of(at);
}

void remote_known_forget_down_to(struct remote *remote, uint32_t most)
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

void remote_known_make_room(struct remote *remote)
{
    remote_known_forget_down_to(remote, remote->files.count / 2);
}

struct remote_file *remote_known_find_or_add(struct remote *remote, const char *path)
{
    struct remote_file *file = remote_known_find(remote, path);
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
        remote_known_forget_down_to(remote, MOST_KNOWN - 1);
    recent_list(&remote->files, &file->recent, hash_of(path));
    return file;
}

/* ---- whether it still holds ---- */

int64_t remote_known_age_ms(struct remote_content *content)
{
    int64_t confirmed_ms = block_file_confirmed_ms(content->blocks), age_ms = clock_wall_ms() - confirmed_ms;
    return confirmed_ms == 0 || age_ms < 0 ? INT64_MAX : age_ms;
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

bool remote_known_is_trusted(const struct remote *remote, int64_t asked_ms)
{
    return remote->distrusted_ms == NULL ||
           asked_ms > atomic_load_explicit(remote->distrusted_ms, memory_order_acquire);
}

bool remote_known_is_current(struct remote *remote, struct remote_file *file)
{
    int64_t now_ms = clock_monotonic_ms();
    if ((file->content != NULL || file->absent_ms != 0) && file->checked_ms != 0 &&
        now_ms - file->checked_ms < remote->options.revalidate_ms &&
        remote_known_is_trusted(remote, file->checked_ms))
        return true;
    learn_from_store(remote, file);
    if (file->content == NULL)
        return remote_stale_is_due(file, now_ms);
    int64_t age_ms = remote_known_age_ms(file->content);
    if (age_ms >= remote->options.revalidate_ms || !remote_known_is_trusted(remote, now_ms - age_ms))
        return remote_stale_is_due(file, now_ms);
    file->checked_ms = now_ms - age_ms;
    return true;
}

int64_t remote_known_confirmed_ms(const struct remote *remote, const struct remote_file *file)
{
    bool is_young = clock_monotonic_ms() - file->checked_ms < remote->options.revalidate_ms;
    return is_young ? file->checked_ms : 0;
}

void remote_known_let_go_of_deleted(void *context)
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
