#include "cache/tier_room.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/tier_sweep.h"
#include "cache/tier_threads.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_NAME   "room/swept"
#define AGAIN_MS    UINT64_C(3600000)
#define GIVEN_UP_MS UINT64_C(600000) /* who began so long ago will not end it */
#define FULL_MS     UINT64_C(10000)  /* between sweeps because the disk is full */

/* ---- the line ---- */

void tier_room_write(const struct tier_room *room, char ret_line[TIER_ROOM_LINE_BYTES])
{
    snprintf(ret_line, TIER_ROOM_LINE_BYTES, "%016" PRIx64 " %016" PRIx64 " %c\n", room->at_ms, room->bytes,
             room->is_swept ? 's' : 'b');
}

bool tier_room_read(const void *line, size_t length, struct tier_room *ret_room)
{
    char copy[TIER_ROOM_LINE_BYTES], again[TIER_ROOM_LINE_BYTES], state = 0;
    struct tier_room room;
    if (length >= sizeof copy)
        return false;
    memcpy(copy, line, length);
    copy[length] = '\0';
    if (sscanf(copy, "%16" SCNx64 " %16" SCNx64 " %c", &room.at_ms, &room.bytes, &state) != 3)
        return false;
    room.is_swept = state == 's';
    tier_room_write(&room, again);
    if (strlen(again) != length || memcmp(again, line, length) != 0)
        return false;
    *ret_room = room;
    return true;
}

bool tier_room_is_due(const struct tier_room *room, const struct tier_room_view *view)
{
    /* A time to come was written by a server whose clock is wrong, or this one's is: it counts as long ago. */
    uint64_t ago_ms = view->now_ms >= room->at_ms ? view->now_ms - room->at_ms : UINT64_MAX;
    uint64_t step_bytes = view->most_bytes / 32;
    if (!room->is_swept)
        return ago_ms >= GIVEN_UP_MS;
    /* What was written before this server began nobody may have counted. */
    if (ago_ms >= AGAIN_MS || room->at_ms < view->since_ms || (view->is_full && ago_ms >= FULL_MS))
        return true;
    uint64_t near_bytes = view->most_bytes - 3 * step_bytes;
    return view->written_bytes > step_bytes &&
           (room->bytes > near_bytes || view->written_bytes > near_bytes - room->bytes);
}

/* ---- looking ---- */

static struct shm_derivatives_counters *counters_of(const struct tier *tier)
{
    return tier->cache->shared->counters;
}

