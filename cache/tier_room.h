/* When the lower tier is swept (cache/tier_sweep.h), and by which server: so that there is room in it.
 *
 * A thread of each worker, of which one per server looks every few seconds into "room/swept" in the tier, a line that says when a server
 * last began or ended a sweep, and what was there then. There is a sweep where that was an hour ago, or before this server began, or where it has
 * written a thirty-second of the bound since and as much is free below it; each brings the tier down to seven eighths. Who begins one
 * says so, and the others wait for it, ten minutes at most: it may have died. Two at once do no harm.
 *
 * `derivative_tier_size` may differ between servers: the least counts. A tier in a bucket has no such thread: the store's rules bound it. */
#ifndef CACHE_TIER_ROOM_H
#define CACHE_TIER_ROOM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIER_ROOM_LINE_BYTES 48u

/* What the line says. */
struct tier_room {
    uint64_t at_ms; /* since 1970 */
    uint64_t bytes;
    bool is_swept; /* false: it is being swept, or was when somebody died */
};

void tier_room_write(const struct tier_room *room, char ret_line[TIER_ROOM_LINE_BYTES]);
/* False: that is no such line. */
bool tier_room_read(const void *line, size_t length, struct tier_room *ret_room);

/* What one server knows besides. */
struct tier_room_view {
    uint64_t now_ms, since_ms; /* since: it runs */
    uint64_t most_bytes;
    uint64_t written_bytes; /* by it, since what the line says */
    bool is_full;           /* it found the disk full */
};
bool tier_room_is_due(const struct tier_room *room, const struct tier_room_view *view);

/* The thread, of a `struct tier` (cache/tier_threads.h). */
void *tier_room_keep(void *tier);

#endif
