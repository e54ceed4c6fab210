#include "worker/request.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/admin_change.h"
#include "worker/answer.h"
#include "worker/derivative.h"
#include "worker/fault.h"
#include "worker/http/base_url.h"
#include "worker/http/status.h"
#include "worker/iiif/identifier.h"
#include "worker/iiif/info_json.h"
#include "worker/iiif/percent.h"
#include "worker/iiif/zoom.h"
#include "worker/poison.h"
#include "worker/render/cost.h"
#include "worker/render/passthrough.h"
#include "worker/service.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WARM_UP_MS 10000.0 /* so dear is a request to the pool that only warms up */

/* Rounds of fetching that one request takes. A pyramid whose directories lie all over the file needs one for each. */
#define MOST_WAITS 200u

/* Everything about one request while it is worked on; lives in its exchange's arena. */
struct request {
    struct render_job job; /* first: the pool hands back its address */
    struct worker_service *service;
    struct http_exchange *exchange;
    struct iiif_request iiif;
    struct iiif_identifier identifier;
    const char *base_url;
    struct picture *picture; /* one reference, from the moment it is found until the reply */
    bool condemned;          /* it has killed its worker twice: it is only to be answered */
    bool planned;            /* plan and representation of the image hold */
    struct iiif_plan plan;
    struct http_representation representation;
    struct worker_answer answer; /* of an image, while it is rendered */
    struct origin_waiter waiter; /* while parts of the source are fetched */
    uint32_t waits;
    int64_t deadline_ms;
    uint32_t retry_after_s; /* what a refusal says; 0: the usual */
    bool warms_up; /* nobody looks at it: everybody else goes first */
    bool suspended;
    bool looked_up;               /* it is not cached, and is this request's to make: with `flight`, or for itself alone */
    struct worker_wanted wanted;  /* by the cache of derivatives */
    struct worker_flight *flight; /* who wait for the same */
    uint64_t looked_up_version;   /* of the source, while parts of it are fetched */
};

static void suspend(struct request *request);
static enum rc submit(struct request *request, struct err *err);
static void queue(struct request *request);

/* ---- answers ---- */

/* The one place where an error is answered and, when it is ours or the source's fault, logged. */
static void fail(struct request *request, const struct err *err)
{
    struct worker_service *service = request->service;
    pictures_release(service->pictures, &request->picture);
    if (err->rc == RC_CORRUPT || err->rc == RC_IO || err->rc == RC_NO_MEMORY || err->rc == RC_TOO_LARGE)
        log_warning("%s: %s", http_exchange_target(request->exchange), err->message);
    worker_service_count(service, http_status_of(err->rc));
    http_reply_error_later(request->exchange, err, request->retry_after_s);
}

/* The same where others may wait for what this request was to make. */
static void fail_for_all(struct request *request, const struct err *err)
{
    struct worker_flight *flight = request->flight;
    fail(request, err);
    worker_flight_fail(flight, err);
}

/* Parts of the source are here, or will not come. Not on a render thread, which is not held meanwhile. */
static void on_fetched(struct origin_waiter *waiter, enum rc rc, const struct err *err)
{
    struct request *request = (struct request *)((char *)waiter - offsetof(struct request, waiter));
    struct worker_service *service = request->service;
    struct err late;
    if (rc == RC_OK && clock_monotonic_ms() > request->deadline_ms) {
        rc = err_set(&late, RC_LATE, "the source did not come within %" PRId64 " s",
                     service->settings->render_timeout_s);
        err = &late;
    }
    if (rc == RC_OK)
        queue(request);
    else
        fail_for_all(request, err);
}

/* On a render thread, which is free again afterwards: the request starts over when what is missing is here. Whatever was planned
 * is forgotten, since the source may have been replaced by then. */
static void wait_for_source(struct request *request)
{
    if (request->picture != NULL)
        request->looked_up_version = request->picture->version_hash;
    pictures_release(request->service->pictures, &request->picture);
    request->planned = false;
    if (++request->waits > MOST_WAITS) {
        struct err err;
        err_set(&err, RC_BUSY, "the source changes faster than it can be read, please try again");
        fail_for_all(request, &err);
        return;
    }
    request->waiter = (struct origin_waiter){.ready = on_fetched};
    origin_await(request->service->origin, request->identifier.path, &request->waiter);
}

