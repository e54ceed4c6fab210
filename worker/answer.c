#include "worker/answer.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/fault.h"

#define LOOK_EVERY_MS 100 /* whether a client that is behind has left */

/* Renders that wait for slow clients hold pixels and a thread each. When so many of one worker do, those are broken off
 * whose clients have not taken HTTP_STREAM_AHEAD_BYTES / 2 in SLOW_MS; a client that wants the rest asks for that range. */
#define MOST_BEHIND 16u
#define SLOW_MS     10000

void worker_answer_init(struct worker_answer *answer, struct worker_service *service,
                        struct http_exchange *exchange, const struct http_representation *representation,
                        bool streams)
{
    *answer = (struct worker_answer){.service = service,
                                     .exchange = exchange,
                                     .representation = representation,
                                     .target = http_exchange_target(exchange),
                                     .streams = streams};
}

/* ---- beginning ---- */

/* Whether the answer, as long as it is by now, leaves while it is made. */
static bool is_to_stream(const struct worker_answer *answer)
{
    switch (http_reply_way(answer->exchange, answer->representation)) {
    case HTTP_REPLY_WHOLE:
        return false;
    case HTTP_REPLY_STREAMED:
        return true;
    case HTTP_REPLY_EITHER:
        break;
    }
    return answer->streams && answer->body.length > WORKER_ANSWER_WHOLE_BYTES;
}

static enum rc begin_stream(struct worker_answer *answer, struct err *err)
{
    enum rc rc = http_reply_stream(answer->exchange, answer->representation, &answer->stream, err);
    if (rc == RC_OK)
        answer->begun = true;
    return rc;
}

static enum rc hand_on(struct worker_answer *answer, struct err *err)
{
    if (answer->body.length > 0)
        worker_flight_add(answer->flight, answer->body.data, answer->body.length);
    return http_stream_write(answer->stream, &answer->body, err);
}

/* ---- on the way ---- */

static bool is_too_slow(const struct worker_answer *answer, int64_t since_ms)
{
    return atomic_load_explicit(&answer->service->behind, memory_order_relaxed) > MOST_BEHIND &&
           clock_monotonic_ms() - since_ms > SLOW_MS;
}

/* The client's pace may be slow for as long as it moves at all (the idle time-out ends who does not) and not too many are as
 * slow. */
static enum rc wait_for_client(struct worker_answer *answer, struct err *err)
{
    int64_t since_ms = clock_monotonic_ms();
    bool left = false, slow = false;
    worker_fault_wait();
    worker_flight_let_go(answer->flight);
    render_pool_park(answer->service->pool);
    atomic_fetch_add_explicit(&answer->service->behind, 1, memory_order_relaxed);
    while (!left && !slow && !http_stream_wait(answer->stream, LOOK_EVERY_MS)) {
        left = http_stream_abandoned(answer->stream);
        slow = is_too_slow(answer, since_ms);
    }
    atomic_fetch_sub_explicit(&answer->service->behind, 1, memory_order_relaxed);
    render_pool_unpark(answer->service->pool);
    worker_fault_alive();
    if (slow && !left)
        return err_set(err, RC_IO, "its client is too slow, and so are %u others", MOST_BEHIND);
    return left ? err_set(err, RC_CANCELLED, "nobody waits for the picture any more") : RC_OK;
}

enum rc worker_answer_made(struct worker_answer *answer, struct err *err)
{
    enum rc rc = RC_OK;
    if (answer->stream == NULL) {
        if (!answer->streams || answer->body.length <= WORKER_ANSWER_WHOLE_BYTES || !is_to_stream(answer))
            return RC_OK;
        if (http_exchange_method(answer->exchange) == HTTP_HEAD) {
            answer->is_known = true; /* answered when nothing of the request is in use any more */
            return err_set(err, RC_CANCELLED, "the rest of the picture is not needed");
        }
        rc = begin_stream(answer, err);
    }
    if (rc == RC_OK)
        rc = hand_on(answer, err);
    if (rc == RC_OK && http_stream_is_full(answer->stream))
        rc = wait_for_client(answer, err);
    return rc;
}

bool worker_answer_abandoned(struct worker_answer *answer)
{
    return answer->stream != NULL ? http_stream_abandoned(answer->stream)
                                  : http_exchange_abandoned(answer->exchange);
}

/* ---- the end ---- */

/* What is whole and was not begun. */
static enum rc answer_at_once(struct worker_answer *answer, struct err *err)
{
    if (!is_to_stream(answer)) {
        answer->begun = true;
        if (answer->flight != NULL) {
            const struct http_content content = worker_flight_share(answer->flight, &answer->body);
            http_reply_content(answer->exchange, answer->representation, &content);
        } else {
            http_reply_body(answer->exchange, answer->representation, &answer->body);
        }
        return RC_OK;
    }
    if (http_exchange_method(answer->exchange) != HTTP_HEAD)
        return begin_stream(answer, err);
    answer->begun = true;
    http_reply_stream_head(answer->exchange, answer->representation);
    return RC_OK;
}

void worker_answer_finish(struct worker_answer *answer)
{
    struct err err;
    enum rc rc = answer->begun ? RC_OK : answer_at_once(answer, &err);
    if (rc != RC_OK) {
        http_reply_error(answer->exchange, &err);
        return;
    }
    if (answer->stream != NULL) {
        bool whole = hand_on(answer, &err) == RC_OK;
        http_stream_end(&answer->stream, whole);
    }
}

bool worker_answer_fail(struct worker_answer *answer, const struct err *err)
{
    if (answer->is_known) {
        answer->begun = true;
        http_reply_stream_head(answer->exchange, answer->representation);
    }
    if (answer->stream == NULL)
        return answer->begun;
    if (err->rc != RC_CANCELLED && err->rc != RC_BUSY)
        log_warning("%s: broken off: %s", answer->target, err->message);
    http_stream_end(&answer->stream, false);
    return true;
}

void worker_answer_done(struct worker_answer *answer)
{
    http_stream_end(&answer->stream, false);
    bytes_done(&answer->body);
}
