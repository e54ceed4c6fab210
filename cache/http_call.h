/* One request to an http(s) server, by libcurl, of which this and cache/http_loop.c are the only users.
 *
 * Whoever asks a server fills in the request and its call-backs; http_call_now() carries it out in the caller's thread, which is for the
 * tools and for threads that have nothing else to do, and http_loop_submit() (cache/http_loop.h) beside all others of the process.
 * Redirects are not followed but reported; proxies of the environment are ignored; an answer stays as it was sent (nothing is
 * unpacked). A call belongs to its maker, who frees it with http_call_done() after its end. Nothing survives a crash. */
#ifndef CACHE_HTTP_CALL_H
#define CACHE_HTTP_CALL_H

#include "base/bytes.h"
#include "cache/http_answer.h"

#include <sys/socket.h>

struct http_call {
    struct http_call *next; /* the loop's, as */
    int64_t queued_ms;      /* since when it could be under way */
    /* http_call.c's */
    void *easy, *lines;  /* libcurl's, while it is under way */
    int64_t progress_ms; /* when something last moved, */
    size_t moved_bytes;  /* and what has moved since, as long as that is little */
    size_t head_bytes;
    int64_t sent_bytes;
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
    int64_t
        stall_ms; /* so long nothing may move: neither the head come nor 16 KiB of a body, nor what is left of it */
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

/* Carries one call out in this thread; `ended` may be NULL. Returns what `ended` would be told. */
RC_MUST_USE enum rc http_call_now(struct http_call *call, struct err *err);
/* Frees what belongs to a call that has ended. */
void http_call_done(struct http_call *call);

/* Host, port and whether it is https, of a URL; the host without brackets. False when it is none of http or https, or carries a
 * name or password. */
bool http_url_parts(const char *url, char *ret_host, size_t capacity, uint16_t *ret_port, bool *ret_secure);

/* ---- for http_loop.c ---- */

/* Makes libcurl's handle, call->easy, which leads back to the call (CURLINFO_PRIVATE). RC_NO_MEMORY: there is none. */
RC_MUST_USE enum rc http_call_begin(struct http_call *call, struct err *err);
/* After libcurl has ended it with this CURLcode: what `ended` is to be told. */
RC_MUST_USE enum rc http_call_outcome(struct http_call *call, int code, struct err *err);
/* Frees the handle, if there is one. */
void http_call_release(struct http_call *call);

#endif