static const char *header_or_null(struct request *request, const char *name)
{
    return http_exchange_header(request->exchange, name);
}

/* "http://host/prefix" as the client sees this server; NULL when memory is out. */
static const char *find_base_url(struct request *request)
{
    const struct settings *settings = request->service->settings;
    const struct http_forwarding sent = {
        .host = header_or_null(request, "Host"),
        .forwarded = header_or_null(request, "Forwarded"),
        .x_forwarded_proto = header_or_null(request, "X-Forwarded-Proto"),
        .x_forwarded_host = header_or_null(request, "X-Forwarded-Host"),
        .x_forwarded_port = header_or_null(request, "X-Forwarded-Port"),
        .x_forwarded_prefix = header_or_null(request, "X-Forwarded-Prefix"),
    };
    bool trusted = http_peer_is_trusted(http_exchange_peer(request->exchange), settings->trusted_proxies);
    return http_base_url(http_exchange_arena(request->exchange), settings->base_url, trusted, &sent);
}

static const char *image_id(struct request *request)
{
    return arena_format(http_exchange_arena(request->exchange), "%s/iiif/%d/%s", request->base_url,
                        (int)request->iiif.version, request->iiif.raw_identifier);
}

/* A strong validator: changes with the source's version and with everything else that decides the bytes. */
static const char *make_etag(struct request *request, const char *what)
{
    uint64_t parts[] = {request->picture->version_hash, request->service->options_hash,
                        request->identifier.page};
    uint64_t hash = bytes_hash(BYTES_HASH_START, parts, sizeof parts);
    hash = bytes_hash(hash, request->identifier.path, strlen(request->identifier.path));
    hash = bytes_hash(hash, what, strlen(what));
    return arena_format(http_exchange_arena(request->exchange), "\"%016" PRIx64 "\"", hash);
}

/* Fills what info and image answers have in common; false when memory is out. */
static bool represent(struct request *request, const char *what, struct http_representation *ret)
{
    *ret = (struct http_representation){
        .etag = make_etag(request, what),
        .last_modified = request->picture->version.modified.tv_sec,
        .cache_control = request->service->settings->cache_control,
    };
    ret->header[ret->header_count++] = (struct http_header){
        "Link", request->iiif.version == IIIF_3 ? "<http://iiif.io/api/image/3/level2.json>;rel=\"profile\""
                                                : "<http://iiif.io/api/image/2/level2.json>;rel=\"profile\""};
    return ret->etag != NULL;
}

static void out_of_memory(struct request *request)
{
    struct err err;
    err_set(&err, RC_NO_MEMORY, "the server is out of memory, please try again");
    fail(request, &err);
}

/* Ends a request whose representation is known: 304 where the client has it. False: it needs the body. */
static bool answer_not_modified(struct request *request, const struct http_representation *representation)
{
    if (!http_reply_is_not_modified(request->exchange, representation))
        return false;
    pictures_release(request->service->pictures, &request->picture);
    worker_service_count(request->service, 304);
    http_reply_not_modified(request->exchange, representation);
    return true;
}

static void answer_body(struct request *request, const struct http_representation *representation,
                        struct bytes *body)
{
    pictures_release(request->service->pictures, &request->picture);
    worker_service_count(request->service, 200);
    atomic_fetch_add_explicit(&request->service->segment->counters.bytes_sent, body->length,
                              memory_order_relaxed);
    http_reply_body(request->exchange, representation, body);
}

