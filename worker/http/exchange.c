#include "worker/http/exchange.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/own.h"
#include "worker/http/reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* No method that is answered here has a use for a body: a small one is read over, so that the connection can
 * be kept; a larger one is refused unread. */
#define HTTP_MAX_BODY_BYTES 65536u

/* ---- the life of an exchange, all on the event thread ---- */

static struct arena *take_arena(struct http_server *server)
{
    return server->spare_count > 0 ? server->spare[--server->spare_count] : arena_new();
}

static void return_arena(struct http_server *server, struct arena *arena)
{
    if (server->spare_count == HTTP_SPARE_ARENAS) {
        arena_free(arena);
        return;
    }
    arena_reset(arena);
    server->spare[server->spare_count++] = arena;
}

/* RFC 9112 §3.2.2: "http://host/path" is the same as "/path" with that Host. */
static bool split_absolute_form(struct http_exchange *exchange)
{
    const char *target = exchange->target;
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme == 0)
        return true;
    size_t length = strcspn(target + scheme, "/?#");
    exchange->authority = arena_text(exchange->arena, target + scheme, length);
    exchange->target = target + scheme + length;
    if (exchange->target[0] != '/')
        exchange->target = arena_format(exchange->arena, "/%s", exchange->target);
    return exchange->authority != NULL && exchange->target != NULL;
}

void *http_exchange_begin(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct http_server *server = context;
    struct http_connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct http_exchange *exchange = &connection->exchange;
    size_t length = strlen(uri);
    *exchange = (struct http_exchange){
        .connection = connection,
        .mhd = mhd,
        .arena = take_arena(server),
        .line_end = uri + length,
        .stage = HTTP_STAGE_HEADER,
    };
    if (exchange->arena != NULL)
        exchange->target = arena_text(exchange->arena, uri, length);
    if (exchange->target != NULL && !split_absolute_form(exchange))
        exchange->target = NULL;

    /* MHD 0.9.75 would now take the query apart. A few hundred parameters exhaust its memory for the
     * connection, which then hangs until it times out. Nobody here wants them, so MHD sees an empty query: it
     * goes by the byte after '?'. */
    char *query = strchr((char *)(uintptr_t)uri, '?');
    if (query != NULL)
        query[1] = '\0';
    return exchange;
}

static enum http_method method_of(const char *name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}, {"POST", HTTP_POST}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].method;
    return HTTP_OTHER;
}

/* Two answers of the same fingerprint are as long as each other in header and body and are of the same
 * version: one can go on where the other stopped. */
static uint64_t fingerprint(const struct http_exchange *exchange)
{
    const uint64_t part[3] = {exchange->status, exchange->answer_bytes, exchange->head_bytes};
    uint64_t hash = bytes_hash(BYTES_HASH_START, part, sizeof part);
    return exchange->etag != NULL ? bytes_hash(hash, exchange->etag, strlen(exchange->etag)) : hash;
}

/* Whether the client wants the connection to end with the answer. A wrong guess costs a needless or a missing repeat after a
 * crash, nothing else. */
static bool client_ends(const struct http_exchange *exchange)
{
    const struct http_field *wish = http_exchange_field(exchange, "Connection", exchange->field);
    if (wish == NULL)
        return exchange->is_http_1_0;
    return strcasestr(wish->value, "close") != NULL ||
           (exchange->is_http_1_0 && strcasestr(wish->value, "keep-alive") == NULL);
}

static void begin_answer(struct http_exchange *exchange)
{
    const struct http_server *server = exchange->connection->server;
    exchange->account.status = exchange->status;
    exchange->account.answered_us = clock_monotonic_us();
    exchange->sent_before = exchange->connection->wire.sent;
    if (server->options.answering != NULL)
        server->options.answering(exchange, server->options.context);
}

