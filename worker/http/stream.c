#include "worker/http/stream.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/http/exchange.h"

#include <string.h>
#include <sys/socket.h>

struct piece {
    struct piece *next;
    struct bytes bytes;
};

struct http_stream {
    pthread_mutex_t mutex;
    pthread_cond_t room;
    struct http_connection *connection; /* valid until `gone` */
    bool chunked;
    bool ended, whole;   /* the maker has said its last word */
    bool gone;           /* the exchange is over */
    bool asleep;         /* the connection is suspended until there is more to send */
    struct arena *arena; /* of the exchange that is over, which the maker may still use */
    struct piece *first, **last;
    size_t first_taken;  /* bytes of the first piece */
    uint64_t held_bytes; /* made and not yet taken */
    uint64_t taken_bytes;
};

/* ---- both sides ---- */

struct http_stream *http_stream_new(struct http_exchange *exchange)
{
    struct http_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    pthread_cond_init(&stream->room, NULL);
    pthread_mutex_init(&stream->mutex, NULL);
    stream->connection = exchange->connection;
    stream->chunked = !exchange->is_http_1_0;
    stream->last = &stream->first;
    return stream;
}

static void drop_first(struct http_stream *stream)
{
    struct piece *piece = stream->first;
    stream->first = piece->next;
    if (stream->first == NULL)
        stream->last = &stream->first;
    stream->first_taken = 0;
    bytes_done(&piece->bytes);
    free(piece);
}

void http_stream_free(struct http_stream *stream)
{
    while (stream->first != NULL)
        drop_first(stream);
    arena_free(stream->arena);
    pthread_cond_destroy(&stream->room);
    pthread_mutex_destroy(&stream->mutex);
    free(stream);
}

/* With the lock. */
static void wake(struct http_stream *stream)
{
    struct http_server *server = stream->connection->server;
    stream->asleep = false;
    MHD_resume_connection(stream->connection->exchange.mhd);
    atomic_fetch_sub_explicit(&server->suspended, 1, memory_order_release);
}

/* ---- the event thread ---- */

static size_t take(struct http_stream *stream, char *to, size_t length)
{
    size_t taken = 0;
    while (taken < length && stream->first != NULL) {
        const struct bytes *bytes = &stream->first->bytes;
        size_t left = bytes->length - stream->first_taken;
        size_t count = left < length - taken ? left : length - taken;
        memcpy(to + taken, bytes->data + stream->first_taken, count);
        taken += count;
        stream->first_taken += count;
        if (stream->first_taken == bytes->length)
            drop_first(stream);
    }
    stream->held_bytes -= taken;
    stream->taken_bytes += taken;
    return taken;
}

/* Ends the connection where the stream stands: the client sees what was sent and then the end. Saying so to MHD
 * (END_WITH_ERROR) would not do: 0.9.75 closes such a connection only when it comes to be the one that has rested longest.
 * What cannot be sent, it closes at once. */
static ssize_t cut(struct http_stream *stream, char *to, size_t room_bytes)
{
    shutdown(stream->connection->fd, SHUT_RDWR);
    memset(to, 0, room_bytes);
    return (ssize_t)room_bytes;
}

