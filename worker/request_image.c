#include "base/fdio.h"
#include "base/own.h"
#include "worker/fault.h"
#include "worker/iiif/zoom.h"
#include "worker/render/cost.h"
#include "worker/render/passthrough.h"
#include "worker/request_steps.h"

#include <assert.h>
#include <string.h>

/* ---- plans ---- */

/* What kind of image it is, for the tallies. */
static enum shm_tally_class class_of(const struct iiif_plan *plan, const struct image_pyramid *pyramid)
{
    const struct image_size tile = image_size_upright(pyramid->level[plan->level].tile, pyramid->orientation),
                            level = image_size_upright(pyramid->level[plan->level].size,
                                                       pyramid->orientation);
    if (plan->whole_picture)
        return plan->size.width_px <= SHM_TALLY_THUMBNAIL_PX && plan->size.height_px <= SHM_TALLY_THUMBNAIL_PX
                   ? SHM_TALLY_THUMBNAIL
                   : SHM_TALLY_FULL;
    uint64_t x = (uint64_t)plan->window_x_px, y = (uint64_t)plan->window_y_px;
    if (!plan->exact || tile.width_px == 0 || tile.height_px == 0 || x % tile.width_px != 0 ||
        y % tile.height_px != 0)
        return SHM_TALLY_REGION;
    bool is_wide = plan->size.width_px == tile.width_px, is_high = plan->size.height_px == tile.height_px;
    if (is_wide && is_high)
        return SHM_TALLY_TILE;
    bool is_last = (is_wide || x + plan->size.width_px == level.width_px) &&
                   (is_high || y + plan->size.height_px == level.height_px);
    return is_last && plan->size.width_px <= tile.width_px && plan->size.height_px <= tile.height_px
               ? SHM_TALLY_EDGE_TILE
               : SHM_TALLY_REGION;
}

/* Plans the image. RC_OK with *ret_done: answered without pixels (304). */
static enum rc plan_image(struct request *request, bool *ret_done, struct err *err)
{
    struct http_representation *representation = &request->representation;
    assert(request->picture != NULL);
    enum rc rc = request->iiif.zoom == IIIF_ZOOM_NONE
                     ? RC_OK
                     : iiif_zoom_resolve(&request->iiif, &request->picture->pyramid, err);
    if (rc != RC_OK)
        return rc;
    rc = iiif_plan_make(&request->iiif, &request->picture->pyramid, &request->service->limits, &request->plan,
                        err);
    if (rc != RC_OK)
        return rc;
    http_exchange_account(request->exchange)->class = (uint8_t)class_of(&request->plan,
                                                                        &request->picture->pyramid);
    char *canonical = request->canonical;
    iiif_plan_canonical(&request->plan, canonical);
    const char *id = request_id(request);
    const char *link = id == NULL ? NULL
                                  : arena_join(http_exchange_arena(request->exchange), "<", id, "/",
                                               canonical, ">;rel=\"canonical\"", NULL);
    if (link == NULL || !request_represent(request, canonical, representation))
        return err_set(err, RC_NO_MEMORY, "the server is out of memory, please try again");
    representation->media_type = image_encode_media_type(render_file_type(request->plan.format));
    representation->header[representation->header_count++] = (struct http_header){"Link", link};
    request->planned = true;
    *ret_done = request_is_not_modified(request, representation);
    return RC_OK;
}

static double cost_ms_of(const struct request *request)
{
    const struct worker_service *service = request->service;
    return render_cost_ms(&service->segment->effort, request->picture, &request->plan, &service->options);
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
            request_fail(request, &err);
        return;
    }
    http_reply_content(request->exchange, &request->representation, content);
}

static void refuse_wanted(struct worker_wanted *wanted, const struct err *err)
{
    request_fail(request_of(wanted), err);
}

static bool make_wanted(struct worker_wanted *wanted, struct worker_flight *flight, struct err *ret_err)
{
    struct request *request = request_of(wanted);
    request->looked_up = true;
    request->flight = flight;
    request->job.cost_ms = cost_ms_of(request);
    return request_submit(request, ret_err) == RC_OK;
}