/* What a picture is in one of the other protocols. */
static void answer_descriptor(struct request *request)
{
    struct http_representation representation;
    struct err err;
    OWN(bytes_done) struct bytes body = {0};
    const char *what = request->iiif.zoom == IIIF_ZOOM_DEEPZOOM ? "deepzoom" : "zoomify";
    if (!represent(request, what, &representation)) {
        out_of_memory(request);
        return;
    }
    representation.media_type = "application/xml";
    if (answer_not_modified(request, &representation))
        return;
    enum rc rc = iiif_zoom_descriptor(request->iiif.zoom, &request->picture->source->pyramid, &body, &err);
    if (rc != RC_OK)
        fail(request, &err);
    else
        answer_body(request, &representation, &body);
}

static void answer_info(struct request *request)
{
    struct http_representation representation;
    const char *id = image_id(request);
    const char *media_type = iiif_info_media_type(request->iiif.version, header_or_null(request, "Accept"));
    const char *what = arena_format(http_exchange_arena(request->exchange), "%s %s", id, media_type);
    if (id == NULL || what == NULL || !represent(request, what, &representation)) {
        out_of_memory(request);
        return;
    }
    const struct settings *settings = request->service->settings;
    representation.media_type = media_type;
    representation.vary =
        settings->base_url[0] == '\0' && settings->trusted_proxies[0] != '\0'
            ? "Accept, Forwarded, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Prefix"
            : "Accept";
    if (answer_not_modified(request, &representation))
        return;
    struct err err;
    OWN(bytes_done) struct bytes body = {0};
    enum rc rc = iiif_info_json(request->iiif.version, id, &request->picture->source->pyramid,
                                &request->service->limits, &body, &err);
    if (rc != RC_OK)
        fail(request, &err);
    else
        answer_body(request, &representation, &body);
}

static void answer_document(struct request *request)
{
    if (request->iiif.what == IIIF_ZOOM_DESCRIPTOR)
        answer_descriptor(request);
    else
        answer_info(request);
}

/* ---- images ---- */

/* Whether nobody waits for it, or it has taken too long. */
static bool is_given_up(void *context)
{
    struct request *request = context;
    /* Once the answer has begun, how long it takes is the client's to decide. */
    bool late = !request->answer.begun && clock_monotonic_ms() > request->deadline_ms;
    return late || (worker_answer_abandoned(&request->answer) && !worker_flight_is_awaited(request->flight));
}

/* Between two bands. */
static bool is_cancelled(void *context)
{
    struct request *request = context;
    if (render_pool_is_wanted(request->service->pool)) {
        worker_fault_wait();
        render_pool_yield(request->service->pool);
    }
    worker_fault_alive();
    return is_given_up(request);
}

static enum rc has_made_more(void *context, struct err *err)
{
    struct request *request = context;
    worker_fault_alive();
    return worker_answer_made(&request->answer, err);
}

