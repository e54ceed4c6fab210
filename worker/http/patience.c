/* MHD ends connections on which nothing moves, but a client that sends one byte a minute moves. So a thread
 * looks at all connections from time to time: one that has sent more than the complete requests on it were
 * long is in the middle of a request, and has a limited time to finish it. The kernel counts what came, MHD
 * says how long each request was: requests themselves pay nothing for this. The same look finds idle
 * connections while draining. */
#include "base/clock.h"
#include "worker/http/exchange.h"

#include <linux/tcp.h> /* the one of the C library has no tcpi_bytes_received */

#define HTTP_PATIENCE_BATCH 256u /* connections looked at before others get the lock */
#define HTTP_DRAIN_EVERY_MS 50

static const char too_slow[] = "HTTP/1.1 408 Request Timeout\r\n"
                               "Connection: close\r\n"
                               "Access-Control-Allow-Origin: *\r\n"
                               "Content-Type: text/plain; charset=utf-8\r\n"
                               "Content-Length: 32\r\n"
                               "\r\n"
                               "The request took too long here.\n";

uint64_t http_patience_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
        return 0;
    return info.tcpi_bytes_received;
}

/* Whether part of a request has come; false as well while one is being answered. */
static bool is_within_request(struct http_connection *connection)
{
    if (connection->peer.ss_family == AF_UNIX) /* the kernel does not count there */
        return false;
    uint64_t received = http_patience_received(connection->fd);
    uint64_t taken = atomic_load_explicit(&connection->bytes_taken, memory_order_relaxed);
    return received != connection->bytes_before + taken;
}

static void look_at(struct http_server *server, struct http_connection *connection, int64_t now_ms,
                    bool draining)
{
    if (!connection->started || connection->released)
        return;
    uint32_t requests = atomic_load_explicit(&connection->requests, memory_order_relaxed);
    if (requests != connection->seen_requests) {
        connection->seen_requests = requests;
        connection->waiting_since_ms = 0;
    }
    if (atomic_load_explicit(&connection->busy, memory_order_acquire)) {
        connection->waiting_since_ms = 0;
        return;
    }
    if (!is_within_request(connection)) {
        connection->waiting_since_ms = 0;
        if (draining) /* MHD still reads what comes before it notices, and then ends the connection cleanly */
            shutdown(connection->fd, SHUT_RD);
        return;
    }
    if (connection->waiting_since_ms == 0) {
        connection->waiting_since_ms = now_ms;
    } else if (now_ms - connection->waiting_since_ms >= (int64_t)server->options.request_timeout_s * 1000) {
        /* Not send(): that belongs to the event thread (worker/http/wire.h). */
        sendto(connection->fd, too_slow, sizeof too_slow - 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
        shutdown(connection->fd, SHUT_RDWR);
    }
}

/* Called with the lock, returns with it. Connections that change places meanwhile are looked at next time. */
static void look_at_all(struct http_server *server, bool draining)
{
    int64_t now_ms = clock_monotonic_ms();
    for (uint32_t i = 0; i < server->table_count; i++) {
        look_at(server, server->table[i], now_ms, draining);
        if ((i + 1) % HTTP_PATIENCE_BATCH == 0) {
            pthread_mutex_unlock(&server->lock);
            pthread_mutex_lock(&server->lock);
        }
    }
}

static int64_t pause_ms(const struct http_server *server, bool draining)
{
    int64_t pause = (int64_t)server->options.request_timeout_s * 1000 / 8;
    if (draining)
        return HTTP_DRAIN_EVERY_MS;
    return pause > 2000 ? 2000 : pause;
}

static void *run(void *context)
{
    struct http_server *server = context;
    bool draining = false;
    pthread_mutex_lock(&server->lock);
    while (!server->patience_ends) {
        bool had_been = draining;
        draining = atomic_load_explicit(&server->draining, memory_order_relaxed);
        look_at_all(server, draining);
        if (server->patience_ends || (draining && !had_been))
            continue;
        clock_wait_until(&server->wake, &server->lock, clock_monotonic_ms() + pause_ms(server, draining));
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

enum rc http_patience_start(struct http_server *server, struct err *err)
{
    int error = pthread_create(&server->patience, NULL, run, server);
    if (error != 0)
        return err_set_errno(err, RC_IO, error, "the thread that watches connections does not start");
    return RC_OK;
}

void http_patience_stop(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->patience_ends = true;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->patience, NULL);
}