/* Sends what the holder has left in the exchange. */
static enum MHD_Result send_answer(struct http_exchange *exchange)
{
    struct MHD_Response *response = TAKE_PTR(exchange->response);
    struct http_wire *wire = &exchange->connection->wire;
    if (response == NULL)
        return MHD_NO;
    bool closes = atomic_load_explicit(&exchange->connection->server->draining, memory_order_relaxed);
    if (wire->slot != NULL)
        closes = http_wire_closes(wire, closes);
    if (closes && MHD_add_response_header(response, "Connection", "close") == MHD_YES)
        exchange->head_bytes += strlen("Connection") + strlen("close");
    bool sized = exchange->answer_bytes != UINT64_MAX;
    bool ends_with_body = !sized && (exchange->is_http_1_0 || exchange->method == HTTP_HEAD);
    exchange->ends = exchange->ends || closes || client_ends(exchange) || ends_with_body;
    enum MHD_Result queued = MHD_NO;
    begin_answer(exchange);
    if (wire->slot == NULL || http_wire_may_answer(wire, fingerprint(exchange), sized))
        queued = MHD_queue_response(exchange->mhd, exchange->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* The request is all there, or not worth waiting for: from here until the answer is sent the client owes us
 * nothing. */
static void mark_busy(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(exchange->mhd,
                                                                   MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    exchange->request_bytes = exchange->body_bytes + (info != NULL ? info->header_size : 0);
    exchange->date_s = connection->wire.slot != NULL ? http_wire_date_s(&connection->wire) : time(NULL);
    atomic_fetch_add_explicit(&connection->bytes_taken, exchange->request_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&connection->requests, 1, memory_order_relaxed);
    atomic_store_explicit(&connection->busy, true, memory_order_release);
    exchange->account.begun_us = clock_monotonic_us();
    exchange->stage = HTTP_STAGE_HANDED_ON;
}

static enum MHD_Result hand_on(struct http_exchange *exchange)
{
    struct http_server *server = exchange->connection->server;
    mark_busy(exchange);
    server->handler_suspended = false;
    server->options.handle(exchange, server->options.context);
    if (server->handler_suspended)
        return MHD_YES; /* it belongs to another thread now and may even be answered already: do not look */
    return send_answer(exchange);
}

static enum MHD_Result refuse(struct http_exchange *exchange, unsigned status, const char *text)
{
    mark_busy(exchange);
    exchange->ends = true;
    http_reply_text(exchange, status, "text/plain; charset=utf-8", text, NULL, 0);
    return send_answer(exchange);
}

/* What is wrong with the request line, or NULL. MHD leaves its judgement to us, for an answer rather than a
 * dropped connection; printable bytes that no URI may have are the handler's business. */
static const char *request_line_fault(const struct http_exchange *exchange, const char *version)
{
    if (version != exchange->line_end + 1)
        return "The request target contains a NUL byte.\n";
    for (const char *p = exchange->target; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return "The request target contains a blank or a control byte.\n";
    if (exchange->target[0] != '/' && strcmp(exchange->target, "*") != 0)
        return "The request target does not begin with '/'.\n";
    return NULL;
}

/* RFC 9112 §3.2: no Host in HTTP/1.1, or several in any version, is 400. */
static const char *host_fault(const struct http_exchange *exchange, const char *version)
{
    const struct http_field *host = http_exchange_field(exchange, "Host", exchange->field);
    if (host != NULL && http_exchange_field(exchange, "Host", host + 1) != NULL)
        return "The request has more than one Host header.\n";
    return host == NULL && strcmp(version, "HTTP/1.0") != 0 ? "The request has no Host header.\n" : NULL;
}

/* The header is complete. An answer given now makes MHD end the connection after it: right for what is
 * refused. */
static enum MHD_Result accept_header(struct http_exchange *exchange, const char *method, const char *version)
{
    const struct http_server *server = exchange->connection->server;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(exchange->mhd,
                                                                   MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    exchange->method = method_of(method);
    exchange->method_name = method;
    exchange->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    const char *fault = request_line_fault(exchange, version);
    if (fault == NULL)
        fault = host_fault(exchange, version);
    if (fault != NULL)
        return refuse(exchange, 400, fault);
    if (info != NULL && info->header_size > server->options.max_header_bytes)
        return strlen(exchange->target) > server->options.max_header_bytes / 2
                   ? refuse(exchange, 414, "The request target is too long.\n")
                   : refuse(exchange, 431, "The request header is too large.\n");

    const struct http_field *length = http_exchange_field(exchange, "Content-Length", exchange->field);
    bool has_coding = http_exchange_field(exchange, "Transfer-Encoding", exchange->field) != NULL;
    uint64_t body_bytes = length == NULL
                              ? 0
                              : strtoull(length->value, NULL, 10); /* MHD has seen that it is a number */
    bool is_post = exchange->method == HTTP_POST && exchange->connection->listener == HTTP_ADMIN;
    if (exchange->method >= HTTP_POST && !is_post && (has_coding || body_bytes > 0))
        return hand_on(exchange); /* 405, without the body */
    if (has_coding)
        return refuse(exchange, 411, "A request body needs a Content-Length here.\n");
    if (body_bytes > HTTP_MAX_BODY_BYTES)
        return refuse(exchange, 413, "The request body is too large; none is needed.\n");
    exchange->body_bytes = body_bytes;
    return MHD_YES;
}

enum MHD_Result http_exchange_step(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_bytes, void **slot)
{
    struct http_exchange *exchange = *slot;
    (void)context;
    (void)mhd;
    (void)url;
    (void)upload;
    switch (exchange->stage) {
    case HTTP_STAGE_HEADER:
        exchange->stage = HTTP_STAGE_BODY;
        return exchange->target == NULL || !http_exchange_note_fields(exchange)
                   ? MHD_NO
                   : accept_header(exchange, method, version);
    case HTTP_STAGE_BODY:
        if (*upload_bytes > 0) {
            *upload_bytes = 0;
            return MHD_YES;
        }
        return hand_on(exchange);
    case HTTP_STAGE_HANDED_ON: /* resumed */
        return send_answer(exchange);
    case HTTP_STAGE_NONE:
        break;
    }
    return MHD_NO;
}

/* Of a cut answer the header is counted along: nobody knows how much of it was sent. */
static uint64_t body_bytes_sent(const struct http_exchange *exchange)
{
    uint64_t sent = exchange->connection->wire.sent - exchange->sent_before;
    if (exchange->method == HTTP_HEAD || exchange->account.answered_us == 0)
        return 0;
    if (exchange->stream != NULL)
        return http_stream_sent(exchange->stream);
    return exchange->account.whole || sent > exchange->answer_bytes ? exchange->answer_bytes : sent;
}

static void close_account(struct http_exchange *exchange, bool whole)
{
    const struct http_server *server = exchange->connection->server;
    struct http_account *account = &exchange->account;
    if (server->options.ended == NULL || exchange->stage != HTTP_STAGE_HANDED_ON)
        return;
    account->whole = whole && account->answered_us != 0;
    account->sent_bytes = body_bytes_sent(exchange);
    account->ended_us = clock_monotonic_us();
    server->options.ended(exchange, server->options.context);
}

void http_exchange_end(void *context, struct MHD_Connection *mhd, void **slot,
                       enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct http_exchange *exchange = *slot;
    struct http_connection *connection = exchange->connection;
    (void)mhd;
    /* Before the journal goes on: who dies in between has the request answered, and accounted for, once more. The other way round
     * nobody would. */
    close_account(exchange, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (connection->wire.slot != NULL && code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        if (exchange->ends)
            http_wire_hold(&connection->wire, exchange->request_bytes);
        else if (!http_wire_advance(&connection->wire, exchange->request_bytes))
            shutdown(connection->fd, SHUT_RDWR);
    }
    if (exchange->response != NULL)
        MHD_destroy_response(exchange->response);
    if (exchange->stream != NULL && http_stream_leave(exchange->stream, exchange->arena))
        exchange->arena = NULL;
    if (exchange->arena != NULL)
        return_arena(server, exchange->arena);
    *exchange = (struct http_exchange){0};
    atomic_store_explicit(&connection->gone, false, memory_order_relaxed);
    atomic_store_explicit(&connection->busy, false, memory_order_release);
}

/* ---- suspending and answering ---- */

void http_exchange_suspend(struct http_exchange *exchange)
{
    struct http_server *server = exchange->connection->server;
    assert(exchange->stage == HTTP_STAGE_HANDED_ON && !exchange->suspended && exchange->response == NULL);
    exchange->suspended = true;
    server->handler_suspended = true;
    /* Who has just asked is there. */
    atomic_store_explicit(&exchange->connection->look_again_ms, clock_monotonic_ms() + HTTP_LOOK_EVERY_MS,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&server->suspended, 1, memory_order_relaxed);
    MHD_suspend_connection(exchange->mhd);
}

void http_exchange_answer(struct http_exchange *exchange, unsigned status, struct MHD_Response *response,
                          uint64_t body_bytes)
{
    struct http_server *server = exchange->connection->server;
    assert(exchange->stage == HTTP_STAGE_HANDED_ON && exchange->response == NULL);
    exchange->status = status;
    exchange->response = response;
    exchange->answer_bytes = body_bytes;
    if (!exchange->suspended)
        return;
    MHD_resume_connection(exchange->mhd); /* from here on the exchange may be gone */
    atomic_fetch_sub_explicit(&server->suspended, 1, memory_order_release); /* and from here the server */
}
