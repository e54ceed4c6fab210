/* What the supervisor consists of, for its two files: supervise.c (the loop, signals, leaving) and
 * supervise_change.c (other settings, another program). */
#ifndef MASTER_SUPERVISOR_H
#define MASTER_SUPERVISOR_H

#include "master/accept.h"
#include "master/admin_socket.h"
#include "master/crew.h"
#include "master/logs.h"
#include "master/notify.h"
#include "master/supervise.h"
#include "master/upgrade.h"

enum event_kind {
    EVENT_SIGNAL,
    EVENT_PUBLIC,
    EVENT_ADMIN,
    EVENT_LOCAL,
    EVENT_CHANNEL,
    EVENT_UPGRADE,
    EVENT_TAKEOVER
};

struct supervisor {
    const struct master_launch *launch;
    struct master_config *config, *next_config; /* by which the crew serves; which it is to serve by */
    bool is_told_to_reload, is_told_to_upgrade;
    struct master_upgrade upgrade;    /* to another program; pid 0: none is under way */
    struct master_takeover *takeover; /* from another program */
    bool is_handed_over, has_failed;
    struct master_notify notify;
    struct master_logs logs;
    bool was_ready;
    struct shm_segment *segment;
    struct shm_journal *journal;
    struct shm_derivatives *derivatives;
    struct master_connections *connections;
    struct master_acceptor public, admin, local;
    struct master_admin_socket admin_socket;
    struct master_crew crew;
    int epoll, signals;
};

/* What epoll says of an event. */
static inline uint64_t supervise_event_data(enum event_kind kind)
{
    return (uint64_t)kind << 32;
}

/* False when `fd`, which may be -1, cannot be waited for. */
bool supervise_watch(struct supervisor *s, int fd, uint64_t data);
/* Opens the admin socket; `replaces`: another master, which is about to leave or has left, may have it. */
RC_MUST_USE enum rc supervise_open_socket(struct supervisor *s, bool replaces, struct err *err);
/* Every worker is killed; the loop ends when they are gone. */
void supervise_leave_now(struct supervisor *s, const char *why);

/* Begins and ends what HUP, USR2 and the takeover from another master have led to. Returns when to call
 * again, 0: not before the next event. */
int64_t supervise_change_due(struct supervisor *s, int64_t now_ms);
/* The channel to the program that is to take over, or to the master that is to leave, has an event. */
void supervise_hear_upgrade(struct supervisor *s);
void supervise_hear_takeover(struct supervisor *s);
/* The program that was to take over has ended. */
void supervise_upgrade_ended(struct supervisor *s, int status);
/* Ends an upgrade that is under way, and leaves everything as it was before. */
void supervise_forget_upgrade(struct supervisor *s);

#endif