/* False: this one is not cached. The key has the request's form of 3.0 whatever the version: the pixels are the same. */
static bool set_wanted(struct request *request)
{
    struct worker_wanted *wanted = &request->wanted;
    const char *canonical = request->canonical;
    char canonical_3[IIIF_CANONICAL_BYTES];
    if (request->plan.version != IIIF_3) {
        struct iiif_plan plan = request->plan;
        plan.version = IIIF_3;
        iiif_plan_canonical(&plan, canonical_3);
        canonical = canonical_3;
    }
    wanted->exchange = request->exchange;
    wanted->arena = http_exchange_arena(request->exchange);
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
        worker_flight_join(derivatives, &request->wanted, &request->flight))
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
    if (!request_is_admitted(request))
        return true;
    request_suspend(request);
    if (worker_flight_join(derivatives, &request->wanted, &request->flight))
        return true;
    struct worker_flight *flight = request->flight;
    if (make_wanted(&request->wanted, flight, &err))
        return true;
    request_fail(request, &err);
    worker_flight_fail(flight, &err);
    return true;
}

/* The same, where only the picture's shape is known. What is not in the cache is not begun either: the picture may turn out to
 * be of another version when it is opened. */
static bool answer_without_source(struct request *request)
{
    request->job.cost_ms = render_cost_open_ms(&request->service->segment->effort);
    return set_wanted(request) &&
           http_reply_way(request->exchange, &request->representation) != HTTP_REPLY_STREAMED &&
           worker_derivative_look(request->service->derivatives, &request->wanted, DERIVATIVES_QUICK) ==
               DERIVATIVES_HIT;
}

/* ---- the lower tier ---- */

/* By a thread of the tier. */
static void on_tier(struct tier_waiter *waiter, enum rc rc, struct bytes *body)
{
    struct request *request = (struct request *)(void *)((char *)waiter -
                                                         offsetof(struct request, tier_waiter));
    struct worker_flight *flight = request->flight;
    struct http_content content;
    struct err err;
    if (rc == RC_CANCELLED) {
        err_set(&err, RC_BUSY, "the server is going down");
        request_fail_for_all(request, &err);
        return;
    }
    if (rc != RC_OK) {
        request_queue(request);
        return;
    }
    if (flight != NULL) {
        content = worker_flight_share(flight, body);
    } else {
        content = (struct http_content){
            .length = body->length, .data = body->data, .fd = -1, .release = free, .context = body->data};
        *body = (struct bytes){0};
    }
    answer_wanted(&request->wanted, &content);
    worker_flight_end(flight);
}

/* On a render thread: whether the image is looked for in the lower tier, or was somebody else's to make. The request is gone then,
 * or comes back. */
static bool is_left_to_tier(struct request *request)
{
    struct tier *tier = worker_derivatives_tier(request->service->derivatives);
    if (request->tier_asked || !tier_may_have(tier, cost_ms_of(request)))
        return false;
    if (!is_ours_to_make(request))
        return true;
    request->tier_asked = true;
    request->tier_waiter = (struct tier_waiter){.ready = on_tier};
    return request->looked_up && tier_ask(tier, &request->wanted.key, &request->tier_waiter);
}

/* ---- rendered images ---- */

