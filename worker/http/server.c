#include "worker/http/exchange.h"

#include "base/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* MHD keeps a request's header and, behind it, the answer's in one block per connection, all of which it clears after
 * each request, and half of it before. This much is for the answer, for MHD's own notes on each request header, and
 * for its copy of the cookies (8 KB, as much as other servers take in one line); our limit then strikes before MHD's,
 * with a better answer. */
#define HTTP_ANSWER_HEADER_BYTES 12288u

/* How much of an answer the kernel takes before the network has taken it. Without a bound it takes megabytes,
 * and a client that reads slowly but steadily shows no sign of life here for longer than the idle time-out.
 */
#define HTTP_MAX_UNSENT_BYTES 262144

/* MHD takes an address of any kind and gives it back in its first callback for the connection: the way our
 * record gets to the event thread, where no other thread can be asked for it. */
struct record_address {
    sa_family_t family;
    struct http_connection *connection;
};

/* ---- the table of connections ---- */

static void table_insert(struct http_server *server, struct http_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    connection->index = server->table_count;
    server->table[server->table_count++] = connection;
    pthread_mutex_unlock(&server->lock);
}

static void table_remove(struct http_server *server, struct http_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    struct http_connection *last = server->table[--server->table_count];
    server->table[connection->index] = last;
    last->index = connection->index;
    pthread_mutex_unlock(&server->lock);
}

/* A place among max_connections, or false. */
static bool claim_place(struct http_server *server)
{
    uint32_t taken = atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    if (taken < server->options.max_connections)
        return true;
    atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
    return false;
}

static void forget(struct http_server *server, struct http_connection *connection)
{
    table_remove(server, connection);
    free(connection);
    atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
}

/* ---- connections, as MHD tells of them on the event thread ---- */

static void connection_started(struct http_server *server, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct record_address *address = (const void *)info->client_addr;
    *socket_context = address->connection;
    pthread_mutex_lock(&server->lock);
    address->connection->started = true;
    pthread_mutex_unlock(&server->lock);
}

static void connection_closed(struct http_server *server, struct http_connection *connection)
{
    uint64_t id = connection->id;
    /* MHD closes its descriptor next. The master's duplicate keeps the socket, so the end must be said by
     * shutdown(); and bytes nobody has read would make the last close() a reset that may destroy what the
     * client has not yet read of the answer. */
    bool is_ours = http_wire_end(&connection->wire);
    http_wire_close(connection->fd);
    if (is_ours) {
        shutdown(connection->fd, SHUT_WR);
        recv(connection->fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
        if (connection->wire.slot != NULL)
            shm_journal_end(connection->wire.slot);
    }
    forget(server, connection);
    if (is_ours)
        server->options.closed(id, server->options.context);
}

static void notify_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                              enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_started(context, mhd, socket_context);
    else
        connection_closed(context, *socket_context);
}

/* The target stays as it was sent: it is split before it is decoded. */
static size_t unescape_nothing(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context;
    (void)mhd;
    return strlen(text);
}

/* ---- start and stop ---- */

static struct MHD_Daemon *start_daemon(struct http_server *server)
{
    const struct http_server_options *options = &server->options;
    size_t memory_bytes = options->max_header_bytes + HTTP_ANSWER_HEADER_BYTES;
    if (memory_bytes < HTTP_STREAM_CHUNK_BYTES + HTTP_ANSWER_HEADER_BYTES) /* a chunk is made there, too */
        memory_bytes = HTTP_STREAM_CHUNK_BYTES + HTTP_ANSWER_HEADER_BYTES;
    /* One place more than ours: MHD counts a connection down just after telling us of its end. */
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)options->max_connections + 1, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)options->idle_timeout_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)memory_bytes, NULL},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)unescape_nothing, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)http_exchange_begin, server},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)http_exchange_end, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)notify_connection, server},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC |
                                MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK |
                                /* Reads a new connection without being told that something is there: what a
                                 * dead worker had read is not in the kernel any more. */
                                MHD_USE_TURBO,
                            0, NULL, NULL, http_exchange_step, server, MHD_OPTION_ARRAY, items,
                            MHD_OPTION_END);
}

static void free_server(struct http_server *server)
{
    while (server->spare_count > 0)
        arena_free(server->spare[--server->spare_count]);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server->table);
    free(server);
}

