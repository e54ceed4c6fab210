/* Private to worker/http/: what a server, a connection and an exchange consist of, and who may touch which
 * field.
 *
 * Three kinds of threads meet here. The event thread (MHD's) owns all that MHD owns and everything below that
 * is not marked otherwise. The holder of a suspended exchange writes its answer into it and resumes it; MHD's
 * own lock then carries the answer over to the event thread. The patience thread only looks at connections,
 * under `lock`. */
#ifndef WORKER_HTTP_EXCHANGE_H
#define WORKER_HTTP_EXCHANGE_H

#include "worker/http/account.h"
#include "worker/http/caller.h"
#include "worker/http/server.h"
#include "worker/http/stream.h"
#include "worker/http/wire.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum http_stage {
    HTTP_STAGE_NONE,      /* between requests */
    HTTP_STAGE_HEADER,    /* the request line is known */
    HTTP_STAGE_BODY,      /* the header is complete; a body, if any, is being read and thrown away */
    HTTP_STAGE_HANDED_ON, /* handle() has been called, or the answer was made without it */
};

/* A line of the request's header; the texts are MHD's, while it has the request. */
struct http_field {
    const char *name, *value;
    size_t name_bytes;
};

struct http_exchange {
    struct http_connection *connection;
    struct MHD_Connection *mhd;
    struct http_field *field; /* in the arena, once the header is complete: asked a dozen times per request */
    size_t field_count;
    struct arena *arena;     /* NULL between requests */
    const char *target;      /* origin form or "*" */
    const char *authority;   /* of an absolute-form target: counts as Host; else NULL */
    const char *line_end;    /* where MHD's copy of the target ends, to notice a NUL in it */
    const char *method_name; /* MHD's, while it has the request */
    const char *given_id;    /* by a trusted proxy */
    bool has_looked_for_id;
    char made_id[HTTP_CALLER_ID_BYTES];
    enum http_method method;
    enum http_stage stage;
    int64_t date_s; /* what the answer says */
    bool is_http_1_0;
    bool ends;              /* the connection ends with this answer */
    uint64_t request_bytes; /* header and body, once it is complete */
    uint64_t answer_bytes;  /* of its body; UINT64_MAX: not known */
    uint64_t sent_before;   /* by the connection's wire, when the answer began */
    struct http_account account;
    bool suspended;      /* written on the event thread before the holder knows the exchange */
    uint64_t body_bytes; /* announced */
    /* The answer, by the holder. A response of NULL once handed on: none could be made, the connection is
     * ended. */
    unsigned status;
    struct MHD_Response *response;
    uint64_t head_bytes;        /* of the names and values of its headers */
    const char *etag;           /* one of them, or NULL */
    struct http_stream *stream; /* what the response is read from, where its length is not known */
};

#define HTTP_LOOK_EVERY_MS 20 /* whether somebody still waits */

struct http_connection {
    struct http_server *server;
    uint64_t id;
    int fd; /* MHD's; valid from STARTED until CLOSED */
    enum http_listener listener;
    struct sockaddr_storage peer;
    struct http_exchange exchange;
    struct http_wire wire; /* without a slot: not journaled */

    /* For patience: written by the event thread. `bytes_before` was received before this worker had the
     * connection. */
    uint64_t bytes_before;
    _Atomic uint64_t bytes_taken; /* of complete requests */
    _Atomic uint32_t requests;
    atomic_bool busy; /* a request is complete and its answer not completely sent */
    /* For http_exchange_abandoned(), any thread. */
    _Atomic int64_t look_again_ms;
    atomic_bool gone;

    /* Under server->lock. */
    uint32_t index;           /* in server->table */
    bool started;             /* MHD has it and will tell of its end */
    uint32_t seen_requests;   /* at the patience thread's last look */
    int64_t waiting_since_ms; /* a request has begun and is not complete; 0: none */
    bool seen_idle;           /* by the last http_server_release(), after `idle_requests` of them */
    uint32_t idle_requests;
    bool released;
};

#define HTTP_SPARE_ARENAS 64u

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    _Atomic uint32_t connections, suspended;
    atomic_bool draining, stopping;

    /* Event thread only. */
    bool handler_suspended; /* set by http_exchange_suspend() for the handler's caller */
    struct arena *spare[HTTP_SPARE_ARENAS];
    uint32_t spare_count;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the patience thread */
    pthread_t patience;
    bool patience_ends;
    uint32_t table_count;
    struct http_connection **table; /* the first table_count of options.max_connections */
};

/* The id that a trusted proxy has given the request; NULL: none, or not a sane one. */
const char *http_exchange_given_id(struct http_exchange *exchange);

/* Notes the fields of the request, whose header is complete. False: no memory. Event thread. */
bool http_exchange_note_fields(struct http_exchange *exchange);
/* The first field of that name at or behind `from`; NULL: none. */
const struct http_field *http_exchange_field(const struct http_exchange *exchange, const char *name,
                                             const struct http_field *from);

/* MHD's callbacks for requests (exchange.c); `context` is the server. */
void *http_exchange_begin(void *context, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_step(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_bytes, void **slot);
void http_exchange_end(void *context, struct MHD_Connection *mhd, void **slot,
                       enum MHD_RequestTerminationCode code);

/* Gives the exchange back with its answer, `body_bytes` long. `response` NULL: the connection is ended
 * without one. */
void http_exchange_answer(struct http_exchange *exchange, unsigned status, struct MHD_Response *response,
                          uint64_t body_bytes);

/* True once the client has left or the server is stopping. Any thread, as long as the connection lives. */
bool http_connection_abandoned(struct http_connection *connection);

/* A stream (worker/http/stream.h) for the exchange, held by its maker and by the exchange. NULL: no memory. */
struct http_stream *http_stream_new(struct http_exchange *exchange);
/* Only one that nobody else knows yet. */
void http_stream_free(struct http_stream *stream);
/* MHD's reader of the body; `context` is the stream. Event thread. */
ssize_t http_stream_send(void *context, uint64_t position, char *to, size_t room_bytes);
/* Bytes of the body that MHD has been given. */
uint64_t http_stream_sent(struct http_stream *stream);
/* The exchange is over. True: the maker still works in its arena, which goes over to the stream. Event thread. */
bool http_stream_leave(struct http_stream *stream, struct arena *arena);

/* The thread that ends connections whose request does not become complete, and idle ones while draining. */
RC_MUST_USE enum rc http_patience_start(struct http_server *server, struct err *err);
void http_patience_stop(struct http_server *server);
/* Bytes that came from the client since the kernel opened the connection; 0 when it cannot tell. */
uint64_t http_patience_received(int fd);

#endif
