/* The master's table of open client connections: for each a duplicate of its socket and who serves it.
 *
 * Private to the master and fixed in size. Each connection is in one list: of the worker that has it, or of
 * those that wait for one. Its id, by which workers speak of it, is place and generation: an id of a
 * connection that has ended never fits a later one. A worker's crash leaves its list here, complete. */
#ifndef MASTER_CONNECTION_H
#define MASTER_CONNECTION_H

#include "base/err.h"
#include "shm/segment.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MASTER_CONNECTION_WAITING SHM_MAX_WORKERS /* in place of a worker's slot: nobody serves it yet */

struct master_connection {
    int fd; /* the master's duplicate; -1 where the place is free */
    uint32_t generation;
    uint32_t place; /* its index in the table */
    uint32_t slot;  /* who serves it, or MASTER_CONNECTION_WAITING */
    bool is_admin;
    struct master_connection *next, *previous; /* in the list of `slot` */
    struct sockaddr_storage peer;
};

struct master_connections;

/* Room for `most_public` connections, of which one client may have `most_per_address`, and for the admin
 * connections. */
RC_MUST_USE enum rc master_connection_table_new(uint32_t most_public, uint32_t most_per_address,
                                                struct master_connections **ret_table, struct err *err);
/* Another number of connections per client; those that are open stay. */
void master_connection_limit(struct master_connections *table, uint32_t most_per_address);
/* Closes every connection that is left. */
void master_connection_table_free(struct master_connections **table);

/* A new connection, waiting, behind those that wait already. Takes over `fd` in every case. RC_BUSY: a limit
 * is reached, the sentence says which, `fd` has been closed. */
RC_MUST_USE enum rc master_connection_add(struct master_connections *table, int fd,
                                          const struct sockaddr_storage *peer, bool is_admin,
                                          struct err *err);
/* Closes the duplicate and frees the place. */
void master_connection_end(struct master_connections *table, struct master_connection *connection);

/* Generation in the upper half, place in the lower; never 0. */
uint64_t master_connection_id(const struct master_connection *connection);
/* What `slot` calls `id`; NULL when it has no such connection. Safe with any number from a worker. */
struct master_connection *master_connection_find(struct master_connections *table, uint32_t slot,
                                                 uint64_t id);

/* For handing the table over: places from 0 to this have been used, those that are free now included (fd
 * -1). */
uint32_t master_connection_places(const struct master_connections *table);
const struct master_connection *master_connection_at(const struct master_connections *table, uint32_t place);
/* The next place of a table that is being taken over, waiting where `fd` is not -1. Places come in order
 * from 0. Takes over `fd` in every case. Limits do not hold, but RC_BUSY: there is no such place. */
RC_MUST_USE enum rc master_connection_restore(struct master_connections *table, uint32_t generation, int fd,
                                              const struct sockaddr_storage *peer, bool is_admin,
                                              struct err *err);

/* Moves a connection to the end of another list. */
void master_connection_move(struct master_connections *table, struct master_connection *connection,
                            uint32_t slot);
/* The first of a list, NULL when it is empty. */
struct master_connection *master_connection_first(struct master_connections *table, uint32_t slot);
uint32_t master_connection_count(const struct master_connections *table, uint32_t slot);

#endif
