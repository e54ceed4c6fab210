/* Looks at the workers once a second: kills those that stand still, leaves those behind that have died and
 * cannot end, replaces those that have grown too large or served enough.
 *
 * What stands still is counted in looks during which it has not moved, not in time of the clock: while the
 * whole server is stopped nobody looks, and a render is not blamed while its worker is stopped. Numbers from
 * shared memory are compared with what they were before and bounded, not believed; the sizes of workers come
 * from /proc. Part of the crew, on the supervisor's one thread; waits for nobody. */
#ifndef MASTER_WATCHDOG_H
#define MASTER_WATCHDOG_H

#include "base/err.h"

#include <stdint.h>

struct master_crew;
struct master_watchdog;

RC_MUST_USE enum rc master_watchdog_new(struct master_watchdog **ret_watchdog, struct err *err);
void master_watchdog_free(struct master_watchdog **watchdog);

/* Does what is due; returns when to call again. */
int64_t master_watchdog_look(struct master_watchdog *watchdog, struct master_crew *crew, int64_t now_ms);

#endif
