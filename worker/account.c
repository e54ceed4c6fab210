#include "worker/account.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/access_line.h"
#include "worker/http/caller.h"
#include "worker/limits.h"

#include <stdio.h>

static_assert(SHM_TALLY_SEND < HTTP_ACCOUNT_STAGES, "an account has room for every stage");

/* Below it, time that no stage accounts for is the event thread's own. */
#define LEAST_WAIT_US 1000

void worker_account_answering(struct worker_service *service, struct http_exchange *exchange)
{
    const struct http_account *account = http_exchange_account(exchange);
    shm_tally_request(service->tally, account->class, account->protocol, account->status);
}

/* The stages that only the end shows. */
static void fill_stages(struct http_account *account)
{
    int64_t left_us = account->answered_us - account->begun_us;
    for (unsigned stage = 0; stage < SHM_TALLY_WAIT; stage++)
        left_us -= (int64_t)account->stage_us[stage];
    account->stage_us[SHM_TALLY_WAIT] = left_us >= LEAST_WAIT_US ? (uint64_t)left_us : 0;
    account->stage_us[SHM_TALLY_SEND] = (uint64_t)(account->ended_us - account->answered_us);
}

static void tally(struct worker_service *service, const struct http_account *account)
{
    int64_t now_ms = account->ended_us / 1000;
    struct shm_tally *own = service->tally;
    shm_tally_time(own, account->class, (uint64_t)(account->ended_us - account->begun_us), now_ms);
    for (unsigned stage = 0; stage < SHM_TALLY_STAGES; stage++)
        if (account->stage_us[stage] > 0)
            shm_tally_time(own, SHM_TALLY_CLASSES + stage, account->stage_us[stage], now_ms);
    shm_tally_add(&own->sent_bytes, account->sent_bytes);
    shm_tally_add(&own->read_bytes, account->read_bytes);
}

/* ---- logs ---- */

#define NEVER_ANSWERED 499 /* in the access log: the client left before there was an answer */

static const char *const stage_name[] = {"queue",  "fetch", "decode", "resample",
                                         "encode", "wait",  "send",   NULL};
static_assert(sizeof stage_name / sizeof stage_name[0] == SHM_TALLY_STAGES + 1, "every stage has a name");

static enum access_format format_of(const struct settings *settings)
{
    return (enum access_format)settings_choice_index("common|combined|json", settings->access_log_format);
}

/* The public side, and what changes something. */
static bool is_logged(const struct http_exchange *exchange)
{
    return http_exchange_listener(exchange) == HTTP_PUBLIC || http_exchange_method(exchange) == HTTP_POST;
}

static void write_access(struct worker_service *service, struct http_exchange *exchange)
{
    const struct http_account *account = http_exchange_account(exchange);
    enum access_format format = format_of(service->settings);
    char text[ACCESS_LINE_BYTES], client[HTTP_CALLER_TEXT_BYTES];
    struct in6_addr caller = http_exchange_caller(exchange);
    http_caller_text(&caller, client);
    struct access_line line = {.time_ms = clock_wall_ms(),
                               .client = client,
                               .method = http_exchange_method_name(exchange),
                               .target = http_exchange_target(exchange),
                               .class = shm_tally_class_name(account->class),
                               .protocol = shm_tally_protocol_name(account->protocol),
                               .stage_name = stage_name,
                               .stage_us = account->stage_us,
                               .sent_bytes = account->sent_bytes,
                               .took_us = (uint64_t)(account->ended_us - account->begun_us),
                               .status = account->answered_us != 0 ? account->status : NEVER_ANSWERED,
                               .is_http_1_0 = http_exchange_is_http_1_0(exchange),
                               .is_whole = account->whole};
    if (format != ACCESS_COMMON) {
        line.referer = http_exchange_header(exchange, "Referer");
        line.user_agent = http_exchange_header(exchange, "User-Agent");
    }
    if (format == ACCESS_JSON)
        line.id = http_exchange_request_id(exchange);
    access_log_put(service->access_log, text, access_line_write(format, &line, text));
}

/* How long the client takes to receive it does not count. */
static void note_if_slow(struct worker_service *service, struct http_exchange *exchange)
{
    const struct http_account *account = http_exchange_account(exchange);
    int64_t made_us = account->answered_us - account->begun_us;
    int64_t limit_ms = service->settings->slow_request_ms;
    char where[256];
    size_t length = 0;
    if (limit_ms == 0 || made_us < limit_ms * 1000)
        return;
    for (unsigned i = 0; i < SHM_TALLY_STAGES; i++)
        if (account->stage_us[i] > 0)
            length += (size_t)snprintf(where + length, sizeof where - length, "%s%s %.1f ms",
                                       length > 0 ? ", " : "", stage_name[i],
                                       (double)account->stage_us[i] / 1000);
    where[length] = '\0';
    shm_tally_add(&service->tally->slow, 1);
    log_info("slow: %s took %.1f ms (%s), status %u, request %s: %s", shm_tally_class_name(account->class),
             (double)made_us / 1000, where, account->status, http_exchange_request_id(exchange),
             http_exchange_target(exchange));
}

void worker_account_ended(struct worker_service *service, struct http_exchange *exchange)
{
    struct http_account *account = http_exchange_account(exchange);
    if (account->answered_us != 0) { /* else nobody has waited for it until the end */
        fill_stages(account);
        tally(service, account);
        note_if_slow(service, exchange);
    }
    worker_limits_ended(service, exchange);
    if (service->access_log != NULL && is_logged(exchange))
        write_access(service, exchange);
}
