#include "base/clock.h"
#include "worker/fault.h"
#include "worker/render/cost.h"
#include "worker/request_steps.h"

#include <inttypes.h>

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

/* What a thread that helps works on, so that it is blamed for the right request. */
struct helped {
    uint64_t connection_id;
    const char *target;
    _Atomic uint64_t read_bytes;
};

static void begin_help(void *context)
{
    struct helped *helped = context;
    worker_fault_begin(helped->connection_id, helped->target, clock_monotonic_ms());
    atomic_fetch_sub_explicit(&helped->read_bytes, image_blob_thread_bytes(), memory_order_relaxed);
}

static void end_help(void *context)
{
    struct helped *helped = context;
    atomic_fetch_add_explicit(&helped->read_bytes, image_blob_thread_bytes(), memory_order_relaxed);
    worker_fault_end();
}

/* What the render has cost goes to the account; once the answer has begun to leave, only by way of its stream. */
static void tell_spent(struct request *request, const struct render_spent *spent, uint64_t read_bytes)
{
    struct http_account more = {.read_bytes = read_bytes};
    int64_t rest_ns = spent->total_ns - spent->decode_ns - spent->encode_ns;
    if (spent->joined) {
        more.stage_us[SHM_TALLY_ENCODE] = (uint64_t)(spent->total_ns / 1000);
    } else {
        more.stage_us[SHM_TALLY_DECODE] = (uint64_t)(spent->decode_ns / 1000);
        more.stage_us[SHM_TALLY_ENCODE] = (uint64_t)(spent->encode_ns / 1000);
        more.stage_us[SHM_TALLY_RESAMPLE] = rest_ns > 0 ? (uint64_t)(rest_ns / 1000) : 0;
    }
    if (request->answer.stream != NULL) {
        http_stream_account(request->answer.stream, &more);
        return;
    }
    for (unsigned stage = 0; stage < SHM_TALLY_STAGES; stage++)
        request_spent(request, stage, (int64_t)more.stage_us[stage]);
    http_exchange_account(request->exchange)->read_bytes += read_bytes;
}

enum rc request_render(struct request *request, struct err *err)
{
    struct worker_service *service = request->service;
    struct shm_effort *effort = &service->segment->effort;
    uint64_t memory_bytes = render_memory_bytes(request->picture, &request->plan);
    worker_fault_wait();
    if (is_given_up(request) || !render_pool_claim(service->pool, memory_bytes, is_given_up, request))
        return err_set(err, RC_BUSY, "the request had waited too long, please try again");
    worker_fault_allow(silence_ms(&request->plan));
    worker_fault_alive();
    struct helped helped = {http_exchange_connection_id(request->exchange), request->answer.target, 0};
    const struct render_help help = {
        .pool = service->pool, .begin = begin_help, .end = end_help, .context = &helped};
    const struct render_output output = {.bytes = &request->answer.body,
                                         .cancelled = is_cancelled,
                                         .made = has_made_more,
                                         .context = request,
                                         .help = &help};
    struct render_spent spent;
    uint64_t read_before = image_blob_thread_bytes();
    enum rc rc = render_picture(request->picture, &request->plan, &service->options, &output, &spent, err);
    tell_spent(request, &spent,
               image_blob_thread_bytes() - read_before +
                   atomic_load_explicit(&helped.read_bytes, memory_order_relaxed));
    render_pool_return(service->pool, memory_bytes);
    if (rc != RC_AWAY) {
        atomic_fetch_add_explicit(&service->slot->renders, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&service->segment->counters.renders, 1, memory_order_relaxed);
    }
    request->spent_ms = (double)spent.total_ns / 1e6;
    if (rc == RC_OK)
        render_cost_learn(effort, request->picture, &request->plan, &spent);
    if (rc == RC_CANCELLED) /* also when the client has left: the sentence is then for nobody */
        return err_set(err, RC_BUSY, "the image took longer than %" PRId64 " s, please try again",
                       service->settings->render_timeout_s);
    return rc;
}
