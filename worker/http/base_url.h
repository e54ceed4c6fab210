/* Where the client believes it is: the scheme, host and prefix that `id`, Link and Location are built from.
 * One rule: the configured base URL; else, from a trusted peer only, Forwarded (RFC 7239), else
 * X-Forwarded-Proto, -Host, -Port and -Prefix; else http and Host. The rule holds for each part on its own,
 * except that a port comes only from where the host comes, or from X-Forwarded-Port when X-Forwarded-Host or
 * Host names none. Of a list the first element counts: what the client asked for. Values that are not a
 * scheme, host, port or path are ignored as if not sent. Pure. */
#ifndef WORKER_HTTP_BASE_URL_H
#define WORKER_HTTP_BASE_URL_H

#include "base/arena.h"

#include <stdbool.h>
#include <sys/socket.h>

/* Whether `peer` is in `list`: addresses and CIDR networks of both families, separated by commas or blanks;
 * "loopback" and "private" name the usual ranges. UNIX peers count as loopback, IPv4 within IPv6 as IPv4. A
 * list that does not parse trusts nobody. */
bool http_peer_is_trusted(const struct sockaddr_storage *peer, const char *list);
/* NULL when `list` parses, else a static sentence; *ret_at is the offset of the bad word. For check-config.
 */
const char *http_trusted_list_check(const char *list, unsigned *ret_at);

struct http_forwarding {
    const char *host; /* each NULL where not sent */
    const char *forwarded, *x_forwarded_proto, *x_forwarded_host, *x_forwarded_port, *x_forwarded_prefix;
};

/* "https://images.example.org/prefix" without a trailing slash. `configured` empty or NULL: not configured.
 * NULL when memory is out. A missing or malformed Host gives "http://localhost". */
const char *http_base_url(struct arena *arena, const char *configured, bool peer_trusted,
                          const struct http_forwarding *sent);

#endif
