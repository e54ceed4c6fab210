/* The workers together: who gets the next connection, what becomes of one that dies, and how all of them
 * leave.
 *
 * Owned by the supervisor and used by its one thread. Nothing here waits: a worker that takes nothing is
 * passed over, a worker that does not leave is killed when its time is up. */
#ifndef MASTER_CREW_H
#define MASTER_CREW_H

#include "master/child.h"
#include "master/connection.h"

#include <stdbool.h>
#include <stdint.h>

struct master_crew {
    const struct settings *settings;
    struct shm_segment *segment;
    struct shm_journal *journal;
    struct master_connections *connections;
    int epoll;
    uint64_t event_data; /* what epoll says of a channel, with the slot added */
    uint32_t count;
    struct master_child *child;
    bool ran_well;            /* some worker has served with these settings */
    unsigned attempts_failed; /* workers in a row that ended before they served */
    bool is_leaving;          /* nobody is replaced any more */
    int64_t hold_until_ms;    /* connections wait so long for a replacement; 0: they wait for nobody */
    int64_t give_up_ms;       /* when killed workers are no longer waited for; 0: none has been killed */
};

/* Forks the first workers. settings, segment, journal, connections, epoll, event_data and count are set; the rest is
 * zero. */
RC_MUST_USE enum rc master_crew_start(struct master_crew *crew, struct err *err);
/* Frees the table. Children that are left are not touched. */
void master_crew_done(struct master_crew *crew);

/* Hears what the worker of a slot has said; its channel has an event. */
void master_crew_hear(struct master_crew *crew, uint32_t slot);
/* SIGCHLD: takes in the ends of workers and replaces those that had served. */
void master_crew_reap(struct master_crew *crew);
/* Does what is due: forks, kills, tells, and gives the connections that wait to the least busy workers.
 * Returns when to call again, 0: not before the next event. */
int64_t master_crew_due(struct master_crew *crew, int64_t now_ms);

/* Everybody shall finish what was begun, within drain_timeout. */
void master_crew_drain(struct master_crew *crew);
void master_crew_kill(struct master_crew *crew);
/* No process is left and none will come. */
bool master_crew_is_gone(const struct master_crew *crew);

#endif
