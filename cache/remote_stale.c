#include "cache/remote_stale.h"

#include "base/clock.h"

#define PATIENCE_MS 1000

bool remote_stale_is_weather(enum rc rc)
{
    return rc == RC_ORIGIN || rc == RC_LATE || rc == RC_BUSY || rc == RC_IO;
}

bool remote_stale_is_kept(const struct remote_file *file)
{
    return file->content != NULL && remote_age_ms(file->content) < file->remote->options.stale_if_error_ms;
}

bool remote_stale_is_due(const struct remote_file *file, int64_t now_ms)
{
    return file->looking && (file->remote->silent || now_ms - file->looked_ms >= PATIENCE_MS) &&
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
        remote->stale_due_ms = file->looked_ms + PATIENCE_MS;
        shm_lease_ring(&remote->holder);
    }
}

void remote_stale_hear(struct remote *remote, enum rc rc)
{
    if (!remote_stale_is_weather(rc) && rc != RC_CANCELLED)
        remote->silent = false;
}

struct origin_waiter *remote_stale_let_go(struct remote *remote, int64_t now_ms, int64_t *ret_wait_ms)
{
    struct origin_waiter *taken = NULL;
    if (remote->stale_due_ms == 0 || now_ms < remote->stale_due_ms) {
        *ret_wait_ms = remote->stale_due_ms == 0 ? INT64_MAX : remote->stale_due_ms - now_ms;
        return NULL;
    }
    remote->stale_due_ms = 0;
    for (struct recent_entry *at = remote->files.newest; at != NULL; at = at->older) {
        struct remote_file *file = RECENT_THING(at, struct remote_file, recent);
        if (!file->looking || file->waiters == NULL || !remote_stale_is_kept(file))
            continue;
        int64_t due_ms = file->looked_ms + PATIENCE_MS;
        if (due_ms > now_ms && !remote->silent) {
            if (remote->stale_due_ms == 0 || due_ms < remote->stale_due_ms)
                remote->stale_due_ms = due_ms;
            continue;
        }
        if (!remote->silent)
            remote_complain(remote, file->path, "the origin has not answered for a second");
        remote->silent = true;
        /* Who waits for parts as well starts over and joins them again. */
        struct origin_waiter **end = &file->waiters;
        while (*end != NULL)
            end = &(*end)->next;
        *end = taken;
        taken = file->waiters;
        file->waiters = NULL;
    }
    *ret_wait_ms = remote->stale_due_ms == 0 ? INT64_MAX : remote->stale_due_ms - now_ms;
    return taken;
}
