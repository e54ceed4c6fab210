/* What is kept while the origin is slow to say whether it still holds.
 *
 * A look at a file of which something is kept, or known not to be there, confirmed less than `stale_if_error` ago, is not waited for longer than a second: who waits
 * starts over and uses what is kept, the look goes on behind them, and whoever comes before it has ended does not wait at all. An origin that
 * has let one of them wait so long is silent until it says something; meanwhile looks at its other files are not waited for either.
 * So an outage costs some visitors a second, not each of them a time-out.
 *
 * For remote.c, remote_flight.c and the thread of remote_claims.c; all under the remote's mutex. */
#ifndef CACHE_REMOTE_STALE_H
#define CACHE_REMOTE_STALE_H

#include "cache/remote_flight.h"

#define REMOTE_STALE_PATIENCE_MS 1000

/* What passes: the origin is away, or ill. */
bool remote_stale_is_weather(enum rc rc);

/* Something is kept, or known to be absent, that may be served while the origin does not answer. */
bool remote_stale_is_kept(const struct remote_file *file);
/* ... and the look that is on its way has been waited for long enough. */
bool remote_stale_is_due(const struct remote_file *file, int64_t now_ms);

/* Puts all of *waiters before *taken. */
void remote_stale_take(struct origin_waiter **waiters, struct origin_waiter **taken);

/* A look has set out: its waiters are let go in time. */
void remote_stale_expect(struct remote_file *file);
/* The origin has said something, or has failed to (`rc`). */
void remote_stale_hear(struct remote *remote, enum rc rc);
/* The log hears that the origin does not answer, for this reason: once in five seconds. */
void remote_stale_complain(struct remote *remote, const char *path, const char *reason);
/* Takes out the waiters for looks and folders that have waited long enough, to be told RC_OK without the mutex; *ret_wait_ms: until it is to be asked again, or
 * INT64_MAX. */
struct origin_waiter *remote_stale_let_go(struct remote *remote, int64_t now_ms, int64_t *ret_wait_ms);

#endif
