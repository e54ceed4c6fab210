/* What two masters say to each other when one takes over from the other: records of a fixed size, with a
 * version, checked on arrival, each with at most one descriptor.
 *
 *     old                                               new
 *     JOURNAL, PUBLIC, ADMIN, START ──────────────────►      maps, forks workers, waits until they are READY
 *                                   ◄────────────────── READY
 *     kills its workers, hears their last words
 *     PLACE for each place of the table, END ─────────►      takes every connection in
 *                                   ◄────────────────── TAKEN
 *     leaves: the end of the channel ─────────────────►      hands connections to its workers, accepts
 *
 * Until TAKEN the old master can go on as if nothing had been: it keeps its own descriptors, and the new one
 * touches neither a connection nor the journal before the channel has ended. The same records, in a file, are
 * what is kept over a restart (master/store.h). */
#ifndef MASTER_HANDOVER_H
#define MASTER_HANDOVER_H

#include "base/err.h"
#include "master/connection.h"
#include "shm/journal.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MASTER_HANDOVER_VERSION 1u

enum master_handover_kind {
    HANDOVER_JOURNAL = 1, /* with the journal's descriptor; `number`: max_connections */
    HANDOVER_PUBLIC,      /* with the listener */
    HANDOVER_ADMIN,
    HANDOVER_START, /* that is all you need for now */
    HANDOVER_READY,
    HANDOVER_PLACE, /* of the table, in order; with the connection's descriptor where one is open */
    HANDOVER_END,   /* `number`: connections sent */
    HANDOVER_TAKEN,
};

/* Fixed by its version: another layout is another version. */
struct master_handover {
    char magic[8]; /* "VITRHAND" */
    uint32_t version, bytes;
    uint32_t journal_version, kind;
    uint32_t place, generation;
    uint32_t is_open, is_admin;      /* PLACE */
    uint32_t shall_reload, reserved; /* END: HUP came meanwhile */
    uint64_t number;
    struct sockaddr_storage peer; /* PLACE */
};
static_assert(sizeof(struct master_handover) == 184, "the record of version 1");

void master_handover_fill(struct master_handover *record, enum master_handover_kind kind);
/* RC_CORRUPT says why these `length` bytes cannot be used, in words for the log. */
RC_MUST_USE enum rc master_handover_check(const struct master_handover *record, size_t length,
                                          struct err *err);

/* A record of one place. */
void master_handover_from(struct master_handover *record, const struct master_connection *connection);

/* Sends one record, with `sent_fd` unless that is -1; waits while the peer's queue is full, up to a few
 * seconds. RC_IO: the peer is gone or takes nothing. */
RC_MUST_USE enum rc master_handover_send(int channel, const struct master_handover *record, int sent_fd,
                                         struct err *err);
/* Waits up to `patience_ms` for a record. The caller owns *ret_fd, -1 where none came. RC_IO: the peer is
 * gone; RC_BUSY: none came in time; RC_CORRUPT. */
RC_MUST_USE enum rc master_handover_receive(int channel, int patience_ms, struct master_handover *ret_record,
                                            int *ret_fd, struct err *err);

#endif
