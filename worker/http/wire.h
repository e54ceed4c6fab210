/* The wire: every byte of a client connection between libmicrohttpd and the kernel, both ways, with the
 * journal beside it.
 *
 * libmicrohttpd has no hook for this, so worker/http/wire.c defines recv(), send(), sendmsg() and
 * sendfile64() themselves: the dynamic linker gives libmicrohttpd ours instead of libc's. For descriptors
 * without a wire they are the plain system calls.
 *
 * - What is received is written by the kernel straight into the connection's journal slot and copied to the
 * caller from there.
 * - What a dead worker had taken out of the socket is handed to the caller first, as if it had come just now.
 * - Of what is sent, the part that a dead worker handed to the kernel is dropped, as if it had been sent just
 * now.
 *
 * So a connection whose worker died is served by ordinary code that notices nothing. Event thread, but for
 * http_wire_open(), which is called before libmicrohttpd knows the descriptor. */
#ifndef WORKER_HTTP_WIRE_H
#define WORKER_HTTP_WIRE_H

#include "shm/journal.h"

/* Where a connection stands between two requests, for other threads. */
enum http_wire_state {
    HTTP_WIRE_IDLE,     /* every request is answered and nothing of the next one was taken */
    HTTP_WIRE_ACTIVE,   /* a request has begun or is being answered */
    HTTP_WIRE_RELEASED, /* another process goes on with it: nothing may be read, written or shut down here */
    HTTP_WIRE_ENDED,
};

struct http_wire {
    struct shm_journal_slot *slot;
    uint64_t taken;        /* offset in the received stream, as libmicrohttpd has seen it */
    uint64_t sent;         /* offset in the sent stream, as libmicrohttpd believes */
    const uint8_t *replay; /* received by a worker that died, not handed to libmicrohttpd yet */
    size_t replay_bytes;
    uint64_t held_bytes;    /* of answered requests that the journal was not advanced by */
    uint64_t skip_bytes;    /* of the answer's beginning: the client has them */
    _Atomic uint32_t state; /* enum http_wire_state */
};

/* Puts the wire on a connected TCP socket. For a connection that had a worker before (the slot says so) it
 * finds out from the kernel where both streams stand. RC_CORRUPT when they do not fit the journal: the
 * connection cannot go on. RC_NO_MEMORY, RC_IO. */
RC_MUST_USE enum rc http_wire_open(struct http_wire *wire, int fd, struct shm_journal_slot *slot,
                                   uint64_t connection_id, struct err *err);
/* Before the descriptor is closed. */
void http_wire_close(int fd);

/* From now on no wire of this process begins a request: what has come for one stays in the kernel. Any
 * thread. */
void http_wire_retire(void);
/* Whether the wire is between two requests. Right after an answer this may still be one that ends with it.
 * Any thread. */
bool http_wire_is_idle(struct http_wire *wire);
/* Gives an idle connection up, as it is: true when it was idle; another process may go on with it from then
 * on. Any thread. */
bool http_wire_release(struct http_wire *wire);
/* The connection ends here. False when it has been given up: then it goes on elsewhere, and may not be shut
 * down. */
bool http_wire_end(struct http_wire *wire);

/* The answer to a request of `request_bytes` is sent and ends the connection: the journal stays at this request, so that a
 * worker that takes over now makes the answer again, sends nothing of it, and ends the connection too. */
void http_wire_hold(struct http_wire *wire, uint64_t request_bytes);
/* A request of `request_bytes` has been answered completely. False when a dead worker had sent more than this
 * answer has: the connection cannot go on. */
bool http_wire_advance(struct http_wire *wire, uint64_t request_bytes);
/* Where the current request begins in the received stream. */
uint64_t http_wire_request_start(struct http_wire *wire);
/* The Date of the answer to the current request: what a worker that died has decided, else now. */
int64_t http_wire_date_s(struct http_wire *wire);
/* Whether the answer says Connection: close because the server leaves: what a worker that died has sent, else
 * `draining`. Right before http_wire_may_answer(). */
bool http_wire_closes(struct http_wire *wire, bool draining);
/* The answer is made, and this is its shape; `sized` when it says its length. False when part of another answer has been
 * sent: the connection cannot go on. */
bool http_wire_may_answer(struct http_wire *wire, uint64_t fingerprint, bool sized);
/* How the answer to the current request was begun by a worker that died. Any thread while it is being made. */
enum shm_journal_framing http_wire_framing(struct http_wire *wire);

#endif
