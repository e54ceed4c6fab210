/* Answers. Exactly one of these functions is called per exchange, by whoever holds it: on the event thread in
 * the handler, or on a render thread after http_exchange_suspend() (the exchange is then resumed and sent by
 * the event thread). After the call the exchange belongs to the server again.
 *
 * Done here for every answer: Date, Server, CORS (Access-Control-Allow-Origin: * and -Expose-Headers), HEAD
 * without body, Content-Length or chunks, Connection: close while draining.
 *
 * X-Request-Id: one that a trusted proxy has sent comes back in every answer, being part of the request. One that was made here
 * (worker/http/caller.h) stands in errors and on the admin listener only. Other answers are kept by caches, which would show
 * one visitor's id to all others; and 2 % of the instructions of a stored tile are much for a line that nobody reads. Both are
 * the same again when another worker makes the answer. */
#ifndef WORKER_HTTP_REPLY_H
#define WORKER_HTTP_REPLY_H

#include "base/bytes.h"
#include "worker/http/server.h"
#include "worker/http/stream.h"

#include <time.h>

struct http_header {
    const char *name, *value;
};

#define HTTP_MAX_REPLY_HEADERS 12u

/* What is known of a representation before its body: enough to answer conditional requests. All optional but
 * etag. */
struct http_representation {
    const char *etag;     /* with quotes: "\"a1b2\"" ; always strong */
    time_t last_modified; /* 0: not said */
    const char *media_type;
    const char *cache_control;
    const char *vary;
    size_t header_count; /* further headers, e.g. Link */
    struct http_header header[HTTP_MAX_REPLY_HEADERS];
};

/* Whether the client has it already: If-None-Match (weak comparison, `*`), else If-Modified-Since. RFC 9110
 * §13.2.2. */
bool http_reply_is_not_modified(struct http_exchange *exchange,
                                const struct http_representation *representation);
void http_reply_not_modified(struct http_exchange *exchange,
                             const struct http_representation *representation);

/* 200, or 206/416 for Range (one range; several or a wrong unit: 200 with all) under If-Range; body taken
 * over. */
void http_reply_body(struct http_exchange *exchange, const struct http_representation *representation,
                     struct bytes *body);

/* Where an answer's bytes are, when they are not to be copied: in memory, or in a file from `offset` on. */
struct http_content {
    uint64_t length;
    const uint8_t *data; /* NULL: in the file */
    int fd;              /* taken over, and closed when the answer is sent; sendfile() */
    uint64_t offset;
    void (*release)(
        void *context); /* of memory: called once when the answer is sent or was not needed; may be NULL */
    void *context;
};

/* Of content that is not sent. */
void http_content_release(const struct http_content *content);

/* The same as http_reply_body() for content that is elsewhere. */
void http_reply_content(struct http_exchange *exchange, const struct http_representation *representation,
                        const struct http_content *content);

/* How an answer may be sent whose length is not known yet. */
enum http_reply_way {
    HTTP_REPLY_WHOLE, /* by http_reply_body() only: it is to have a length (a range is asked for), or was begun so by a
                            worker that died */
    HTTP_REPLY_EITHER,   /* as suits the body: a pure function of it decides */
    HTTP_REPLY_STREAMED, /* by http_reply_stream() only: a worker that died has begun so */
};
enum http_reply_way http_reply_way(struct http_exchange *exchange,
                                   const struct http_representation *representation);
/* 200 with a body that is made meanwhile (worker/http/stream.h). The exchange must be suspended. After success it belongs
 * to the server again, but its arena stays until http_stream_end(). RC_NO_MEMORY: nothing has happened. */
RC_MUST_USE enum rc http_reply_stream(struct http_exchange *exchange,
                                      const struct http_representation *representation,
                                      struct http_stream **ret_stream, struct err *err);
/* To a HEAD request: what http_reply_stream() says before the body. */
void http_reply_stream_head(struct http_exchange *exchange, const struct http_representation *representation);

/* Any status with a small text body; headers as given. `media_type` NULL: no body. */
void http_reply_text(struct http_exchange *exchange, unsigned status, const char *media_type,
                     const char *text, const struct http_header *headers, size_t header_count);

/* The status worker/http/status.h has for the code, the sentence and a full stop as text/plain, Retry-After
 * where it helps, no-store. */
void http_reply_error(struct http_exchange *exchange, const struct err *err);
/* The same; where it has a Retry-After, that says so many seconds, but at least 1 and at most a minute. */
void http_reply_error_later(struct http_exchange *exchange, const struct err *err, uint32_t retry_after_s);

/* 204 for OPTIONS: methods, the headers a preflight may ask for, max age. */
void http_reply_options(struct http_exchange *exchange);

#endif
