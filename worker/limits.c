#include "worker/limits.h"

#include "base/bytes.h"
#include "shm/tally.h"
#include "worker/http/account.h"

#include <inttypes.h>

/* So many seconds' worth of render time may be taken at once, after as long a pause. */
#define BURST_S 10

/* An IPv6 client has 64 bits of addresses for itself. Never 0. */
static uint64_t client_of(const struct in6_addr *address)
{
    size_t length = IN6_IS_ADDR_V4MAPPED(address) ? 16 : 8;
    uint64_t hash = bytes_hash(BYTES_HASH_START, address->s6_addr, length);
    hash = (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u;
    return (hash ^ hash >> 29) | 1u << 31;
}

static int64_t most_in_flight(const struct settings *settings)
{
    return settings->requests_per_address > 0 ? settings->requests_per_address
                                              : settings->connections_per_address;
}

bool worker_limits_admit(struct worker_service *service, struct http_exchange *exchange, uint32_t *ret_wait_s,
                         struct err *err)
{
    const struct settings *settings = service->settings;
    struct http_account *account = http_exchange_account(exchange);
    struct shm_clients *clients = &service->segment->clients;
    if (account->client != 0 || http_exchange_listener(exchange) == HTTP_ADMIN)
        return true;
    struct in6_addr caller = http_exchange_caller(exchange);
    uint64_t client = client_of(&caller);
    int64_t most = most_in_flight(settings);
    *ret_wait_s = 1;
    if ((int64_t)shm_clients_in_flight(clients, client) >= most) {
        err_set(err, RC_THROTTLED,
                "this address has %" PRId64 " requests in flight, which is all it may have", most);
        return false;
    }
    if (settings->render_time_per_address_ms > 0) {
        int64_t over_us = shm_clients_debt_us(clients, client, account->begun_us) -
                          BURST_S * INT64_C(1000000);
        if (over_us > 0) {
            *ret_wait_s = (uint32_t)(over_us / 1000000) + 1;
            err_set(err, RC_THROTTLED,
                    "this address has had more than %" PRId64 " ms of render time per second",
                    settings->render_time_per_address_ms);
            return false;
        }
    }
    if (shm_clients_enter(clients, service->slot_number, client))
        account->client = client;
    return true;
}

void worker_limits_ended(struct worker_service *service, struct http_exchange *exchange)
{
    const struct http_account *account = http_exchange_account(exchange);
    int64_t allowed_ms = service->settings->render_time_per_address_ms;
    if (account->client == 0)
        return;
    shm_clients_leave(&service->segment->clients, service->slot_number, account->client);
    uint64_t spent_us = account->stage_us[SHM_TALLY_DECODE] + account->stage_us[SHM_TALLY_RESAMPLE] +
                        account->stage_us[SHM_TALLY_ENCODE];
    if (allowed_ms > 0 && spent_us > 0 && spent_us < UINT64_C(1) << 42)
        shm_clients_charge(&service->segment->clients, account->client, (int64_t)spent_us * 1000 / allowed_ms,
                           account->ended_us);
}
