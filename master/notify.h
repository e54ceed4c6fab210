/* What the service manager is told: systemd's notification protocol, datagrams of VARIABLE=VALUE lines to
 * $NOTIFY_SOCKET. Without that variable everything here does nothing. Supervisor's thread; a manager that
 * does not listen holds nobody up for more than a moment, and nothing depends on its answer. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct master_notify {
    int socket;          /* connected; -1: nobody wants to know */
    int64_t watchdog_ms; /* how often WATCHDOG=1 is due; 0: never */
    int64_t next_ms;
};

/* `is_taker`: started by another master, whose WATCHDOG_PID does not hold for this one. */
void master_notify_open(struct master_notify *notify, bool is_taker);
void master_notify_close(struct master_notify *notify);

/* One message, as printf() would write it. */
void master_notify_say(const struct master_notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* RELOADING=1 and when; READY=1 ends it. */
void master_notify_reloading(const struct master_notify *notify);
/* The manager shall keep these descriptors and give them to the next process of the service, under this
 * name. False where they could not be sent. */
bool master_notify_keep(const struct master_notify *notify, const char *name, const int *fd, size_t count);
/* Waits, a second at most, until the manager has read everything so far: before this process ends. */
void master_notify_flush(const struct master_notify *notify);

/* Says WATCHDOG=1 when it is due, unless the server is ill; returns when to call again, 0: never. */
int64_t master_notify_due(struct master_notify *notify, bool is_well, int64_t now_ms);

#endif
