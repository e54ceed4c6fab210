/* Giving connections up to another worker: each as soon as it stands between two requests. Control thread. */
#include "worker/http/exchange.h"

void http_server_retire(struct http_server *server)
{
    (void)server;
    http_wire_retire();
}

/* Whether the connection is given up now. Idle at two looks with no request between them: right after an
 * answer libmicrohttpd may be about to end the connection, by Connection: close, and then the client waits
 * for that. */
static bool let_go(struct http_connection *connection)
{
    uint32_t requests = atomic_load_explicit(&connection->requests, memory_order_relaxed);
    bool is_idle = http_wire_is_idle(&connection->wire);
    bool was_idle = connection->seen_idle && connection->idle_requests == requests;
    connection->seen_idle = is_idle;
    connection->idle_requests = requests;
    return is_idle && was_idle && http_wire_release(&connection->wire);
}

uint32_t http_server_release(struct http_server *server)
{
    uint32_t left = 0;
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->table_count; i++) {
        struct http_connection *connection = server->table[i];
        if (connection->released)
            continue;
        connection->released = let_go(connection);
        if (connection->released)
            server->options.released(connection->id, server->options.context);
        else
            left++;
    }
    pthread_mutex_unlock(&server->lock);
    return left;
}