static bool is_ours_to_look(struct tier *tier)
{
    _Atomic int64_t *looked_ms = &counters_of(tier)->tier_looked_ms;
    int64_t now_ms = clock_monotonic_ms(), last_ms = atomic_load_explicit(looked_ms, memory_order_relaxed);
    return (last_ms == 0 || now_ms - last_ms >= tier->poll_ms) &&
           atomic_compare_exchange_strong_explicit(looked_ms, &last_ms, now_ms, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static enum rc read_line(struct tier *tier, struct tier_room *ret_room, struct err *err)
{
    struct shm_derivatives_counters *counters = counters_of(tier);
    OWN(bytes_done) struct bytes line = {0};
    struct tier_room room = {.is_swept = true}; /* long ago */
    enum rc rc = tier->place->ops->read(tier->place, LINE_NAME, TIER_ROOM_LINE_BYTES, &line, err);
    if (rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_TOO_LARGE)
        return rc;
    if (rc == RC_OK && !tier_room_read(line.data, line.length, &room))
        room = (struct tier_room){.is_swept = true};
    /* Somebody else has swept since the last look: what was written before that look is counted there. Of the rest some may be, too; what
     * was written after the sweep is not, and would be nowhere. */
    uint64_t written = atomic_load_explicit(&counters->tier_written_bytes, memory_order_relaxed),
             seen = atomic_load_explicit(&counters->tier_seen_bytes, memory_order_relaxed);
    if (atomic_exchange_explicit(&counters->tier_line_ms, room.at_ms, memory_order_relaxed) != room.at_ms &&
        seen <= written)
        written = atomic_fetch_sub_explicit(&counters->tier_written_bytes, seen, memory_order_relaxed) - seen;
    atomic_store_explicit(&counters->tier_seen_bytes, written, memory_order_relaxed);
    if (room.is_swept)
        atomic_store_explicit(&counters->tier_swept_bytes, room.bytes, memory_order_relaxed);
    *ret_room = room;
    return RC_OK;
}

static enum rc write_line(struct tier *tier, uint64_t bytes, bool is_swept, struct err *err)
{
    const struct tier_room room = {.at_ms = (uint64_t)clock_wall_ms(), .bytes = bytes, .is_swept = is_swept};
    char line[TIER_ROOM_LINE_BYTES];
    tier_room_write(&room, line);
    atomic_store_explicit(&counters_of(tier)->tier_line_ms, room.at_ms, memory_order_relaxed);
    return tier->place->ops->write(tier->place, LINE_NAME, line, strlen(line), err);
}

/* ---- sweeping ---- */

static bool goes_on(void *context)
{
    struct tier *tier = context;
    pthread_mutex_lock(&tier->mutex);
    bool goes = !tier->stopping;
    pthread_mutex_unlock(&tier->mutex);
    return goes;
}

static enum rc sweep(struct tier *tier, bool is_full, struct err *err)
{
    struct shm_derivatives_counters *counters = counters_of(tier);
    const struct tier_sweep order = {.most_bytes = tier->most_bytes - tier->most_bytes / 32 * 3,
                                     .down_to_bytes = tier->most_bytes - tier->most_bytes / 8,
                                     .is_full = is_full,
                                     .goes_on = goes_on,
                                     .context = tier};
    struct tier_swept swept;
    enum rc rc = write_line(tier, 0, false, err);
    if (rc != RC_OK && !is_full) /* on a full disk it cannot be written, and others may sweep, too */
        return rc;
    atomic_store_explicit(&counters->tier_seen_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&counters->tier_written_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&counters->tier_is_full, 0, memory_order_relaxed);
    rc = tier->place->ops->sweep(tier->place, &order, &swept, err);
    if (rc == RC_CANCELLED) /* whoever comes next need not wait */
        (void)tier->place->ops->remove(tier->place, LINE_NAME, NULL);
    if (rc != RC_OK)
        return rc;
    atomic_fetch_add_explicit(&counters->tier_evicted, swept.removed, memory_order_relaxed);
    atomic_store_explicit(&counters->tier_swept_bytes, swept.bytes, memory_order_relaxed);
    return write_line(tier, swept.bytes, true, err);
}

static void look(struct tier *tier)
{
    struct shm_derivatives_counters *counters = counters_of(tier);
    struct tier_room room;
    struct err err;
    uint64_t never = 0; /* has it looked: the first time is now */
    atomic_compare_exchange_strong(&counters->tier_since_ms, &never, (uint64_t)clock_wall_ms());
    enum rc rc = read_line(tier, &room, &err);
    const struct tier_room_view view = {
        .now_ms = (uint64_t)clock_wall_ms(),
        .since_ms = atomic_load_explicit(&counters->tier_since_ms, memory_order_relaxed),
        .most_bytes = tier->most_bytes,
        .written_bytes = atomic_load_explicit(&counters->tier_written_bytes, memory_order_relaxed),
        .is_full = atomic_load_explicit(&counters->tier_is_full, memory_order_relaxed) != 0};
    if (rc == RC_OK && tier_room_is_due(&room, &view))
        rc = sweep(tier, view.is_full, &err);
    if (rc != RC_OK && rc != RC_CANCELLED)
        tier_note(tier, &err);
}

void *tier_room_keep(void *argument)
{
    struct tier *tier = argument;
    pthread_setname_np(pthread_self(), "tier room");
    pthread_mutex_lock(&tier->mutex);
    while (!tier->stopping) {
        clock_wait_until(&tier->stops, &tier->mutex, clock_monotonic_ms() + tier->poll_ms / 2);
        if (tier->stopping)
            break;
        pthread_mutex_unlock(&tier->mutex);
        if (is_ours_to_look(tier))
            look(tier);
        pthread_mutex_lock(&tier->mutex);
    }
    tier_thread_ends(tier);
    pthread_mutex_unlock(&tier->mutex);
    return NULL;
}