/* A job that was taken for a small one, before its picture was open, queues again among the large ones. */
static bool is_larger_than_thought(struct request *request)
{
    double cost_ms = cost_ms_of(request);
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
    if (is_left_to_tier(request))
        return;
    enum rc rc = render_want(request->picture, &request->plan, &err);
    if (rc == RC_AWAY) {
        request_wait_for_source(request, request->identifier.path);
        return;
    }
    if (rc != RC_OK) {
        request_fail_for_all(request, &err);
        return;
    }
    bool streams = image_encode_streams(render_file_type(request->plan.format));
    worker_answer_init(answer, request->service, request->exchange, &request->representation, streams);
    answer->flight = request->flight; /* of one that has looked already */
    rc = render_passthrough(request->picture, &request->plan, &request->service->options, true, &answer->body,
                            &err);
    if (rc == RC_OK)
        http_exchange_account(request->exchange)->read_bytes += answer->body.length;
    if (rc == RC_UNSUPPORTED) {
        bytes_done(&answer->body);
        if (!is_ours_to_make(request))
            return;
        answer->flight = request->flight;
        if (is_larger_than_thought(request)) {
            request_queue(request);
            return;
        }
        rc = request_render(request, &err);
    }
    if (rc == RC_AWAY && !answer->begun) { /* a block was lost meanwhile, or more is read than was expected */
        worker_answer_done(answer);
        request_wait_for_source(request, request->identifier.path);
        return;
    }
    if (rc == RC_OK &&
        tier_is_dear(worker_derivatives_tier(request->service->derivatives), request->spent_ms))
        worker_flight_is_dear(request->flight);
    struct worker_answer taken = *answer; /* the request's memory may go with the answer */
    pictures_release(request->service->pictures, &request->picture);
    if (rc == RC_OK)
        worker_answer_finish(&taken);
    else if (!worker_answer_fail(&taken, &err))
        request_fail(request, &err);
    worker_answer_done(&taken);
    worker_fault_end(); /* what follows is nobody's fault */
    if (rc == RC_OK)
        worker_flight_end(taken.flight);
    else
        worker_flight_fail(taken.flight, &err);
}

/* On a render thread, with the picture. */
void request_answer_image(struct request *request)
{
    struct err err;
    bool done = false;
    enum rc rc = request->planned ? RC_OK : plan_image(request, &done, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    else if (!done)
        answer_pixels(request);
}

/* What it costs to send what only has to be read. */
#define READ_MS 0.1

/* ---- stored tiles that are in memory ---- */

static struct kept_tile_name name_of(const struct request *request)
{
    return (struct kept_tile_name){.target = http_exchange_target(request->exchange),
                                   .base_url = request->base_url,
                                   .path = request->identifier.path,
                                   .version = request->picture->version_hash};
}

/* One that this worker has sent lately, for the same picture: nothing of it needs to be worked out again. */
static bool answer_kept_tile(struct request *request)
{
    const struct kept_tile_name name = name_of(request);
    struct kept_tile *tile = kept_tiles_find(request->service->tiles, &name, request_purged_ms(request));
    if (tile == NULL)
        return false;
    http_exchange_account(request->exchange)->class = tile->class;
    if (request_is_not_modified(request, &tile->representation))
        return true;
    const struct http_content content = kept_tile_content(tile);
    request_answer_content(request, &tile->representation, &content);
    return true;
}

static void answer_tile(struct request *request, struct bytes *body)
{
    const struct kept_tile_name name = name_of(request);
    struct http_account *account = http_exchange_account(request->exchange);
    struct http_content content;
    account->read_bytes += body->length;
    kept_tiles_offer(request->service->tiles, &name, &request->representation, account->class, body,
                     &content);
    request_answer_content(request, &request->representation, &content);
}

/* On the event thread: what an image request of an open picture needs no render thread for (errors, 304, stored tiles that
 * are in memory). */
bool request_answer_image_early(struct request *request)
{
    struct err err;
    bool done = false;
    if (answer_kept_tile(request))
        return true;
    enum rc rc = plan_image(request, &done, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    if (rc != RC_OK || done)
        return true;
    if (request->picture->source == NULL)
        return answer_without_source(request);
    OWN(bytes_done) struct bytes body = {0};
    /* Why not is nobody's concern: a render thread finds out again. */
    rc = render_passthrough(request->picture, &request->plan, &request->service->options, false, &body, NULL);
    if (rc == RC_OK)
        answer_tile(request, &body);
    else if (rc != RC_UNSUPPORTED)
        request->job.cost_ms = READ_MS;
    if (rc == RC_OK || (rc == RC_UNSUPPORTED && answer_from_cache(request)))
        return true;
    if (rc == RC_UNSUPPORTED)
        request->job.cost_ms = cost_ms_of(request);
    return false;
}
