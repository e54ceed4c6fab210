/* The HTTP side of one worker: connections in, exchanges out. worker/http/ is the only place that knows
 * libmicrohttpd.
 *
 * One event thread (MHD's, epoll) per worker. Connections are not accepted here but handed in
 * (http_server_adopt), since the master owns them. For each request the handler is called once, on the event
 * thread; it either answers at once or keeps the exchange (http_exchange_suspend) and lets another thread
 * answer it later. The handler never decodes and never waits. After a crash nothing of this survives; the
 * master closes or re-hands the connections. */
#ifndef WORKER_HTTP_SERVER_H
#define WORKER_HTTP_SERVER_H

#include "base/arena.h"
#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct http_account;
struct http_server;
struct http_exchange; /* one request on one connection, from its header's end until its answer is sent */

enum http_listener { HTTP_PUBLIC, HTTP_ADMIN };
enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OPTIONS, HTTP_POST, HTTP_OTHER };

struct http_server_options {
    uint32_t max_connections;
    uint32_t idle_timeout_s; /* keep-alive and slow requests: no byte for so long ends the connection */
    uint32_t
        request_timeout_s; /* a request must be complete so long after its first byte, else 408 and the end */
    struct shm_journal *journal; /* where connections survive this worker; NULL: they do not */
    const char *trusted_proxies; /* whose X-Request-Id and Forwarded are believed; NULL: nobody's */
    size_t max_header_bytes;     /* request line and header; above it 431 or 414 */
    /* Called on the event thread, once the request is complete. Must lead to exactly one answer, now or
     * later. */
    void (*handle)(struct http_exchange *exchange, void *context);
    /* Its answer is decided and about to leave; may be NULL. Event thread. */
    void (*answering)(struct http_exchange *exchange, void *context);
    /* The exchange is over, its answer sent or given up: the last that is heard of it; may be NULL. Event thread, or the
     * thread in http_server_stop(). */
    void (*ended)(struct http_exchange *exchange, void *context);
    /* A connection was handed in whose request another worker had begun and not answered; may be NULL. */
    void (*recovered)(void *context);
    /* A connection has ended (by either side): its id as given to adopt. The client has been told by
     * shutdown(), so that a duplicate of the descriptor elsewhere does not keep it waiting. Event thread, or
     * the thread in http_server_stop(). */
    void (*closed)(uint64_t connection_id, void *context);
    /* A connection was given up by http_server_release(): whoever gets it next goes on with it. */
    void (*released)(uint64_t connection_id, void *context);
    void *context;
};

/* The threads made here inherit the caller's signal mask. After fork() only. */
RC_MUST_USE enum rc http_server_start(const struct http_server_options *options,
                                      struct http_server **ret_server, struct err *err);
/* Hands a connection in; takes over `fd` in every case. Any thread. RC_BUSY: max_connections are open. When
 * it fails, closed() is not called: the caller knows. `fd` may have a history: what earlier workers read of
 * it does not matter. */
RC_MUST_USE enum rc http_server_adopt(struct http_server *server, int fd, const struct sockaddr_storage *peer,
                                      enum http_listener listener, uint64_t connection_id, struct err *err);
/* From now on every answer says Connection: close, and idle connections are ended; one in the middle of a
 * request gets its answer first. Returns at once: http_server_connections() falls to 0 as clients read. Any
 * thread, once. */
void http_server_drain(struct http_server *server);
/* From now on no request is begun, and connections are to be given up by http_server_release(). Any thread,
 * once. */
void http_server_retire(struct http_server *server);
/* Gives up those connections that have been between two requests since the last call, without touching them.
 * Returns how many are left; when there are none, the process may end (by _exit(): http_server_stop() would
 * shut them down). Needs the journal. */
uint32_t http_server_release(struct http_server *server);
uint32_t http_server_connections(struct http_server *server); /* open now */
/* Ends all connections and the event thread, and waits for suspended exchanges to be answered: their holders
 * see them as abandoned from now on. Answers not yet sent are lost. */
void http_server_stop(struct http_server **server);

/* ---- exchanges: until suspended only on the event thread, afterwards by the one thread that holds it ----
 */

/* Lives as long as the exchange. */
struct arena *http_exchange_arena(struct http_exchange *exchange);
enum http_listener http_exchange_listener(const struct http_exchange *exchange);
/* Its account (worker/http/account.h), for whoever holds it. */
struct http_account *http_exchange_account(struct http_exchange *exchange);
/* What it is called in logs and in the answer's X-Request-Id (worker/http/caller.h). Lives with the exchange. */
const char *http_exchange_request_id(struct http_exchange *exchange);
/* Who asks, behind trusted proxies. */
struct in6_addr http_exchange_caller(struct http_exchange *exchange);
/* As the client has sent them, to be repeated with care; NULL where it never came to that. */
const char *http_exchange_method_name(const struct http_exchange *exchange);
bool http_exchange_is_http_1_0(const struct http_exchange *exchange);
/* The id of its connection, as given to adopt. */
uint64_t http_exchange_connection_id(const struct http_exchange *exchange);
enum http_method http_exchange_method(const struct http_exchange *exchange);
/* For how many whole seconds it has been waited for, by workers that died, too. */
int64_t http_exchange_age_s(const struct http_exchange *exchange);
/* The raw request target as sent, undecoded, with query: "/..." or "*". Of "http://host/path" (RFC 9112
 * §3.2.2) it is the path, and the Host header is that host. May hold any byte but blanks and control bytes.
 */
const char *http_exchange_target(const struct http_exchange *exchange);
/* A request header by name (any case), NULL where absent; repeated headers are joined by ", ". Lives with the
 * exchange. */
const char *http_exchange_header(struct http_exchange *exchange, const char *name);
const struct sockaddr_storage *http_exchange_peer(const struct http_exchange *exchange);
/* True once the client has left or the server is stopping: the answer would be for nobody. Costs a system
 * call at most every 20 ms. A client that has only ended its own side (shutdown) still waits; one that closed
 * politely looks the same, until something is sent to it. By the holder only. */
bool http_exchange_abandoned(const struct http_exchange *exchange);

/* The handler calls this before it gives the exchange to another thread, and does not touch it after that. It
 * may still answer it itself, if it has not given it away. */
void http_exchange_suspend(struct http_exchange *exchange);

#endif
