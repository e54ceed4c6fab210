#include "worker/request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/admin_change.h"
#include "worker/fault.h"
#include "worker/http/base_url.h"
#include "worker/http/caller.h"
#include "worker/limits.h"
#include "worker/poison.h"
#include "worker/render/cost.h"
#include "worker/request_steps.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WARM_UP_MS 10000.0 /* so dear is a request to the pool that only warms up */

/* Rounds of fetching that one request takes. A pyramid whose directories lie all over the file needs one for each. */
#define MOST_WAITS 200u

/* ---- on a render thread ---- */

/* Images take pixels; of a picture that others have opened only the shape may be known here. */
static bool has_picture(const struct request *request)
{
    return request->picture != NULL && (request->picture->source != NULL || request->iiif.what != IIIF_IMAGE);
}

void request_spent(struct request *request, enum shm_tally_stage stage, int64_t us)
{
    if (us > 0)
        http_exchange_account(request->exchange)->stage_us[stage] += (uint64_t)us;
}

static enum rc open_picture(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    struct picture *known = TAKE_PTR(request->picture), *picture = NULL;
    bool opened = false, needs_pixels = request->iiif.what == IIIF_IMAGE;
    int64_t begun_ns = clock_thread_cpu_ns();
    enum rc rc = (needs_pixels ? pictures_open : pictures_look)(
        service->pictures, request->identifier.path, request->identifier.page, &picture, &opened, err);
    assert(rc != RC_OK || picture != NULL);
    if (known != NULL && picture != NULL && known->version_hash != picture->version_hash)
        request->planned = false; /* replaced since */
    pictures_release(service->pictures, &known);
    request->picture = picture;
    int64_t spent_ns = clock_thread_cpu_ns() - begun_ns;
    request_spent(request, SHM_TALLY_DECODE, spent_ns / 1000);
    if (rc == RC_OK && opened)
        render_cost_learn_open(&service->segment->effort, spent_ns);
    if (rc == RC_OK && opened && request->picture->note != NULL)
        log_info("%s: %s", request->identifier.path, request->picture->note);
    return rc;
}

/* The same image of another version is not what those wait for who wait for this request. */
static void leave_flight_of_replaced(struct request *request)
{
    struct err err;
    if (!request->looked_up || request->picture->version_hash == request->looked_up_version)
        return;
    err_set(&err, RC_BUSY, "the source was replaced while it was read, please try again");
    worker_flight_fail(request->flight, &err);
    request->looked_up = request->tier_asked = false;
    request->flight = NULL;
}

static void work(struct request *request)
{
    struct err err;
    enum rc rc = RC_OK;
    if (request->web != REQUEST_NOT_WEB) {
        request_answer_web(request);
        return;
    }
    if (request->iiif.what == IIIF_PRESENTATION) {
        (request->wanted_activity != REQUEST_NO_ACTIVITY ? request_answer_activity
                                                         : request_answer_presentation)(request);
        return;
    }
    if (!has_picture(request)) {
        rc = open_picture(request, &err);
        if (rc == RC_OK)
            leave_flight_of_replaced(request);
    }
    if (rc == RC_AWAY)
        request_wait_for_source(request, request->identifier.path);
    else if (rc != RC_OK)
        request_fail_for_all(request, &err);
    else if (request->iiif.what == IIIF_IMAGE)
        request_answer_image(request);
    else
        request_answer_document(request);
}
static bool is_left(struct render_job *job);

/* Nobody waits for the answer any more. False: it is worth the work. */
static bool answer_left(struct request *request)
{
    struct err err;
    struct worker_flight *flight = request->flight;
    if (!is_left(&request->job))
        return false;
    err_set(&err, RC_BUSY, "the client has left");
    request_fail(request, &err);
    worker_flight_fail(flight, &err);
    return true;
}

/* One that has waited for others may have waited for its image to be quarantined. */
static bool was_poisoned_meanwhile(struct request *request)
{
    struct err err;
    struct worker_flight *flight = request->flight;
    struct worker_service *service = request->service;
    struct picture *picture = request->picture;
    if (!request->looked_up || !worker_poison_refuses_version(service, request->exchange,
                                                              &request->identifier, picture->version_hash))
        return false;
    pictures_release(service->pictures, &picture);
    err_set(&err, RC_BUSY, "the image is in quarantine");
    worker_flight_fail(flight, &err);
    return true;
}