/* WebP and AVIF encode whole pictures and show no progress meanwhile: a megapixel of AVIF takes 0.7 s of one CPU. */
static uint32_t silence_ms(const struct iiif_plan *plan)
{
    bool silent = plan->format == IIIF_WEBP || plan->format == IIIF_AVIF;
    uint64_t ms = silent ? image_size_area(plan->size) / 250 : 0;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static enum rc render(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    struct shm_effort *effort = &service->segment->effort;
    uint64_t memory_bytes = render_memory_bytes(request->picture, &request->plan);
    worker_fault_wait();
    if (is_given_up(request) || !render_pool_claim(service->pool, memory_bytes, is_given_up, request))
        return err_set(err, RC_BUSY, "the request had waited too long, please try again");
    worker_fault_allow(silence_ms(&request->plan));
    worker_fault_alive();
    const struct render_output output = {
        .bytes = &request->answer.body, .cancelled = is_cancelled, .made = has_made_more, .context = request};
    struct render_spent spent;
    enum rc rc = render_picture(request->picture, &request->plan, &service->options, &output, &spent, err);
    render_pool_return(service->pool, memory_bytes);
    if (rc != RC_AWAY) {
        atomic_fetch_add_explicit(&service->slot->renders, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&service->segment->counters.renders, 1, memory_order_relaxed);
    }
    if (rc == RC_OK)
        render_cost_learn(effort, request->picture, &request->plan, &spent);
    if (rc == RC_CANCELLED) /* also when the client has left: the sentence is then for nobody */
        return err_set(err, RC_BUSY, "the image took longer than %" PRId64 " s, please try again",
                       service->settings->render_timeout_s);
    return rc;
}

/* Plans the image. RC_OK with *ret_done: answered without pixels (304). */
static enum rc plan_image(struct request *request, bool *ret_done, struct err *err)
{
    struct http_representation *representation = &request->representation;
    assert(request->picture != NULL);
    enum rc rc = request->iiif.zoom == IIIF_ZOOM_NONE
                     ? RC_OK
                     : iiif_zoom_resolve(&request->iiif, &request->picture->source->pyramid, err);
    if (rc != RC_OK)
        return rc;
    rc = iiif_plan_make(&request->iiif, &request->picture->source->pyramid, &request->service->limits,
                        &request->plan, err);
    if (rc != RC_OK)
        return rc;
    char canonical[IIIF_CANONICAL_BYTES];
    iiif_plan_canonical(&request->plan, canonical);
    const char *id = image_id(request);
    const char *link = id == NULL ? NULL
                                  : arena_format(http_exchange_arena(request->exchange),
                                                 "<%s/%s>;rel=\"canonical\"", id, canonical);
    if (link == NULL || !represent(request, canonical, representation))
        return err_set(err, RC_NO_MEMORY, "the server is out of memory, please try again");
    representation->media_type = image_encode_media_type(render_file_type(request->plan.format));
    representation->header[representation->header_count++] = (struct http_header){"Link", link};
    request->planned = true;
    *ret_done = answer_not_modified(request, representation);
    return RC_OK;
}

/* ---- cached images ---- */

static struct request *request_of(struct worker_wanted *wanted)
{
    return (struct request *)(void *)((char *)wanted - offsetof(struct request, wanted));
}

/* A worker that died had begun to send it in chunks, so that is how it has to go on. */
static enum rc stream_content(struct request *request, const struct http_content *content, struct err *err)
{
    struct worker_answer answer;
    worker_answer_init(&answer, request->service, request->exchange, &request->representation, true);
    enum rc rc = bytes_reserve(&answer.body, content->length, err);
    if (rc == RC_OK && content->data != NULL)
        memcpy(answer.body.data, content->data, content->length);
    else if (rc == RC_OK)
        rc = fdio_pread_exact(content->fd, answer.body.data, content->length, content->offset, err);
    answer.body.length = rc == RC_OK ? content->length : 0;
    if (rc == RC_OK)
        worker_answer_finish(&answer);
    worker_answer_done(&answer);
    http_content_release(content);
    return rc;
}

static void answer_wanted(struct worker_wanted *wanted, const struct http_content *content)
{
    struct request *request = request_of(wanted);
    struct err err;
    pictures_release(request->service->pictures, &request->picture);
    if (request->suspended &&
        http_reply_way(request->exchange, &request->representation) == HTTP_REPLY_STREAMED) {
        if (stream_content(request, content, &err) != RC_OK)
            fail(request, &err);
        return;
    }
    worker_service_count(request->service, 200);
    atomic_fetch_add_explicit(&request->service->segment->counters.bytes_sent, content->length,
                              memory_order_relaxed);
    http_reply_content(request->exchange, &request->representation, content);
}

static void refuse_wanted(struct worker_wanted *wanted, const struct err *err)
{
    fail(request_of(wanted), err);
}

static bool make_wanted(struct worker_wanted *wanted, struct worker_flight *flight, struct err *ret_err)
{
    struct request *request = request_of(wanted);
    request->looked_up = true;
    request->flight = flight;
    request->job.cost_ms = render_cost_ms(&request->service->segment->effort, request->picture, &request->plan);
    return submit(request, ret_err) == RC_OK;
}

/* False: this one is not cached. The key has the request's form of 3.0 whatever the version: the pixels are the same. */
static bool set_wanted(struct request *request)
{
    struct worker_wanted *wanted = &request->wanted;
    struct iiif_plan plan = request->plan;
    char canonical[IIIF_CANONICAL_BYTES];
    plan.version = IIIF_3;
    iiif_plan_canonical(&plan, canonical);
    wanted->exchange = request->exchange;
    wanted->deadline_ms = request->deadline_ms;
    wanted->answer = answer_wanted;
    wanted->refuse = refuse_wanted;
    wanted->make = make_wanted;
    return request->service->derivatives != NULL &&
           derivative_key_make(&wanted->key, request->picture->version_hash, request->service->options_hash,
                               request->identifier.page, request->identifier.path, canonical) == RC_OK;
}

/* On a render thread: whether the image is this request's to make. Else it is answered, or waits, and is gone. */
static bool is_ours_to_make(struct request *request)
{
    struct worker_derivatives *derivatives = request->service->derivatives;
    if (request->looked_up || !set_wanted(request))
        return true;
    if (worker_derivative_look(derivatives, &request->wanted, DERIVATIVES_THOROUGH) == DERIVATIVES_HIT ||
        worker_derivative_join(derivatives, &request->wanted, &request->flight))
        return false;
    request->looked_up = true;
    return true;
}

/* On the event thread: whether the image has been answered, or is on its way to be. */
static bool answer_from_cache(struct request *request)
{
    struct worker_derivatives *derivatives = request->service->derivatives;
    struct err err;
    if (!set_wanted(request) ||
        http_reply_way(request->exchange, &request->representation) == HTTP_REPLY_STREAMED)
        return false;
    enum derivatives_found found = worker_derivative_look(derivatives, &request->wanted, DERIVATIVES_QUICK);
    if (found != DERIVATIVES_MISS)
        return found == DERIVATIVES_HIT;
    suspend(request);
    if (worker_derivative_join(derivatives, &request->wanted, &request->flight))
        return true;
    struct worker_flight *flight = request->flight;
    if (make_wanted(&request->wanted, flight, &err))
        return true;
    fail(request, &err);
    worker_flight_fail(flight, &err);
    return true;
}

/* ---- rendered images ---- */

/* A job that was taken for a small one, before its picture was open, queues again among the large ones. */
static bool is_larger_than_thought(struct request *request)
{
    double cost_ms = render_cost_ms(&request->service->segment->effort, request->picture, &request->plan);
    if (cost_ms <= RENDER_POOL_SMALL_MS || request->job.cost_ms > RENDER_POOL_SMALL_MS)
        return false;
    request->job.cost_ms = cost_ms;
    return true;
}

/* On a render thread, with a plan. The request is gone afterwards, or in the queue again. */
static void answer_pixels(struct request *request)
{
    struct err err;
    struct worker_answer *answer = &request->answer;
    enum rc rc = render_want(request->picture, &request->plan, &err);
    if (rc == RC_AWAY) {
        wait_for_source(request);
        return;
    }
    if (rc != RC_OK) {
        fail_for_all(request, &err);
        return;
    }
    bool streams = image_encode_streams(render_file_type(request->plan.format));
    worker_answer_init(answer, request->service, request->exchange, &request->representation, streams);
    answer->flight = request->flight; /* of one that has looked already */
    rc = render_passthrough(request->picture, &request->plan, &request->service->options, true, &answer->body,
                            &err);
    if (rc == RC_UNSUPPORTED) {
        bytes_done(&answer->body);
        if (!is_ours_to_make(request))
            return;
        answer->flight = request->flight;
        if (is_larger_than_thought(request)) {
            queue(request);
            return;
        }
        rc = render(request, &err);
    }
    if (rc == RC_AWAY && !answer->begun) { /* a block was lost meanwhile, or more is read than was expected */
        worker_answer_done(answer);
        wait_for_source(request);
        return;
    }
    struct worker_answer taken = *answer; /* the request's memory may go with the answer */
    pictures_release(request->service->pictures, &request->picture);
    if (rc == RC_OK)
        worker_answer_finish(&taken);
    else if (!worker_answer_fail(&taken, &err))
        fail(request, &err);
    worker_answer_done(&taken);
    worker_fault_end(); /* what follows is nobody's fault */
    if (rc == RC_OK)
        worker_flight_end(taken.flight);
    else
        worker_flight_fail(taken.flight, &err);
}

/* On a render thread, with the picture. */
static void answer_image(struct request *request)
{
    struct err err;
    bool done = false;
    enum rc rc = request->planned ? RC_OK : plan_image(request, &done, &err);
    if (rc != RC_OK)
        fail(request, &err);
    else if (!done)
        answer_pixels(request);
}

/* What it costs to send what only has to be read. */
#define READ_MS 1.0

/* On the event thread: what an image request of an open picture needs no render thread for (errors, 304, stored tiles that
 * are in memory). */
static bool answer_image_early(struct request *request)
{
    struct err err;
    bool done = false;
    enum rc rc = plan_image(request, &done, &err);
    if (rc != RC_OK)
        fail(request, &err);
    if (rc != RC_OK || done)
        return true;
    OWN(bytes_done) struct bytes body = {0};
    rc = render_passthrough(request->picture, &request->plan, &request->service->options, false, &body, &err);
    if (rc == RC_OK)
        answer_body(request, &request->representation, &body);
    else if (rc != RC_UNSUPPORTED)
        request->job.cost_ms = READ_MS;
    else
        request->job.cost_ms = render_cost_ms(&request->service->segment->effort, request->picture, &request->plan);
    return rc == RC_OK || (rc == RC_UNSUPPORTED && answer_from_cache(request));
}

/* ---- the way ---- */

static enum rc open_picture(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    bool opened = false;
    int64_t begun_ns = clock_thread_cpu_ns();
    enum rc rc = pictures_open(service->pictures, request->identifier.path, request->identifier.page,
                               &request->picture, &opened, err);
    assert(rc != RC_OK || request->picture != NULL);
    if (rc == RC_OK && opened)
        render_cost_learn_open(&service->segment->effort, clock_thread_cpu_ns() - begun_ns);
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
    request->looked_up = false;
    request->flight = NULL;
}

static void work(struct request *request)
{
    struct err err;
    enum rc rc = RC_OK;
    if (request->picture == NULL) {
        rc = open_picture(request, &err);
        if (rc == RC_OK)
            leave_flight_of_replaced(request);
    }
    if (rc == RC_AWAY)
        wait_for_source(request);
    else if (rc != RC_OK)
        fail_for_all(request, &err);
    else if (request->iiif.what == IIIF_IMAGE)
        answer_image(request);
    else
        answer_document(request);
}
static bool is_left(struct render_job *job);

/* Waiting has already made the answer pointless. False: it is worth the work. */
static bool answer_late(struct request *request)
{
    struct err err;
    bool left = is_left(&request->job);
    struct worker_flight *flight = request->flight;
    if (!request->job.late && !left)
        return false;
    int64_t wait_ms = left ? 0 : render_pool_wait_ms(request->service->pool, request->job.cost_ms);
    request->retry_after_s = (uint32_t)(wait_ms / 1000);
    err_set(&err, RC_BUSY, "the image had waited for %" PRId64 " s and others wait, too; please try again later",
            request->service->settings->queue_deadline_s);
    fail(request, &err);
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
    if (!request->looked_up || !worker_poison_refuses_version(service, request->exchange, &request->identifier,
                                                              picture->version_hash))
        return false;
    pictures_release(service->pictures, &picture);
    err_set(&err, RC_BUSY, "the image is in quarantine");
    worker_flight_fail(flight, &err);
    return true;
}

static void run_job(struct render_job *job)
{
    struct request *request = (struct request *)job;
    struct worker_service *service = request->service; /* the request is gone once it is answered */
    worker_fault_begin(http_exchange_connection_id(request->exchange),
                       http_exchange_target(request->exchange));
    if (request->condemned)
        worker_poison_condemn(service, request->exchange, &request->identifier);
    else if (!answer_late(request) &&
             (request->picture != NULL
                  ? !was_poisoned_meanwhile(request)
                  : !worker_poison_refuses(service, request->exchange, &request->identifier)))
        work(request);
    worker_fault_end();
    atomic_fetch_sub_explicit(&service->slot->queued, 1, memory_order_relaxed);
}

/* Whether nobody waits for what the job is to make. */
static bool is_left(struct render_job *job)
{
    struct request *request = (struct request *)job;
    return http_exchange_abandoned(request->exchange) && !worker_flight_is_awaited(request->flight);
}

/* The exchange is suspended already. */
static enum rc submit(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    int64_t wait_ms = 0;
    request->job.run = run_job;
    request->job.is_left = is_left;
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
static void queue(struct request *request)
{
    struct worker_flight *flight = request->flight;
    struct err err;
    if (submit(request, &err) == RC_OK)
        return;
    fail(request, &err);
    worker_flight_fail(flight, &err);
}

static void suspend(struct request *request)
{
    http_exchange_suspend(request->exchange);
    request->suspended = true;
}

static void continue_on_render_thread(struct request *request)
{
    if (request->picture == NULL)
        request->job.cost_ms = render_cost_open_ms(&request->service->segment->effort);
    suspend(request);
    queue(request);
}

static void answer_redirect(struct request *request, unsigned status, const char *location)
{
    if (location == NULL) {
        out_of_memory(request);
        return;
    }
    const struct http_header header = {"Location", location};
    const char *text = arena_format(http_exchange_arena(request->exchange), "See %s\n", location);
    worker_service_count(request->service, status);
    http_reply_text(request->exchange, status, "text/plain; charset=utf-8", text != NULL ? text : "", &header,
                    1);
}

/* True when the identifier is retired and the request therefore answered: 301 to the same request of the new one, or 410.
 * `path` is the target behind its `prefix` and begins with the identifier. */
static bool answer_retired(struct request *request, const char *prefix, const char *path)
{
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1], encoded[IIIF_PERCENT_ENCODED_BYTES(IIIF_MAX_IDENTIFIER_BYTES)];
    enum gateway_retired retired = gateway_retired(request->service->gateway, request->iiif.identifier, now);
    struct err err;
    if (retired == GATEWAY_RETIRED_GONE) {
        err_set(&err, RC_GONE, "the image '%.100s' has been withdrawn", request->iiif.identifier);
        fail(request, &err);
    } else if (retired == GATEWAY_RETIRED_MOVED) {
        iiif_percent_encode(now, strlen(now), encoded);
        answer_redirect(request, 301,
                        arena_format(http_exchange_arena(request->exchange), "%s%s%s%s", request->base_url,
                                     prefix, encoded, path + strlen(request->iiif.raw_identifier)));
    }
    return retired != GATEWAY_RETIRED_NO;
}

/* A request without a version goes to the newest; to an older one where only that understands its parameters. */
static void answer_unversioned(struct request *request, const char *path, size_t length)
{
    struct iiif_request parsed;
    bool is_old = iiif_request_parse(IIIF_3, path, length, &parsed, NULL) == RC_BAD_REQUEST &&
                  iiif_request_parse(IIIF_2, path, length, &parsed, NULL) == RC_OK;
    answer_redirect(request, 302,
                    arena_format(http_exchange_arena(request->exchange), "%s/iiif/%d/%s", request->base_url,
                                 is_old ? IIIF_2 : IIIF_3, path));
}

/* A request for an image, once its text is understood. */
static void handle_image(struct request *request, const char *prefix, const char *path)
{
    struct err err;
    if (answer_retired(request, prefix, path))
        return;
    enum rc rc = gateway_source(request->service->gateway, request->iiif.identifier, &request->identifier,
                                &err);
    if (rc != RC_OK) {
        fail(request, &err);
        return;
    }
    if (request->iiif.what == IIIF_BASE) {
        const char *id = image_id(request);
        answer_redirect(
            request, 303,
            id == NULL ? NULL : arena_format(http_exchange_arena(request->exchange), "%s/info.json", id));
        return;
    }
    if (request->condemned) {
        continue_on_render_thread(request);
        return;
    }
    request->picture = pictures_peek(request->service->pictures, request->identifier.path,
                                     request->identifier.page);
    if (request->picture != NULL &&
        worker_poison_refuses_version(request->service, request->exchange, &request->identifier,
                                      request->picture->version_hash))
        pictures_release(request->service->pictures, &request->picture);
    else if (request->picture != NULL && request->iiif.what != IIIF_IMAGE)
        answer_document(request);
    else if (request->picture == NULL || !answer_image_early(request))
        continue_on_render_thread(request);
}

static const struct {
    const char *prefix;
    enum iiif_version version;
    enum iiif_zoom_protocol zoom;
} image_routes[] = {
    {"/iiif/3/", IIIF_3, IIIF_ZOOM_NONE},
    {"/iiif/2/", IIIF_2, IIIF_ZOOM_NONE},
    {"/deepzoom/", IIIF_3, IIIF_ZOOM_DEEPZOOM},
    {"/zoomify/", IIIF_3, IIIF_ZOOM_ZOOMIFY},
};

/* False: the target is none of an image. */
static bool route_image(struct request *request, const char *target, size_t length)
{
    for (size_t i = 0; i < sizeof image_routes / sizeof image_routes[0]; i++) {
        const char *prefix = image_routes[i].prefix;
        size_t start = strlen(prefix);
        if (length < start || memcmp(target, prefix, start) != 0)
            continue;
        struct err err;
        enum rc rc = image_routes[i].zoom == IIIF_ZOOM_NONE
                         ? iiif_request_parse(image_routes[i].version, target + start, length - start,
                                              &request->iiif, &err)
                         : iiif_zoom_parse(image_routes[i].zoom, target + start, length - start,
                                           &request->iiif, &err);
        if (rc != RC_OK)
            fail(request, &err);
        else
            handle_image(request, prefix, target + start);
        return true;
    }
    return false;
}

static void route(struct request *request)
{
    struct err err;
    const char *target = http_exchange_target(request->exchange);
    size_t length = strcspn(target, "?#");
    if (route_image(request, target, length))
        return;
    if (length > 6 && memcmp(target, "/iiif/", 6) == 0) {
        answer_unversioned(request, target + 6, length - 6);
    } else if (request->condemned) {
        worker_poison_give_up(request->service, request->exchange);
    } else {
        err_set(&err, RC_NOT_FOUND,
                "there is nothing at '%.100s'; images are at /iiif/3/{identifier}/info.json", target);
        fail(request, &err);
    }
}

static void handle(struct worker_service *service, struct http_exchange *exchange)
{
    uint32_t strikes = worker_poison_strikes(service, exchange);
    if (strikes > WORKER_POISON_STRIKES) { /* reading it may be what kills */
        worker_poison_give_up(service, exchange);
        return;
    }
    if (http_exchange_method(exchange) == HTTP_OPTIONS) {
        worker_service_count(service, 204);
        http_reply_options(exchange);
        return;
    }
    bool is_admin = http_exchange_listener(exchange) == HTTP_ADMIN;
    if (is_admin && worker_admin_change(service, exchange))
        return;
    if (http_exchange_method(exchange) == HTTP_OTHER || http_exchange_method(exchange) == HTTP_POST) {
        const struct http_header allow = {"Allow", "GET, HEAD, OPTIONS"};
        worker_service_count(service, 405);
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
        worker_service_count(service, http_status_of(err.rc));
        http_reply_error(exchange, &err);
        return;
    }
    request->service = service;
    request->exchange = exchange;
    request->condemned = strikes == WORKER_POISON_STRIKES;
    request->warms_up = warms_up;
    request->deadline_ms = clock_monotonic_ms() + service->settings->render_timeout_s * 1000;
    request->base_url = find_base_url(request);
    if (request->base_url == NULL)
        out_of_memory(request);
    else
        route(request);
}

void worker_service_handle(struct http_exchange *exchange, void *context)
{
    struct worker_service *service = context;
    atomic_fetch_add_explicit(&service->slot->requests, 1, memory_order_relaxed);
    worker_fault_begin(http_exchange_connection_id(exchange), http_exchange_target(exchange));
    handle(service, exchange);
    worker_fault_end();
}
