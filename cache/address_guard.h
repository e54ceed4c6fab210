/* Whether an address is one of the public Internet. Whoever can choose where the server connects to must not reach what only the
 * server can reach: itself, its network, its cloud's metadata service. Pure. */
#ifndef CACHE_ADDRESS_GUARD_H
#define CACHE_ADDRESS_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for every range of the IANA registries of special-purpose IPv4 and IPv6 addresses that is not globally
 * reachable, for multicast, and for IPv6 forms that carry such an IPv4 address. */
bool address_is_public(const struct sockaddr *address);
/* Of this link alone (169.254.0.0/16, fe80::/10), or the metadata service of EC2 in IPv6: what lies there tells whoever asks from this
 * machine its secrets. No origin is there, whatever is configured. */
bool address_is_link_local(const struct sockaddr *address);

#endif
