/* Requests to http(s) servers (cache/http_call.h), many at once: one thread carries all of a process.
 *
 * For the transport of remote origins (cache/web_transport.h) and the lists of buckets (cache/s3_folder.h). A call belongs to its maker;
 * the loop borrows it from http_loop_submit() until it calls `ended`. Call-backs come from the loop's thread and must not block for long.
 * libcurl's sockets are watched by epoll, so that what does not move costs nothing. Nothing survives a crash. */
#ifndef CACHE_HTTP_LOOP_H
#define CACHE_HTTP_LOOP_H

#include "cache/http_call.h"

struct http_loop;

/* What is submitted beyond that many waits for its turn, in order, twice its `stall_ms`: then it ends with RC_BUSY and has not been asked for. */
RC_MUST_USE enum rc http_loop_new(uint32_t most_connections, struct http_loop **ret_loop, struct err *err);
RC_MUST_USE enum rc http_loop_start(struct http_loop *loop, struct err *err);
void http_loop_submit(struct http_loop *loop, struct http_call *call);
/* Ends all calls, now and later, with RC_CANCELLED. */
void http_loop_cancel(struct http_loop *loop);
/* Cancels, waits until all have ended. */
void http_loop_free(struct http_loop **loop);

#endif