/* The request may be over before the job is. */
static const char *name_of_copy(void *context)
{
    return context;
}

static void run_job(struct render_job *job)
{
    struct request *request = (struct request *)job;
    struct worker_service *service = request->service; /* the request is gone once it is answered */
    int64_t now_us = clock_monotonic_us();
    request_spent(request, SHM_TALLY_QUEUE, now_us - request->since_us);
    char id[HTTP_CALLER_ID_MOST + 1];
    snprintf(id, sizeof id, "%s", http_exchange_request_id(request->exchange));
    log_request(name_of_copy, id);
    worker_fault_begin(http_exchange_connection_id(request->exchange),
                       http_exchange_target(request->exchange), now_us / 1000);
    if (request->condemned)
        worker_poison_condemn(service, request->exchange, &request->identifier);
    else if (!answer_left(request) &&
             (request->picture != NULL
                  ? !was_poisoned_meanwhile(request)
                  : !worker_poison_refuses(service, request->exchange, &request->identifier)))
        work(request);
    worker_fault_end();
    log_request(NULL, NULL);
    atomic_fetch_sub_explicit(&service->slot->queued, 1, memory_order_relaxed);
}

/* Whether nobody waits for what the job is to make. */
static bool is_left(struct render_job *job)
{
    struct request *request = (struct request *)job;
    return http_exchange_abandoned(request->exchange) && !worker_flight_is_awaited(request->flight);
}

/* The exchange is suspended already. */
enum rc request_submit(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    int64_t wait_ms = 0;
    request->job.run = run_job;
    request->job.is_left = is_left;
    if (request->job.arrived_ms == 0) /* one that a dead worker had keeps its place in the order */
        request->job.arrived_ms = clock_monotonic_ms() - http_exchange_age_s(request->exchange) * 1000;
    request->since_us = clock_monotonic_us();
    if (request->warms_up && request->job.cost_ms < WARM_UP_MS)
        request->job.cost_ms += WARM_UP_MS;
    atomic_fetch_add_explicit(&service->slot->queued, 1, memory_order_relaxed);
    enum rc rc = render_pool_submit(service->pool, &request->job, &wait_ms, err);
    if (rc == RC_OK)
        return rc;
    atomic_fetch_sub_explicit(&service->slot->queued, 1, memory_order_relaxed);
    request->retry_after_s = (uint32_t)(wait_ms / 1000);
    return rc;
}

/* Lets the pool run the job, or refuses it. */
void request_queue(struct request *request)
{
    struct worker_flight *flight = request->flight;
    struct err err;
    if (request_submit(request, &err) == RC_OK)
        return;
    request_fail(request, &err);
    worker_flight_fail(flight, &err);
}

bool request_is_admitted(struct request *request)
{
    struct err err;
    uint32_t wait_s = 0;
    if (worker_limits_admit(request->service, request->exchange, &wait_s, &err))
        return true;
    request->retry_after_s = wait_s;
    request_fail(request, &err);
    return false;
}

void request_suspend(struct request *request)
{
    http_exchange_suspend(request->exchange);
    request->suspended = true;
}

void request_continue(struct request *request)
{
    if (!request_is_admitted(request))
        return;
    if (request->picture == NULL)
        request->job.cost_ms = render_cost_open_ms(&request->service->segment->effort);
    request_suspend(request);
    request_queue(request);
}

/* ---- a source that is far away ---- */

/* Parts of the source are here, or will not come. Not on a render thread, which is not held meanwhile. */
static void on_fetched(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    struct request *request = (struct request *)((char *)waiter - offsetof(struct request, waiter));
    struct worker_service *service = request->service;
    struct err late;
    request_spent(request, SHM_TALLY_FETCH, clock_monotonic_us() - request->since_us);
    if ((rc == RC_NOT_FOUND || rc == RC_FORBIDDEN) && request->iiif.what == IIIF_PRESENTATION)
        rc = RC_OK; /* a document can do without its sidecar, or a page */
    if (rc == RC_OK && clock_monotonic_ms() > request->deadline_ms) {
        rc = err_set(&late, RC_LATE, "the source did not come within %" PRId64 " s",
                     service->settings->render_timeout_s);
        err = &late;
    }
    if (rc == RC_OK)
        request_queue(request);
    else
        request_fail_for_all(request, err);
}