static ssize_t send_more(struct http_stream *stream, char *to, size_t room_bytes)
{
    if (stream->ended && !stream->whole)
        return cut(stream, to, room_bytes);
    /* Only a request whose header fills the connection's memory leaves less room: then no promise could be kept. */
    if (stream->chunked && room_bytes < HTTP_STREAM_CHUNK_BYTES)
        return cut(stream, to, room_bytes);
    if (stream->held_bytes >= HTTP_STREAM_CHUNK_BYTES || (stream->ended && stream->held_bytes > 0)) {
        size_t length = room_bytes < HTTP_STREAM_CHUNK_BYTES ? room_bytes : HTTP_STREAM_CHUNK_BYTES;
        size_t taken = take(stream, to, length);
        if (stream->held_bytes <= HTTP_STREAM_AHEAD_BYTES / 2)
            pthread_cond_signal(&stream->room);
        return (ssize_t)taken;
    }
    if (stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    stream->asleep = true;
    atomic_fetch_add_explicit(&stream->connection->server->suspended, 1, memory_order_relaxed);
    MHD_suspend_connection(stream->connection->exchange.mhd);
    return 0;
}

ssize_t http_stream_send(void *context, uint64_t position, char *to, size_t room_bytes)
{
    struct http_stream *stream = context;
    (void)position;
    pthread_mutex_lock(&stream->mutex);
    ssize_t count = send_more(stream, to, room_bytes);
    pthread_mutex_unlock(&stream->mutex);
    return count;
}

uint64_t http_stream_sent(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    uint64_t sent = stream->taken_bytes;
    pthread_mutex_unlock(&stream->mutex);
    return sent;
}

bool http_stream_leave(struct http_stream *stream, struct arena *arena)
{
    pthread_mutex_lock(&stream->mutex);
    stream->gone = true;
    bool ended = stream->ended;
    if (!ended)
        stream->arena = arena;
    pthread_cond_signal(&stream->room);
    pthread_mutex_unlock(&stream->mutex);
    if (ended)
        http_stream_free(stream);
    return !ended;
}

/* ---- the maker ---- */

/* With the lock. */
static bool is_lost(const struct http_stream *stream)
{
    return stream->gone || atomic_load_explicit(&stream->connection->server->stopping, memory_order_relaxed);
}

enum rc http_stream_write(struct http_stream *stream, struct bytes *made, struct err *err)
{
    if (made->length == 0)
        return RC_OK;
    OWN_FREE struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for another part of the answer");
    enum rc rc = RC_OK;
    pthread_mutex_lock(&stream->mutex);
    if (is_lost(stream)) {
        rc = err_set(err, RC_CANCELLED, "nobody waits for the answer any more");
    } else {
        *piece = (struct piece){.bytes = *made};
        *made = (struct bytes){0};
        stream->held_bytes += piece->bytes.length;
        *stream->last = piece;
        stream->last = &piece->next;
        piece = NULL;
        if (stream->asleep && stream->held_bytes >= HTTP_STREAM_CHUNK_BYTES)
            wake(stream);
    }
    pthread_mutex_unlock(&stream->mutex);
    return rc;
}

bool http_stream_is_full(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    bool full = !stream->gone && stream->held_bytes > HTTP_STREAM_AHEAD_BYTES;
    pthread_mutex_unlock(&stream->mutex);
    return full;
}

bool http_stream_wait(struct http_stream *stream, int most_ms)
{
    int64_t end_ms = clock_monotonic_ms() + most_ms;
    pthread_mutex_lock(&stream->mutex);
    while (!is_lost(stream) && stream->held_bytes > HTTP_STREAM_AHEAD_BYTES / 2 &&
           clock_wait_until(&stream->room, &stream->mutex, end_ms))
        continue;
    bool has_room = is_lost(stream) || stream->held_bytes <= HTTP_STREAM_AHEAD_BYTES / 2;
    pthread_mutex_unlock(&stream->mutex);
    return has_room;
}

bool http_stream_abandoned(struct http_stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    bool abandoned = stream->gone || http_connection_abandoned(stream->connection);
    pthread_mutex_unlock(&stream->mutex);
    return abandoned;
}

void http_stream_account(struct http_stream *stream, const struct http_account *more)
{
    pthread_mutex_lock(&stream->mutex);
    if (!stream->gone) {
        struct http_account *account = &stream->connection->exchange.account;
        for (unsigned i = 0; i < HTTP_ACCOUNT_STAGES; i++)
            account->stage_us[i] += more->stage_us[i];
        account->read_bytes += more->read_bytes;
    }
    pthread_mutex_unlock(&stream->mutex);
}

void http_stream_end(struct http_stream **slot, bool whole)
{
    struct http_stream *stream = TAKE_PTR(*slot);
    if (stream == NULL)
        return;
    pthread_mutex_lock(&stream->mutex);
    stream->ended = true;
    stream->whole = whole;
    bool gone = stream->gone;
    if (!gone && stream->asleep)
        wake(stream);
    pthread_mutex_unlock(&stream->mutex);
    if (gone)
        http_stream_free(stream);
}
