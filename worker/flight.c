#include "worker/derivative_inside.h"

#include <stdlib.h>

#define SAY_AGAIN_MS 60000

/* ---- bodies ---- */

static void body_release(void *context)
{
    struct worker_shared_body *body = context;
    if (body == NULL || atomic_fetch_sub_explicit(&body->references, 1, memory_order_acq_rel) != 1)
        return;
    bytes_done(&body->bytes);
    free(body);
}

static struct http_content body_content(struct worker_shared_body *body)
{
    atomic_fetch_add_explicit(&body->references, 1, memory_order_relaxed);
    return (struct http_content){.length = body->bytes.length,
                                 .data = body->bytes.data,
                                 .fd = -1,
                                 .release = body_release,
                                 .context = body};
}

/* ---- who waits ---- */

void worker_flight_free(struct worker_flight *flight)
{
    body_release(flight->body);
    derivative_file_done(&flight->file);
    free(flight);
}

static void forget_making(struct worker_flight *flight)
{
    body_release(flight->body);
    flight->body = NULL;
    derivative_file_done(&flight->file);
    flight->file = DERIVATIVE_FILE_NONE;
    flight->file_failed = flight->is_dear = false;
}

void worker_flight_go_on(struct worker_flight *flight)
{
    struct worker_wanted *wanted;
    struct err err;
    forget_making(flight);
    while ((wanted = worker_flight_table_next(flight, WORKER_FLIGHT_LEAVES)) != NULL) {
        if (worker_derivative_look(flight->derivatives, wanted, DERIVATIVES_AGAIN) == DERIVATIVES_HIT) {
            atomic_fetch_add_explicit(&flight->derivatives->cache.shared->counters->shared, 1,
                                      memory_order_relaxed);
            continue;
        }
        flight->epoch = shm_fences_epoch(flight->derivatives->cache.shared->fences);
        worker_flight_renew_lease(flight);
        if (wanted->make(wanted, flight, &err))
            return;
        wanted->refuse(wanted, &err);
    }
    worker_flight_release_lease(flight);
    worker_flight_free(flight);
}

bool worker_flight_join(struct worker_derivatives *derivatives, struct worker_wanted *wanted,
                        struct worker_flight **ret_flight)
{
    bool is_ours;
    struct worker_flight *flight = worker_flight_table_enter(derivatives, wanted, &is_ours);
    if (flight != NULL && !is_ours)
        return true; /* whoever makes it may have answered already: the caller's memory is gone then */
    *ret_flight = flight;
    if (flight == NULL)
        return false;
    /* Somebody may have made it between our look and the lease. */
    if (worker_derivative_look(derivatives, wanted, DERIVATIVES_AGAIN) != DERIVATIVES_HIT)
        return false;
    worker_flight_go_on(flight);
    return true;
}

/* ---- the maker ---- */

struct http_content worker_flight_share(struct worker_flight *flight, struct bytes *body)
{
    struct worker_shared_body *shared = malloc(sizeof *shared);
    if (shared == NULL) { /* then it is the caller's alone */
        const struct http_content alone = {
            .length = body->length, .data = body->data, .fd = -1, .release = free, .context = body->data};
        *body = (struct bytes){0};
        return alone;
    }
    *shared = (struct worker_shared_body){.references = 1, .bytes = *body};
    *body = (struct bytes){0};
    flight->body = shared;
    return body_content(shared);
}

static void say(struct worker_derivatives *derivatives, const struct err *err)
{
    if (log_may_say(&derivatives->said, SAY_AGAIN_MS))
        log_warning("%s", err->message);
}

void worker_flight_add(struct worker_flight *flight, const void *data, size_t length)
{
    struct err err;
    enum rc rc = RC_OK;
    if (flight == NULL || flight->file_failed)
        return;
    if (flight->file.fd < 0)
        rc = derivative_file_begin(&flight->derivatives->cache, &flight->key, &flight->file, &err);
    if (rc == RC_OK)
        rc = derivative_file_add(&flight->file, &flight->key, data, length, &err);
    flight->file_failed = rc != RC_OK;
    if (rc != RC_OK && rc != RC_UNSUPPORTED)
        say(flight->derivatives, &err);
}

