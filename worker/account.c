#include "worker/account.h"

#include "base/clock.h"

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

void worker_account_ended(struct worker_service *service, struct http_exchange *exchange)
{
    struct http_account *account = http_exchange_account(exchange);
    if (account->answered_us == 0)
        return; /* nobody has got anything, or waited for it until the end */
    fill_stages(account);
    tally(service, account);
}
