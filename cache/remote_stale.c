#include "cache/remote_stale.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "cache/remote_folders.h"

#define SAY_AGAIN_MS 5000

bool remote_stale_is_weather(enum rc rc)
{
    return rc == RC_ORIGIN || rc == RC_LATE || rc == RC_BUSY || rc == RC_IO;
}

bool remote_stale_is_kept(const struct remote_file *file)
{
    int64_t stale_ms = file->remote->options.stale_if_error_ms;
    if (file->content != NULL)
        return remote_known_age_ms(file->content) < stale_ms;
    return file->absent_ms != 0 && clock_monotonic_ms() - file->absent_ms < stale_ms;
}

bool remote_stale_is_due(const struct remote_file *file, int64_t now_ms)
{
    return file->looking && (file->remote->silent || now_ms - file->looked_ms >= REMOTE_STALE_PATIENCE_MS) &&
           remote_stale_is_kept(file);
}

void remote_stale_expect(struct remote_file *file)
{
    struct remote *remote = file->remote;
    file->looked_ms = clock_monotonic_ms();
    if (!remote->watches || !remote_stale_is_kept(file))
        return;
    if (remote->stale_due_ms ==
        0) { /* else the thread asks when the oldest is due, and learns of this one then */
        remote->stale_due_ms = file->looked_ms + REMOTE_STALE_PATIENCE_MS;
        shm_lease_ring(&remote->holder);
    }
}

void remote_stale_hear(struct remote *remote, enum rc rc)
{
    if (!remote_stale_is_weather(rc) && rc != RC_CANCELLED)
        remote->silent = false;
}

void remote_stale_take(struct origin_waiter **waiters, struct origin_waiter **taken)
{
    struct origin_waiter **end = waiters;
    while (*end != NULL)
        end = &(*end)->next;
    *end = *taken;
    *taken = TAKE_PTR(*waiters);
}

/* As remote_folders_let_go(). */
static struct origin_waiter *let_go_of_looks(struct remote *remote, int64_t now_ms, int64_t *ret_due_ms)
{
    struct origin_waiter *taken = NULL;
    bool is_time = remote->stale_due_ms != 0 && remote->stale_due_ms <= now_ms;
    remote->stale_due_ms = is_time ? 0 : remote->stale_due_ms;
    for (struct recent_entry *at = is_time ? remote->files.newest : NULL; at != NULL; at = at->older) {
        struct remote_file *file = RECENT_THING(at, struct remote_file, recent);
        if (!file->looking || file->waiters == NULL || !remote_stale_is_kept(file))
            continue;
        if (remote_stale_is_due(file, now_ms)) {
            if (!remote->silent)
                remote_stale_complain(remote, file->path, "the origin has not answered for a second");
            remote->silent = true;
            remote_stale_take(&file->waiters, &taken); /* who waits for parts as well joins them again */
        } else if (remote->stale_due_ms == 0 ||
                   file->looked_ms + REMOTE_STALE_PATIENCE_MS < remote->stale_due_ms) {
            remote->stale_due_ms = file->looked_ms + REMOTE_STALE_PATIENCE_MS;
        }
    }
    *ret_due_ms = remote->stale_due_ms;
    return taken;
}

struct origin_waiter *remote_stale_let_go(struct remote *remote, int64_t now_ms, int64_t *ret_wait_ms)
{
    int64_t due_ms, folders_due_ms = 0;
    struct origin_waiter *taken = let_go_of_looks(remote, now_ms, &due_ms), *others;
    others = remote->folders != NULL ? remote_folders_let_go(remote->folders, now_ms, &folders_due_ms) : NULL;
    remote_stale_take(&others, &taken);
    if (due_ms == 0 || (folders_due_ms != 0 && folders_due_ms < due_ms))
        due_ms = folders_due_ms;
    *ret_wait_ms = due_ms == 0 ? INT64_MAX : due_ms > now_ms ? due_ms - now_ms : 0;
    return taken;
}

void remote_stale_complain(struct remote *remote, const char *path, const char *reason)
{
    if (log_may_say(&remote->complained, SAY_AGAIN_MS))
        log_warning("%s: %s; what is kept is served on", path, reason);
}
