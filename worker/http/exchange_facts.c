/* What a handler may ask of an exchange: the request as it came, who sent it, and whether anybody still waits for the answer. */
#include "base/clock.h"
#include "worker/http/base_url.h"
#include "worker/http/exchange.h"
#include "worker/http/reply.h"

#include <poll.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct arena *http_exchange_arena(struct http_exchange *exchange)
{
    return exchange->arena;
}

struct http_account *http_exchange_account(struct http_exchange *exchange)
{
    return &exchange->account;
}

enum http_listener http_exchange_listener(const struct http_exchange *exchange)
{
    return exchange->connection->listener;
}

uint64_t http_exchange_connection_id(const struct http_exchange *exchange)
{
    return exchange->connection->id;
}

int64_t http_exchange_age_s(const struct http_exchange *exchange)
{
    int64_t ticks = (int64_t)time(NULL) -
                    exchange->date_s; /* the second of its beginning may just have ended */
    return ticks > 1 ? ticks - 1 : 0;
}

enum http_method http_exchange_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

const char *http_exchange_target(const struct http_exchange *exchange)
{
    return exchange->target;
}

const struct sockaddr_storage *http_exchange_peer(const struct http_exchange *exchange)
{
    return &exchange->connection->peer;
}

static enum MHD_Result note_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct http_exchange *exchange = context;
    (void)kind;
    exchange->field[exchange->field_count++] = (struct http_field){
        .name = name, .value = value != NULL ? value : "", .name_bytes = strlen(name)};
    return MHD_YES;
}

bool http_exchange_note_fields(struct http_exchange *exchange)
{
    int count = MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, NULL, NULL);
    if (count <= 0)
        return true;
    exchange->field = arena_room(exchange->arena, (size_t)count * sizeof *exchange->field);
    if (exchange->field != NULL)
        MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, note_field, exchange);
    return exchange->field != NULL;
}

const struct http_field *http_exchange_field(const struct http_exchange *exchange, const char *name,
                                             const struct http_field *from)
{
    size_t name_bytes = strlen(name);
    if (exchange->field_count == 0)
        return NULL;
    for (const struct http_field *field = from; field < exchange->field + exchange->field_count; field++)
        if (field->name_bytes == name_bytes && strcasecmp(field->name, name) == 0)
            return field;
    return NULL;
}

const char *http_exchange_header(struct http_exchange *exchange, const char *name)
{
    if (exchange->authority != NULL && strcasecmp(name, "Host") == 0)
        return exchange->authority;
    const struct http_field *field = http_exchange_field(exchange, name, exchange->field);
    const char *found = field != NULL ? field->value : NULL;
    while (found != NULL && (field = http_exchange_field(exchange, name, field + 1)) != NULL)
        found = arena_format(exchange->arena, "%s, %s", found, field->value);
    return found;
}

const char *http_exchange_given_id(struct http_exchange *exchange)
{
    const struct http_connection *connection = exchange->connection;
    if (exchange->has_looked_for_id)
        return exchange->given_id;
    exchange->has_looked_for_id = true;
    if (!http_peer_is_trusted(&connection->peer, connection->server->options.trusted_proxies))
        return NULL;
    const char *sent = http_exchange_header(exchange, "X-Request-Id");
    exchange->given_id = sent != NULL && http_caller_is_id(sent) ? sent : NULL;
    return exchange->given_id;
}

const char *http_exchange_request_id(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    const struct shm_journal_slot *slot = connection->wire.slot;
    if (http_exchange_given_id(exchange) != NULL)
        return exchange->given_id;
    if (exchange->made_id[0] == '\0')
        http_caller_make_id(slot != NULL ? slot->seed : 0, connection->id,
                            slot != NULL ? http_wire_request_start(&connection->wire) : 0, exchange->made_id);
    return exchange->made_id;
}

struct in6_addr http_exchange_caller(struct http_exchange *exchange)
{
    const struct http_connection *connection = exchange->connection;
    const char *trusted = connection->server->options.trusted_proxies;
    bool is_trusted = http_peer_is_trusted(&connection->peer, trusted);
    return http_caller(&connection->peer, trusted,
                       is_trusted ? http_exchange_header(exchange, "Forwarded") : NULL,
                       is_trusted ? http_exchange_header(exchange, "X-Forwarded-For") : NULL);
}

const char *http_exchange_method_name(const struct http_exchange *exchange)
{
    return exchange->method_name;
}

bool http_exchange_is_http_1_0(const struct http_exchange *exchange)
{
    return exchange->is_http_1_0;
}

bool http_connection_abandoned(struct http_connection *connection)
{
    if (atomic_load_explicit(&connection->server->stopping, memory_order_relaxed) ||
        atomic_load_explicit(&connection->gone, memory_order_relaxed))
        return true;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < atomic_load_explicit(&connection->look_again_ms, memory_order_relaxed))
        return false;
    atomic_store_explicit(&connection->look_again_ms, now_ms + HTTP_LOOK_EVERY_MS, memory_order_relaxed);
    /* The end of the client's bytes (POLLRDHUP) says little: who only half-closed still wants the answer. */
    struct pollfd poll_fd = {.fd = connection->fd};
    bool gone = poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0;
    if (gone)
        atomic_store_explicit(&connection->gone, true, memory_order_relaxed);
    return gone;
}

bool http_exchange_abandoned(const struct http_exchange *exchange)
{
    return http_connection_abandoned(exchange->connection);
}
