#include "master/dealing.h"

#include "base/clock.h"
#include "master/crew.h"

#include <string.h>

#define RETRY_MS 10 /* while channels are full */
#define HOLD_MS  50

/* Connections it holds and renders that wait in it. The second number comes from shared memory, where a
 * broken worker can write anything: it is bounded, and the worst it can do is to attract or repel
 * connections. */
static uint64_t load(const struct master_crew *crew, const struct master_child *child)
{
    uint64_t queued = atomic_load_explicit(&crew->segment->slot[child->slot].queued, memory_order_relaxed);
    uint64_t most = (uint64_t)crew->settings->queue_length + SHM_MAX_WORKERS;
    return master_connection_count(crew->connections, child->slot) + (queued < most ? queued : most);
}

/* The least busy of those that take connections, NULL when there is none. While the server leaves, workers
 * that drain still get what had been accepted before, and who asks on the admin listener. */
static struct master_child *choose(struct master_crew *crew)
{
    struct master_child *best = NULL;
    uint64_t least = 0;
    for (uint32_t i = 0; i < crew->count; i++) {
        struct master_child *child = &crew->child[i];
        bool serves = child->state == CHILD_SERVING || (crew->is_leaving && child->state == CHILD_DRAINING);
        if (!serves || child->is_full)
            continue;
        uint64_t busy = load(crew, child);
        if (best == NULL || busy < least) {
            best = child;
            least = busy;
        }
    }
    return best;
}

void master_dealing_hand_out(struct master_crew *crew)
{
    struct master_connection *connection;
    struct master_child *child;
    while (!crew->is_held &&
           (connection = master_connection_first(crew->connections, MASTER_CONNECTION_WAITING)) != NULL &&
           (child = choose(crew)) != NULL) {
        struct worker_message message;
        memset(&message, 0, sizeof message);
        message.kind = WORKER_ADOPT;
        message.admin = connection->is_admin;
        message.connection_id = master_connection_id(connection);
        message.peer = connection->peer;
        struct err err = {0};
        enum rc rc = master_child_send(child, &message, connection->fd, &err);
        if (rc == RC_OK)
            master_connection_move(crew->connections, connection, child->slot);
        else if (rc != RC_BUSY)
            child->is_full = true; /* its end of the channel is gone; the event that says so is on its way */
    }
}

void master_dealing_recover(struct master_crew *crew, uint32_t slot)
{
    struct master_connection *connection;
    uint32_t count = master_connection_count(crew->connections, slot);
    while ((connection = master_connection_first(crew->connections, slot)) != NULL)
        master_connection_move(crew->connections, connection, MASTER_CONNECTION_WAITING);
    atomic_fetch_add_explicit(&crew->segment->counters.connections_recovered, count, memory_order_relaxed);
}

void master_dealing_hold(struct master_crew *crew)
{
    crew->hold_until_ms = clock_monotonic_ms() + HOLD_MS;
}

int64_t master_dealing_due(struct master_crew *crew, int64_t now_ms)
{
    int64_t next_ms = 0;
    if (crew->hold_until_ms > now_ms) {
        next_ms = crew->hold_until_ms;
    } else {
        crew->hold_until_ms = 0;
        master_dealing_hand_out(crew);
    }
    /* Workers that took no more are asked again soon. Where there is no worker at all, its READY will be the
     * event. */
    if (master_connection_first(crew->connections, MASTER_CONNECTION_WAITING) != NULL)
        for (uint32_t i = 0; i < crew->count; i++)
            next_ms = clock_earlier_ms(next_ms, crew->child[i].is_full ? now_ms + RETRY_MS : 0);
    return next_ms;
}
