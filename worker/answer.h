/* An image's answer while its bytes are made: small ones are collected and sent with their length, larger ones leave while
 * they are made, where the format allows that.
 *
 * Which of the two it is follows from the body alone (its format, and whether it is longer than
 * WORKER_ANSWER_WHOLE_BYTES), or from how a worker that died has begun it; never from time. All bytes pass through
 * worker_answer_made() and worker_answer_finish(), and from there to whoever wants them, too (worker/flight.h).
 *
 * One per request, on the render thread that makes it. Owns bytes and stream; the rest is the request's. */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "worker/flight.h"
#include "worker/service.h"

#define WORKER_ANSWER_WHOLE_BYTES (256u << 10)

struct worker_answer {
    struct worker_service *service;
    struct http_exchange *exchange; /* not to be touched once `begun` */
    const struct http_representation *representation;
    const char *target; /* for the log */
    struct bytes body;  /* made and not handed on: where the encoder appends */
    bool streams;       /* the format does */
    bool is_known;      /* to HEAD: that it is long is all there is to know */
    bool begun;         /* the exchange is answered, or is being answered */
    struct http_stream *stream;
    struct worker_flight *flight; /* who else wants the bytes; or NULL */
};

/* `representation` is borrowed. The exchange must be suspended. */
void worker_answer_init(struct worker_answer *answer, struct worker_service *service,
                        struct http_exchange *exchange, const struct http_representation *representation,
                        bool streams);
/* `body` has grown. Waits while a slow client is too far behind; its thread's processor is others' meanwhile. RC_CANCELLED
 * as well when nothing more is needed (HEAD): worker_answer_fail() then answers. */
RC_MUST_USE enum rc worker_answer_made(struct worker_answer *answer, struct err *err);
/* Whether the client has left. */
bool worker_answer_abandoned(struct worker_answer *answer);
/* The body is complete: answers, or ends what was begun. The request is gone after this. */
void worker_answer_finish(struct worker_answer *answer);
/* There will be no more. True: the client has been told, mostly by cutting the connection. False: nothing was begun, and the
 * exchange is the caller's to answer. */
bool worker_answer_fail(struct worker_answer *answer, const struct err *err);
/* Frees what was not handed on; cuts what was not ended. */
void worker_answer_done(struct worker_answer *answer);

#endif
