/* Who asks, and what a request is called in logs: the client's address behind trusted proxies, and request ids.
 *
 * Behind a trusted peer the client is the last address in Forwarded (RFC 7239, `for`), else in X-Forwarded-For, that is not of
 * a trusted proxy itself: what stands before it anybody may have written. Where the list ends in something else (unknown, _hidden, a
 * malformed element), the proxy that wrote it counts as the client.
 *
 * An id is taken from a trusted peer's X-Request-Id when it is sane, else made: of the connection's seed and id, and of the place
 * of the request in its stream, all of which stand in the journal. So a worker that goes on with a dead one's answer makes the
 * same id again, and may send it in the answer's header. Pure. */
#ifndef WORKER_HTTP_CALLER_H
#define WORKER_HTTP_CALLER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_CALLER_TEXT_BYTES INET6_ADDRSTRLEN
#define HTTP_CALLER_ID_MOST    64u /* characters of a foreign id */
#define HTTP_CALLER_ID_BYTES   17u /* of one that is made, and the NUL */

/* `trusted`: the list of trusted proxies. Headers are NULL where not sent. IPv4 comes out in its mapped form, a UNIX peer as ::1. */
struct in6_addr http_caller(const struct sockaddr_storage *peer, const char *trusted, const char *forwarded,
                            const char *x_forwarded_for);
/* As people write it: "192.0.2.1", "2001:db8::1". */
void http_caller_text(const struct in6_addr *address, char ret_text[HTTP_CALLER_TEXT_BYTES]);

/* Whether it may stand in logs and headers: letters, digits and -_.:+/=@ , 1 to HTTP_CALLER_ID_MOST of them. */
bool http_caller_is_id(const char *text);
void http_caller_make_id(uint64_t seed, uint64_t connection_id, uint64_t request_start,
                         char ret_text[HTTP_CALLER_ID_BYTES]);

#endif
