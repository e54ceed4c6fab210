/* What lies in the folders of an origin that is far: lists that were fetched, and who waits for one. For cache/remote.c and remote_stale.c.
 *
 * A list is used for `revalidate` (one second at least) without asking; afterwards it is fetched anew. While the origin fails, or says
 * nothing (cache/remote_stale.h), one that is there is used on, for `stale_if_error`. Bounded in folders and entries, what was not used for longest leaves first. One mutex, never
 * held during I/O; any thread. Private to a process; a crash loses nothing that cannot be asked again. */
#ifndef CACHE_REMOTE_FOLDERS_H
#define CACHE_REMOTE_FOLDERS_H

#include "cache/transport.h"

struct remote_folders;

RC_MUST_USE enum rc remote_folders_new(struct transport *transport, int64_t revalidate_ms, int64_t stale_ms,
                                       struct remote_folders **ret_folders, struct err *err);
/* No listing may be on its way any more. */
void remote_folders_free(struct remote_folders **folders);

/* As origin_list(); RC_AWAY: it has to be waited for. `path` "" is the root. */
RC_MUST_USE enum rc remote_folders_list(struct remote_folders *folders, const char *path, struct arena *arena,
                                        struct origin_entry **ret_entries, size_t *ret_count,
                                        struct err *err);
/* As origin_await(), for a folder. */
void remote_folders_await(struct remote_folders *folders, const char *path, struct origin_waiter *waiter);
/* As remote_stale_let_go(); *ret_due_ms: when it is to be asked again, 0: when somebody has come to wait. */
struct origin_waiter *remote_folders_let_go(struct remote_folders *folders, int64_t now_ms,
                                            int64_t *ret_due_ms);

#endif
