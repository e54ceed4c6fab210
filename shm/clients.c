#include "shm/clients.h"

/* ---- requests in flight ---- */

static bool is_at(const struct shm_clients_flight *flight, uint32_t set, uint32_t way, uint64_t client)
{
    return atomic_load_explicit(&flight->client[set][way], memory_order_relaxed) == client &&
           atomic_load_explicit(&flight->count[set][way], memory_order_relaxed) > 0;
}

bool shm_clients_enter(struct shm_clients *clients, uint32_t slot, uint64_t client)
{
    struct shm_clients_flight *flight = &clients->flight[slot];
    uint32_t set = (uint32_t)(client % SHM_CLIENTS_SETS), place = SHM_CLIENTS_WAYS;
    for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++) {
        if (is_at(flight, set, way, client)) {
            place = way;
            break;
        }
        if (atomic_load_explicit(&flight->count[set][way], memory_order_relaxed) == 0)
            place = way;
    }
    if (place == SHM_CLIENTS_WAYS)
        return false;
    atomic_store_explicit(&flight->client[set][place], client, memory_order_relaxed);
    atomic_fetch_add_explicit(&flight->count[set][place], 1, memory_order_relaxed);
    atomic_store_explicit(&clients->used[slot], 1, memory_order_release);
    return true;
}

void shm_clients_leave(struct shm_clients *clients, uint32_t slot, uint64_t client)
{
    struct shm_clients_flight *flight = &clients->flight[slot];
    uint32_t set = (uint32_t)(client % SHM_CLIENTS_SETS);
    for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++)
        if (is_at(flight, set, way, client)) {
            atomic_fetch_sub_explicit(&flight->count[set][way], 1, memory_order_relaxed);
            return;
        }
}

uint32_t shm_clients_in_flight(const struct shm_clients *clients, uint64_t client)
{
    uint32_t set = (uint32_t)(client % SHM_CLIENTS_SETS), sum = 0;
    for (uint32_t slot = 0; slot < SHM_CLIENTS_SLOTS; slot++) {
        if (atomic_load_explicit(&clients->used[slot], memory_order_acquire) == 0)
            continue;
        const struct shm_clients_flight *flight = &clients->flight[slot];
        for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++)
            if (is_at(flight, set, way, client))
                sum += atomic_load_explicit(&flight->count[set][way], memory_order_relaxed);
    }
    return sum;
}

void shm_clients_reset(struct shm_clients *clients, uint32_t slot)
{
    if (atomic_load_explicit(&clients->used[slot], memory_order_relaxed) == 0)
        return;
    for (uint32_t set = 0; set < SHM_CLIENTS_SETS; set++)
        for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++)
            atomic_store_explicit(&clients->flight[slot].count[set][way], 0, memory_order_relaxed);
    atomic_store_explicit(&clients->used[slot], 0, memory_order_relaxed);
}

/* ---- render time ---- */

/* The client's place, else the one whose debt ends first. */
static struct shm_clients_debt *find_debt(struct shm_clients *clients, uint64_t client)
{
    struct shm_clients_debt *set = clients->debt[client % SHM_CLIENTS_DEBTS], *first = &set[0];
    for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++) {
        if (atomic_load_explicit(&set[way].client, memory_order_relaxed) == client)
            return &set[way];
        if (atomic_load_explicit(&set[way].paid_us, memory_order_relaxed) <
            atomic_load_explicit(&first->paid_us, memory_order_relaxed))
            first = &set[way];
    }
    return first;
}

void shm_clients_charge(struct shm_clients *clients, uint64_t client, int64_t cost_us, int64_t now_us)
{
    struct shm_clients_debt *debt = find_debt(clients, client);
    if (atomic_load_explicit(&debt->client, memory_order_relaxed) != client) {
        atomic_store_explicit(&debt->client, client, memory_order_relaxed);
        atomic_store_explicit(&debt->paid_us, 0, memory_order_relaxed);
    }
    int64_t paid_us = atomic_load_explicit(&debt->paid_us, memory_order_relaxed), next_us;
    do
        next_us = (paid_us > now_us ? paid_us : now_us) + cost_us;
    while (!atomic_compare_exchange_weak_explicit(&debt->paid_us, &paid_us, next_us, memory_order_relaxed,
                                                  memory_order_relaxed));
}

int64_t shm_clients_debt_us(const struct shm_clients *clients, uint64_t client, int64_t now_us)
{
    const struct shm_clients_debt *set = clients->debt[client % SHM_CLIENTS_DEBTS];
    for (uint32_t way = 0; way < SHM_CLIENTS_WAYS; way++) {
        int64_t paid_us = atomic_load_explicit(&set[way].paid_us, memory_order_relaxed);
        if (atomic_load_explicit(&set[way].client, memory_order_relaxed) == client)
            return paid_us > now_us ? paid_us - now_us : 0;
    }
    return 0;
}