void worker_flight_let_go(struct worker_flight *flight)
{
    struct worker_flight *rest = flight != NULL ? worker_flight_table_replace(flight) : NULL;
    if (rest != NULL)
        worker_flight_go_on(rest);
}

void worker_flight_is_dear(struct worker_flight *flight)
{
    if (flight != NULL)
        flight->is_dear = true;
}

bool worker_flight_is_awaited(struct worker_flight *flight)
{
    if (flight == NULL)
        return false;
    pthread_mutex_lock(&flight->derivatives->lock);
    bool is_awaited = flight->first != NULL;
    pthread_mutex_unlock(&flight->derivatives->lock);
    return is_awaited;
}

static bool store(struct worker_flight *flight)
{
    struct err err;
    if (flight->body != NULL && flight->body->bytes.length > 0)
        worker_flight_add(flight, flight->body->bytes.data, flight->body->bytes.length);
    if (flight->file.fd < 0 || flight->file_failed)
        return false;
    enum rc rc = derivative_file_end(&flight->file, &flight->key, flight->epoch, &err);
    if (rc != RC_OK && rc != RC_UNSUPPORTED)
        say(flight->derivatives, &err);
    return rc == RC_OK;
}

/* Everybody here who waits gets the bytes. */
static void answer_all(struct worker_flight *flight, enum worker_flight_when_empty when_empty)
{
    struct worker_wanted *wanted;
    while ((wanted = worker_flight_table_next(flight, when_empty)) != NULL) {
        struct http_content content = body_content(flight->body);
        atomic_fetch_add_explicit(&flight->derivatives->cache.shared->counters->shared, 1,
                                  memory_order_relaxed);
        wanted->answer(wanted, &content);
    }
}

/* What cannot be shared: each makes it for itself, at the same time. */
static void make_alone(struct worker_flight *flight)
{
    struct worker_wanted *wanted;
    struct err err;
    while ((wanted = worker_flight_table_next(flight, WORKER_FLIGHT_LEAVES)) != NULL)
        if (worker_derivative_look(flight->derivatives, wanted, DERIVATIVES_AGAIN) != DERIVATIVES_HIT &&
            !wanted->make(wanted, NULL, &err))
            wanted->refuse(wanted, &err);
}

void worker_flight_end(struct worker_flight *flight)
{
    if (flight == NULL)
        return;
    struct worker_shared_body *body = flight->body;
    bool is_kept = body != NULL && derivatives_keep(&flight->derivatives->cache, &flight->key, flight->epoch,
                                                    body->bytes.data, body->bytes.length);
    if (is_kept) /* the others find it from now on, whatever becomes of the file */
        worker_flight_release_lease(flight);
    if (body != NULL)
        answer_all(flight, is_kept ? WORKER_FLIGHT_LEAVES : WORKER_FLIGHT_STAYS);
    if (store(flight) && flight->is_dear)
        tier_keep(flight->derivatives->tier, &flight->key);
    if (body != NULL)
        answer_all(flight, WORKER_FLIGHT_LEAVES); /* who came meanwhile */
    else
        make_alone(flight);
    worker_flight_release_lease(flight);
    worker_flight_free(flight);
}

void worker_flight_fail(struct worker_flight *flight, const struct err *err)
{
    struct worker_wanted *wanted;
    if (flight == NULL)
        return;
    /* Who is told when to come again is told so by the origin, which would tell the next the same. */
    if ((err->rc == RC_BUSY && err->retry_s == 0) || err->rc == RC_CANCELLED || err->rc == RC_NO_MEMORY) {
        worker_flight_go_on(flight);
        return;
    }
    while ((wanted = worker_flight_table_next(flight, WORKER_FLIGHT_LEAVES)) !=
           NULL) /* the same request fails in the same way */
        wanted->refuse(wanted, err);
    worker_flight_release_lease(flight);
    worker_flight_free(flight);
}
