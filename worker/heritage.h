/* What a worker inherits from the master through fork(), and the messages the two exchange afterwards.
 *
 * The channel is a SOCK_SEQPACKET pair per worker; its end is how each learns of the other's death. The master never waits
 * for a worker: a full channel counts as a busy worker. */
#ifndef WORKER_HERITAGE_H
#define WORKER_HERITAGE_H

#include "base/settings.h"
#include "shm/segment.h"

#include <stdint.h>
#include <sys/socket.h>

struct worker_heritage {
    const struct settings *settings;
    struct shm_segment *segment;
    uint32_t slot;       /* this worker's index in the segment's slots, and its name in the log */
    int channel;         /* to the master */
};

enum worker_message_kind {
    WORKER_ADOPT = 1,   /* master → worker, with a descriptor: serve this connection */
    WORKER_DRAIN,       /* master → worker: finish what was begun, then leave with status 0 */
    WORKER_READY,       /* worker → master: images are served */
    WORKER_CLOSED,      /* worker → master: this connection has ended, close your duplicate */
};

struct worker_message {
    uint32_t kind;
    uint32_t admin;            /* ADOPT: 1 when it came in on the admin listener */
    uint64_t connection_id;    /* ADOPT, CLOSED */
    struct sockaddr_storage peer; /* ADOPT */
};

/* Exit statuses of a worker. */
#define WORKER_EXIT_DONE 0     /* drained */
#define WORKER_EXIT_CONFIG 3   /* could not start and never will with this configuration: do not respawn */
#define WORKER_EXIT_ORPHAN 4   /* the master is gone */

#endif
