/* The workers together: what they say, what becomes of one that dies, and how all of them leave. Which of
 * them gets the next connection is in master/dealing.h, how new ones with other settings come beside them in
 * master/succession.h.
 *
 * Owned by the supervisor and used by its one thread. Nothing here waits: a worker that takes nothing is
 * passed over, a worker that does not leave is killed when its time is up. */
#ifndef MASTER_CREW_H
#define MASTER_CREW_H

#include "master/child.h"
#include "master/connection.h"
#include "master/logs.h"
#include "master/succession.h"
#include "master/watchdog.h"

#include <stdbool.h>
#include <stdint.h>

struct master_crew {
    const struct settings *settings; /* of the generation that serves */
    struct shm_segment *segment;
    struct shm_journal *journal;
    struct shm_derivatives *derivatives;
    struct master_connections *connections;
    const struct master_logs *logs;
    int epoll;
    uint64_t event_data;        /* what epoll says of a channel, with the slot added */
    uint32_t wanted;            /* workers of the generation that serves */
    uint32_t generation;        /* the one that serves */
    uint32_t generations;       /* how many have been begun */
    uint32_t count;             /* places of `child` that have been used */
    struct master_child *child; /* SHM_MAX_WORKERS places */
    struct master_succession next;
    struct master_watchdog *watchdog;
    bool ran_well;            /* some worker has served with these settings */
    unsigned attempts_failed; /* workers in a row that ended before they served */
    bool is_leaving;          /* nobody is replaced any more */
    bool is_held;             /* connections wait: another master's workers still serve them */
    int64_t hold_until_ms;    /* connections wait so long for a replacement; 0: they wait for nobody */
    int64_t give_up_ms;       /* when killed workers are no longer waited for; 0: none has been killed */
};

/* Forks the first workers. settings, segment, journal, connections, epoll, event_data and wanted are set; the
 * rest is zero but is_held. */
RC_MUST_USE enum rc master_crew_start(struct master_crew *crew, struct err *err);
/* Frees the table. Children that are left are not touched. */
void master_crew_done(struct master_crew *crew);

/* Hears what the worker of a slot has said; its channel has an event. */
void master_crew_hear(struct master_crew *crew, uint32_t slot);
/* SIGCHLD: takes in the ends of workers and replaces those that had served. True when `other`, a child that
 * is no worker (0: there is none), has ended too; how is then in *ret_status. */
bool master_crew_reap(struct master_crew *crew, pid_t other, int *ret_status);
/* A worker that has died and cannot end is not waited for: it counts as ended. */
void master_crew_leave_behind(struct master_crew *crew, struct master_child *child, int status);
/* Does what is due: forks, kills, tells, and gives the connections that wait to the least busy workers.
 * Returns when to call again, 0: not before the next event. */
int64_t master_crew_due(struct master_crew *crew, int64_t now_ms);

/* The logs were opened anew: every worker gets them. */
void master_crew_reopen(struct master_crew *crew);
/* Everybody shall finish what was begun, within drain_timeout. */
void master_crew_drain(struct master_crew *crew);
void master_crew_kill(struct master_crew *crew);
/* For a master that gives its connections away: kills every worker, waits until all are gone, or dead at
 * least, and have been heard, and replaces none. False when one is not; then, or when nobody takes the
 * connections, resume goes on with new workers. */
bool master_crew_stop(struct master_crew *crew);
void master_crew_resume(struct master_crew *crew);
/* A worker that serves shall give its connections back one by one as they come between two requests, and
 * leave; after drain_timeout it is killed and the others go on with what it has. It is replaced when it has
 * left, if its generation still serves. */
void master_crew_retire(struct master_crew *crew, struct master_child *child);
/* No process is left and none will come. */
bool master_crew_is_gone(const struct master_crew *crew);
/* Whether some worker serves, or does what it was told, and has shown during the last `lately_ms` that it
 * lives. */
bool master_crew_is_well(const struct master_crew *crew, int64_t lately_ms, int64_t now_ms);
/* How many workers have said READY and live. */
uint32_t master_crew_ready(const struct master_crew *crew);

/* For master/succession.c. ------------------------------------------------------------------------------- */

/* Forks a worker into a free place, with the settings of its generation. False when that failed; the log says
 * why. */
bool master_crew_spawn(struct master_crew *crew, struct master_child *child);
void master_crew_set_state(struct master_crew *crew, struct master_child *child,
                           enum master_child_state state);

#endif
