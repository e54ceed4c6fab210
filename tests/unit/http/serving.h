/* A server on loopback for the tests of worker/http, and a client that reads answers one by one. Each test
 * program has its own copy; all of it runs on the test's thread but the handler, which the server calls. */
#ifndef TESTS_UNIT_HTTP_SERVING_H
#define TESTS_UNIT_HTTP_SERVING_H

#include "base/clock.h"
#include "worker/http/reply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h> /* after the headers that it needs */

struct serving {
    struct http_server *server;
    int listener;
    uint64_t next_id;
    _Atomic unsigned closed_count;
    _Atomic uint64_t closed_last;
    void (*handle)(struct http_exchange *exchange, struct serving *serving);
    _Atomic(struct http_exchange *) held; /* by the handler, for the test to answer */
};

struct client {
    int fd;
    size_t used;
    char buffer[65536];
};

struct reply {
    unsigned status;
    char head[8192];
    size_t length; /* Content-Length */
    char body[65536];
};

static void serving_handle(struct http_exchange *exchange, void *context)
{
    struct serving *serving = context;
    serving->handle(exchange, serving);
}

static void serving_closed(uint64_t id, void *context)
{
    struct serving *serving = context;
    atomic_store(&serving->closed_last, id);
    atomic_fetch_add(&serving->closed_count, 1);
}

static void serving_start(struct serving *serving, struct http_server_options options,
                          void (*handle)(struct http_exchange *, struct serving *))
{
    struct err err;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *serving = (struct serving){.handle = handle, .next_id = 100};
    options.handle = serving_handle;
    options.closed = serving_closed;
    options.context = serving;
    options.max_connections = options.max_connections ? options.max_connections : 64;
    options.idle_timeout_s = options.idle_timeout_s ? options.idle_timeout_s : 30;
    options.request_timeout_s = options.request_timeout_s ? options.request_timeout_s : 30;
    options.max_header_bytes = options.max_header_bytes ? options.max_header_bytes : 8192;
    assert_int_equal(http_server_start(&options, &serving->server, &err), RC_OK);
    serving->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(serving->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(serving->listener, 64), 0);
}

static inline void serving_stop(struct serving *serving)
{
    http_server_stop(&serving->server);
    assert_null(serving->server);
    close(serving->listener);
}

static inline void reply_text(struct http_exchange *exchange, const char *text)
{
    http_reply_text(exchange, 200, "text/plain", text, NULL, 0);
}

/* A handler. "/size/N": N bytes. Anything else: what counts as Host, and the target. */
static inline void handle_at_once(struct http_exchange *exchange, struct serving *serving)
{
    (void)serving;
    const char *target = http_exchange_target(exchange), *host = http_exchange_header(exchange, "host");
    unsigned size;
    struct err err;
    struct bytes body = {0};
    if (http_exchange_method(exchange) >= HTTP_POST) {
        const struct http_header allow = {"Allow", "GET"};
        http_reply_text(exchange, 405, "text/plain", "no\n", &allow, 1);
    } else if (sscanf(target, "/size/%u", &size) == 1 && bytes_reserve(&body, size, &err) == RC_OK) {
        for (body.length = 0; body.length < size; body.length++)
            body.data[body.length] = (uint8_t)('a' + body.length % 26);
        const struct http_representation representation = {.etag = "\"1\"", .media_type = "image/png"};
        http_reply_body(exchange, &representation, &body);
    } else {
        reply_text(exchange,
                   arena_format(http_exchange_arena(exchange), "%s %s", host != NULL ? host : "-", target));
    }
}

/* A connected client; *ret_accepted is the server's end, not yet handed in. */
static inline void connect_only(struct serving *serving, struct client *client, int *ret_accepted,
                                struct sockaddr_storage *ret_peer)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    struct timeval patience = {.tv_sec = 60};
    assert_int_equal(getsockname(serving->listener, (struct sockaddr *)&address, &length), 0);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->used = 0;
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, length), 0);
    length = sizeof *ret_peer;
    *ret_accepted = accept4(serving->listener, (struct sockaddr *)ret_peer, &length, SOCK_CLOEXEC);
    assert_true(*ret_accepted >= 0);
}

