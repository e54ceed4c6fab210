/* What a worker inherits from the master through fork(), and the messages the two exchange afterwards.
 *
 * The channel is a SOCK_SEQPACKET pair per worker; its end is how each learns of the other's death. Neither
 * waits for the other: a full channel counts as a busy worker to the master, and a worker keeps what it could
 * not say until later.
 *
 * A connection is one socket with two descriptors, the worker's and the master's duplicate. Closing the
 * worker's alone would tell the client nothing: the worker ends a connection with shutdown(), closes, and
 * says WORKER_CLOSED. When the worker dies the master still has the socket, whole.
 *
 * Where connections are short the master's waking up is what they cost it: ends are told together, those of
 * about two milliseconds in one message. */
#ifndef WORKER_HERITAGE_H
#define WORKER_HERITAGE_H

#include "base/settings.h"
#include "shm/derivatives.h"
#include "shm/journal.h"
#include "shm/segment.h"

#include <stdint.h>
#include <sys/socket.h>

struct worker_heritage {
    const struct settings *settings;
    struct shm_segment *segment;
    struct shm_journal *journal;
    struct shm_derivatives *derivatives; /* NULL: none are cached */
    uint32_t slot;       /* this worker's index in the segment's slots, and its name in the log */
    int channel;         /* to the master */
    int access_log;      /* -1: none, or standard error */
    int syslog;          /* of the error log; -1: none */
    const char *version; /* of the program */
};

enum worker_message_kind {
    WORKER_ADOPT = 1, /* master → worker, with a descriptor: serve this connection */
    WORKER_DRAIN,     /* master → worker: finish what was begun, then leave with status 0 */
    WORKER_RETIRE, /* master → worker: give every connection back between two requests, then leave with status 0 */
    WORKER_ACCESS_LOG, /* master → worker, with a descriptor: the access log goes there from now on */
    WORKER_ERROR_LOG,  /* master → worker, with a descriptor: the same of standard error */
    WORKER_READY,      /* worker → master: images are served */
    WORKER_CLOSED,     /* worker → master: these connections have ended, close your duplicates */
    WORKER_REPLACE, /* worker → master: another would do better, it would have a directory that this one cannot use */
    WORKER_RELEASED, /* worker → master: this connection stands between two requests, let another go on with it */
};

#define WORKER_CLOSED_AT_ONCE 16u

struct worker_message {
    uint32_t kind;
    union {
        uint32_t admin; /* ADOPT: 1 when it came in on the admin listener */
        uint32_t count; /* CLOSED: of `closed` */
    };
    union {
        struct {                          /* ADOPT, RELEASED */
            uint64_t connection_id;       /* the master's, never used twice */
            struct sockaddr_storage peer; /* ADOPT */
        };
        uint64_t closed[WORKER_CLOSED_AT_ONCE]; /* connection ids */
    };
};

/* Admin connections have places of their own, so that a full house can still be looked into. */
#define WORKER_ADMIN_CONNECTIONS                 64u
#define WORKER_MOST_CONNECTIONS(max_connections) ((max_connections) + WORKER_ADMIN_CONNECTIONS)

/* Where a worker has what it inherits. */
#define WORKER_FD_CHANNEL 3
#define WORKER_FD_ACCESS  4
#define WORKER_FD_SYSLOG  5

/* Exit statuses of a worker. */
#define WORKER_EXIT_DONE   0 /* drained */
#define WORKER_EXIT_FAILED 1 /* could not start this time */
#define WORKER_EXIT_CONFIG 3 /* could not start and never will with this configuration: do not respawn */
#define WORKER_EXIT_ORPHAN 4 /* the master is gone */

#endif
