/* What each client takes of the server at the moment, all workers together: requests in flight, and render
 * time.
 *
 * A client is a number made of its address (worker/limits.h). Requests in flight are counted by each worker
 * in a table of its own, which only its event thread writes and the master clears with its slot: a worker
 * that dies takes its counts with it, and nothing ever has to be repaired. Who wants to know adds up all
 * workers. Render time is a moment per client, shared by all: until when what it has used up is paid for;
 * each render moves it on, time alone brings it closer.
 *
 * Tables are small and forget: a client that finds no place is not counted. That errs in the client's favour,
 * and takes more clients at a time than the places of a set; those are chosen by a hash, and who is idle
 * makes room.
 *
 * Relaxed atomics. A crash leaves render time as it was. */
#ifndef SHM_CLIENTS_H
#define SHM_CLIENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHM_CLIENTS_SLOTS 256u /* as SHM_MAX_WORKERS */
#define SHM_CLIENTS_SETS  128u
#define SHM_CLIENTS_WAYS  8u
#define SHM_CLIENTS_DEBTS 1024u /* sets of render time */

struct shm_clients_flight {
    _Alignas(64) _Atomic uint64_t client[SHM_CLIENTS_SETS][SHM_CLIENTS_WAYS];
    _Atomic uint32_t count[SHM_CLIENTS_SETS][SHM_CLIENTS_WAYS];
};

struct shm_clients_debt {
    _Atomic uint64_t client;
    _Atomic int64_t paid_us; /* monotonic */
};

struct shm_clients {
    _Alignas(64) _Atomic uint8_t
        used[SHM_CLIENTS_SLOTS]; /* flights that have been touched: the others have no memory yet */
    struct shm_clients_debt debt[SHM_CLIENTS_DEBTS][SHM_CLIENTS_WAYS];
    struct shm_clients_flight flight[SHM_CLIENTS_SLOTS];
};

/* ---- requests in flight; enter and leave by the event thread of the slot's worker; `client` is never 0 ---- */

/* False: not counted, and not to be left. */
bool shm_clients_enter(struct shm_clients *clients, uint32_t slot, uint64_t client);
void shm_clients_leave(struct shm_clients *clients, uint32_t slot, uint64_t client);
uint32_t shm_clients_in_flight(const struct shm_clients *clients, uint64_t client);
/* Master, before a worker is forked into the slot. */
void shm_clients_reset(struct shm_clients *clients, uint32_t slot);

/* ---- render time; any thread ---- */

/* The client has taken so much. */
void shm_clients_charge(struct shm_clients *clients, uint64_t client, int64_t cost_us, int64_t now_us);
/* How much is not paid for yet. */
int64_t shm_clients_debt_us(const struct shm_clients *clients, uint64_t client, int64_t now_us);

#endif