static inline void connect_client(struct serving *serving, struct client *client)
{
    struct err err;
    struct sockaddr_storage peer;
    int accepted;
    connect_only(serving, client, &accepted, &peer);
    assert_int_equal(
        http_server_adopt(serving->server, accepted, &peer, HTTP_PUBLIC, serving->next_id++, &err), RC_OK);
}

static inline void send_bytes(struct client *client, const void *data, size_t length)
{
    for (const char *p = data; length > 0;) {
        ssize_t sent = send(client->fd, p, length, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* the server may refuse to read on: its answer tells */
        p += sent;
        length -= (size_t)sent;
    }
}

static inline void send_text(struct client *client, const char *text)
{
    send_bytes(client, text, strlen(text));
}

/* "GET target" with a Host and further header lines (each with its line end). */
static inline void ask(struct client *client, const char *method, const char *target, const char *headers)
{
    char text[4096];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h.example\r\n%s\r\n", method, target, headers);
    send_text(client, text);
}

/* One more piece from the server; false at the end or after a minute. */
static inline bool receive_more(struct client *client)
{
    if (client->used == sizeof client->buffer)
        return false;
    ssize_t got = recv(client->fd, client->buffer + client->used, sizeof client->buffer - client->used, 0);
    if (got <= 0)
        return false;
    client->used += (size_t)got;
    return true;
}

static inline void consume(struct client *client, size_t length)
{
    memmove(client->buffer, client->buffer + length, client->used - length);
    client->used -= length;
}

/* The value of a header of `reply`, in static memory; NULL when absent. */
static inline const char *header_of(const struct reply *reply, const char *name)
{
    static char value[1024];
    size_t length = strlen(name);
    for (const char *line = strstr(reply->head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            const char *start = line + 2 + length + 1;
            start += strspn(start, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r"), start);
            return value;
        }
    return NULL;
}

#define assert_says(reply, name, value)             \
    do {                                            \
        const char *said_ = header_of(reply, name); \
        assert_non_null(said_);                     \
        assert_string_equal(said_, value);          \
    } while (0)

/* Reads one answer; false when the connection ends before it is complete. */
static inline bool receive(struct client *client, struct reply *reply, bool has_body)
{
    char *end;
    while ((end = memmem(client->buffer, client->used, "\r\n\r\n", 4)) == NULL)
        if (!receive_more(client))
            return false;
    size_t head = (size_t)(end - client->buffer) + 4;
    assert_true(head < sizeof reply->head);
    memcpy(reply->head, client->buffer, head);
    reply->head[head] = '\0';
    consume(client, head);
    assert_int_equal(sscanf(reply->head, "HTTP/1.1 %u ", &reply->status), 1);
    const char *length = header_of(reply, "Content-Length");
    reply->length = length == NULL ? 0 : strtoul(length, NULL, 10);
    assert_true(reply->length < sizeof reply->body);
    if (!has_body || reply->status == 304)
        return true;
    while (client->used < reply->length)
        if (!receive_more(client))
            return false;
    memcpy(reply->body, client->buffer, reply->length);
    reply->body[reply->length] = '\0';
    consume(client, reply->length);
    return true;
}

static inline void get(struct client *client, const char *target, const char *headers, struct reply *reply)
{
    ask(client, "GET", target, headers);
    assert_true(receive(client, reply, true));
}

/* Whether the server ends the connection (by FIN or reset) within `ms`, sending nothing more. */
static inline bool ends_within(struct client *client, int ms)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    char byte;
    return client->used == 0 && poll(&poll_fd, 1, ms) == 1 && recv(client->fd, &byte, 1, 0) <= 0;
}

#define A_MINUTE_MS 60000 /* as long as nobody waits when all is well */

/* Waits until `condition` holds, a minute at most. */
#define until(condition)                                            \
    do {                                                            \
        int64_t until_end_ms = clock_monotonic_ms() + A_MINUTE_MS;  \
        while (!(condition) && clock_monotonic_ms() < until_end_ms) \
            usleep(1000);                                           \
        assert_true(condition);                                     \
    } while (0)

static inline void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

#endif
