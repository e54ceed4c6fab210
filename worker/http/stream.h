/* An answer's body that leaves while it is made: one thread makes it, the event thread sends it.
 *
 * The length is not known when the header leaves, so HTTP/1.1 gets chunks and HTTP/1.0 the end of the connection. What
 * stands on the wire is a function of the body alone, never of time: chunks are HTTP_STREAM_CHUNK_BYTES long, but for the
 * last one. So a worker that makes the answer again goes on at the byte where a dead one stopped.
 *
 * The maker may be ahead of the client by HTTP_STREAM_AHEAD_BYTES and what one call added; then it is to wait (giving its
 * processor to others) until half of that has left. A client on which nothing moves is ended by the idle time-out; the maker
 * may give up earlier (worker/answer.c: when many are slow at the same time).
 *
 * Made by http_reply_stream() (worker/http/reply.h). A crash leaves nothing; the journal says how the answer was framed. */
#ifndef WORKER_HTTP_STREAM_H
#define WORKER_HTTP_STREAM_H

#include "base/bytes.h"

#include <stdbool.h>

#define HTTP_STREAM_CHUNK_BYTES 16384u
#define HTTP_STREAM_AHEAD_BYTES (4u << 20)

struct http_account;
struct http_stream;

/* All of these: the maker's thread. */

/* Adds the bytes, which are taken over: `made` is empty afterwards. Never waits. RC_CANCELLED: the client has left, or the
 * server stops; RC_NO_MEMORY. */
RC_MUST_USE enum rc http_stream_write(struct http_stream *stream, struct bytes *made, struct err *err);
/* The client is so far behind that the maker should wait. */
bool http_stream_is_full(struct http_stream *stream);
/* Waits until the client has caught up, but not longer than `most_ms`. False: it is still behind. */
bool http_stream_wait(struct http_stream *stream, int most_ms);
/* As http_exchange_abandoned(). */
bool http_stream_abandoned(struct http_stream *stream);
/* What the making has cost since the answer began: stages and bytes are added to the exchange's account. */
void http_stream_account(struct http_stream *stream, const struct http_account *more);
/* The last call: the body is `whole`, or else the connection is cut, so that the client sees that something is missing.
 * The exchange's arena may be gone afterwards. Accepts an empty variable. */
void http_stream_end(struct http_stream **stream, bool whole);

#endif
