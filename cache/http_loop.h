/* Requests to http(s) servers; the only user of libcurl. One thread carries all requests of a process at once; the
 * tools that have no need of one ask http_call_now().
 *
 * A call belongs to its maker; the loop borrows it from http_loop_submit() until it calls `ended`. Call-backs come from the
 * loop's thread and must not block for long. Redirects are not followed but reported; proxies of the environment are ignored; an
 * answer stays as it was sent (nothing is unpacked). Nothing survives a crash. */
#ifndef CACHE_HTTP_LOOP_H
#define CACHE_HTTP_LOOP_H

#include "base/bytes.h"
#include "cache/http_answer.h"

#include <sys/socket.h>

struct http_loop;

struct http_call {
    /* the loop's */
    struct http_call *next;
    void *easy, *lines;
    int64_t progress_ms;
    bool head_given, refused_address;
    enum rc rc;
    struct err err;
    /* the request */
    const char *method; /* GET, HEAD, PUT, POST, DELETE */
    const char *url;
    const char *whom;     /* who is asked, for errors; NULL: the origin */
    struct bytes headers; /* "Name: value", a NUL behind each */
    const void *body;     /* with PUT and POST */
    size_t body_length;
    int64_t start_ms; /* monotonic; not before */
    int64_t stall_ms; /* so long nothing may move */
    /* Whether a connection to this address is allowed; NULL: to all. */
    bool (*allows)(const struct http_call *call, const struct sockaddr *address);
    /* Once, before the body; not RC_OK ends the call. May be NULL, as `body_came`. */
    enum rc (*head_came)(struct http_call *call, struct err *err);
    enum rc (*body_came)(struct http_call *call, const void *data, size_t length, struct err *err);
    /* RC_OK: an answer came whole, whatever its status. RC_LATE, RC_ORIGIN (no connection, or it was cut), RC_FORBIDDEN (the
     * address is not allowed), RC_CANCELLED, or what a call-back returned. */
    void (*ended)(struct http_call *call, enum rc rc, const struct err *err);
    /* the answer */
    struct http_answer answer;
    char *redirect; /* where it would go on; freed by http_call_done() */
};

/* libcurl's own preparations, which read files: once per process, before the box. */
RC_MUST_USE enum rc http_prepare(struct err *err);

RC_MUST_USE enum rc http_loop_new(uint32_t most_connections, struct http_loop **ret_loop, struct err *err);
RC_MUST_USE enum rc http_loop_start(struct http_loop *loop, struct err *err);
void http_loop_submit(struct http_loop *loop, struct http_call *call);
/* Ends all calls, now and later, with RC_CANCELLED. */
void http_loop_cancel(struct http_loop *loop);
/* Cancels, waits until all have ended. */
void http_loop_free(struct http_loop **loop);

/* Carries one call out in this thread; `ended` may be NULL. Returns what `ended` would be told. */
RC_MUST_USE enum rc http_call_now(struct http_call *call, struct err *err);
/* Frees what belongs to a call that has ended. */
void http_call_done(struct http_call *call);

/* Host, port and whether it is https, of a URL; the host without brackets. False when it is none of http or https, or carries a
 * name or password. */
bool http_url_parts(const char *url, char *ret_host, size_t capacity, uint16_t *ret_port, bool *ret_secure);

#endif
