/* How many connections each client address has open: a hash table of fixed size in the master's own memory.
 *
 * One client is one IPv4 address (also when it comes mapped into IPv6) or one IPv6 /64, the smallest network
 * that is given to a household. The hash starts from a random number, so that nobody can choose addresses
 * that collide. */
#ifndef MASTER_ADDRESS_H
#define MASTER_ADDRESS_H

#include "base/err.h"

#include <stdint.h>
#include <sys/socket.h>

struct master_addresses;

/* Room for `capacity` different clients. */
RC_MUST_USE enum rc master_address_new(uint32_t capacity, struct master_addresses **ret_addresses,
                                       struct err *err);
void master_address_free(struct master_addresses **addresses);

/* Counts one more connection of `peer`, unless it has `most` already: then RC_BUSY with a sentence that names
 * the client. There are never more clients than `capacity`. Peers of other families are not counted. */
RC_MUST_USE enum rc master_address_add(struct master_addresses *addresses,
                                       const struct sockaddr_storage *peer, uint32_t most, struct err *err);
/* Takes back what add counted. */
void master_address_remove(struct master_addresses *addresses, const struct sockaddr_storage *peer);

#endif