enum rc http_server_start(const struct http_server_options *options, struct http_server **ret_server,
                          struct err *err)
{
    struct http_server *server = calloc(1, sizeof *server);
    struct http_connection **table = calloc(options->max_connections, sizeof(struct http_connection *));
    if (server == NULL || table == NULL) {
        free(server);
        free(table);
        return err_set(err, RC_NO_MEMORY, "no memory for %u connections", options->max_connections);
    }
    server->options = *options;
    server->table = table;
    pthread_cond_init(&server->wake, NULL);
    pthread_mutex_init(&server->lock, NULL);
    turns_ask_short(); /* for the event thread, too */
    server->daemon = start_daemon(server);
    if (server->daemon == NULL) {
        free_server(server);
        return err_set_errno(err, RC_IO, errno, "the HTTP server does not start");
    }
    enum rc rc = http_patience_start(server, err);
    if (rc != RC_OK) {
        MHD_stop_daemon(server->daemon);
        free_server(server);
        return rc;
    }
    *ret_server = server;
    return RC_OK;
}

void http_server_stop(struct http_server **slot)
{
    struct http_server *server = *slot;
    if (server == NULL)
        return;
    *slot = NULL;
    atomic_store_explicit(&server->stopping, true, memory_order_relaxed);
    /* Whoever answered last may still be on the way out of http_exchange_answer(). */
    while (atomic_load_explicit(&server->suspended, memory_order_acquire) > 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    http_patience_stop(server);
    MHD_stop_daemon(server->daemon);
    /* Left are those that MHD had not begun with: it drops them without a word. */
    while (server->table_count > 0) {
        uint64_t id = server->table[0]->id;
        forget(server, server->table[0]);
        server->options.closed(id, server->options.context);
    }
    free_server(server);
}

void http_server_drain(struct http_server *server)
{
    atomic_store_explicit(&server->draining, true, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
}

uint32_t http_server_connections(struct http_server *server)
{
    return atomic_load_explicit(&server->connections, memory_order_relaxed);
}

/* ---- connections, as they are handed in ---- */

static void prepare_socket(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){HTTP_MAX_UNSENT_BYTES}, sizeof(int));
}

/* What others have read from the connection before: a worker that is no more. */
static uint64_t bytes_read_before(int fd)
{
    int unread = 0;
    uint64_t received = http_patience_received(fd);
    if (ioctl(fd, SIOCINQ, &unread) < 0 || unread < 0 || (uint64_t)unread > received)
        return received;
    return received - (uint64_t)unread;
}

static enum rc refuse_connection(int fd, enum rc rc, struct err *err, const char *why)
{
    shutdown(fd, SHUT_RDWR);
    close(fd);
    return err_set(err, rc, "%s", why);
}

enum rc http_server_adopt(struct http_server *server, int fd, const struct sockaddr_storage *peer,
                          enum http_listener listener, uint64_t connection_id, struct err *err)
{
    if (!claim_place(server))
        return refuse_connection(fd, RC_BUSY, err, "too many connections are open");
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
        return refuse_connection(fd, RC_NO_MEMORY, err, "no memory for another connection");
    }
    prepare_socket(fd);
    connection->server = server;
    connection->id = connection_id;
    connection->fd = fd;
    connection->listener = listener;
    connection->peer = *peer;
    if (server->options.journal == NULL) {
        connection->bytes_before = bytes_read_before(fd);
    } else {
        enum rc rc = http_wire_open(&connection->wire, fd,
                                    shm_journal_slot(server->options.journal, connection_id), connection_id,
                                    err);
        if (rc != RC_OK) {
            free(connection);
            atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
            shutdown(fd, SHUT_RDWR);
            close(fd);
            return rc;
        }
        connection->bytes_before = connection->wire.taken;
        if (connection->wire.replay_bytes > 0 && server->options.recovered != NULL)
            server->options.recovered(server->options.context);
    }
    table_insert(server, connection);
    const struct record_address address = {.family = AF_UNSPEC, .connection = connection};
    if (MHD_add_connection(server->daemon, fd, (const struct sockaddr *)&address, sizeof address) == MHD_YES)
        return RC_OK;
    int os_errno = errno;
    http_wire_close(fd);
    forget(server, connection);
    return err_set_errno(err, RC_NO_MEMORY, os_errno, "the HTTP server cannot take another connection");
}