/* Whatever was planned is forgotten, since the source may have been replaced by then. */
void request_wait_for_source(struct request *request, const char *path)
{
    if (request->picture != NULL)
        request->looked_up_version = request->picture->version_hash;
    pictures_release(request->service->pictures, &request->picture);
    request->planned = false;
    if (++request->waits > MOST_WAITS) {
        struct err err;
        err_set(&err, RC_BUSY, "the source changes faster than it can be read, please try again");
        request_fail_for_all(request, &err);
        return;
    }
    request->waiter = (struct origin_waiter){.ready = on_fetched};
    request->since_us = clock_monotonic_us();
    origin_await(request->service->origin, path, &request->waiter);
}

/* ---- its beginning ---- */

/* "http://host/prefix" as the client sees this server; NULL when memory is out. */
static const char *find_base_url(struct request *request)
{
    const struct settings *settings = request->service->settings;
    bool trusted = http_peer_is_trusted(http_exchange_peer(request->exchange), settings->trusted_proxies);
    struct http_forwarding sent = {.host = request_header(request, "Host")};
    if (trusted) {
        sent.forwarded = request_header(request, "Forwarded");
        sent.x_forwarded_proto = request_header(request, "X-Forwarded-Proto");
        sent.x_forwarded_host = request_header(request, "X-Forwarded-Host");
        sent.x_forwarded_port = request_header(request, "X-Forwarded-Port");
        sent.x_forwarded_prefix = request_header(request, "X-Forwarded-Prefix");
    }
    return http_base_url(http_exchange_arena(request->exchange), settings->base_url, trusted, &sent);
}

static void handle(struct worker_service *service, struct http_exchange *exchange)
{
    uint32_t strikes = worker_poison_strikes(service, exchange);
    if (strikes > WORKER_POISON_STRIKES) { /* reading it may be what kills */
        worker_poison_give_up(exchange);
        return;
    }
    if (http_exchange_method(exchange) == HTTP_OPTIONS) {
        http_reply_options(exchange);
        return;
    }
    bool is_admin = http_exchange_listener(exchange) == HTTP_ADMIN;
    if (is_admin)
        worker_account_is(exchange, SHM_TALLY_COMMAND, SHM_TALLY_ADMIN);
    if (is_admin && worker_admin_change(service, exchange))
        return;
    if (http_exchange_method(exchange) == HTTP_OTHER || http_exchange_method(exchange) == HTTP_POST) {
        const struct http_header allow = {"Allow", "GET, HEAD, OPTIONS"};
        http_reply_text(exchange, 405, "text/plain; charset=utf-8",
                        "Only GET, HEAD and OPTIONS are answered here.\n", &allow, 1);
        return;
    }
    bool warms_up = is_admin && strncmp(http_exchange_target(exchange), "/iiif/", 6) == 0;
    if (is_admin && !warms_up) {
        worker_admin_handle(service, exchange);
        return;
    }
    if (warms_up && !worker_admin_is_allowed(service, exchange))
        return;
    struct request *request = arena_alloc(http_exchange_arena(exchange), sizeof *request);
    if (request == NULL) {
        struct err err;
        err_set(&err, RC_NO_MEMORY, "the server is out of memory, please try again");
        http_reply_error(exchange, &err);
        return;
    }
    request->service = service;
    request->exchange = exchange;
    request->condemned = strikes == WORKER_POISON_STRIKES;
    request->warms_up = warms_up;
    request->deadline_ms = http_exchange_account(exchange)->begun_us / 1000 +
                           service->settings->render_timeout_s * 1000;
    request->base_url = find_base_url(request);
    if (request->base_url == NULL)
        request_out_of_memory(request);
    else
        request_route(request);
}

static const char *name_of_exchange(void *context)
{
    return http_exchange_request_id(context);
}

void worker_service_handle(struct http_exchange *exchange, void *context)
{
    struct worker_service *service = context;
    atomic_fetch_add_explicit(&service->slot->requests, 1, memory_order_relaxed);
    worker_fault_begin(http_exchange_connection_id(exchange), http_exchange_target(exchange),
                       http_exchange_account(exchange)->begun_us / 1000);
    log_request(name_of_exchange, exchange);
    handle(service, exchange);
    log_request(NULL, NULL);
    worker_fault_end();
}
