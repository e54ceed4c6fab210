/* What the pages of the admin listener have in common; private to worker/admin*.c. */
#ifndef WORKER_ADMIN_PARTS_H
#define WORKER_ADMIN_PARTS_H

#include "base/bytes.h"
#include "worker/service.h"

struct admin_workers {
    uint64_t count, connections, requests, renders, queued;
};

static inline uint64_t admin_value(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Of those that are alive. */
struct admin_workers admin_sum_workers(const struct shm_segment *segment);
uint64_t admin_count_quarantined(const struct shm_segment *segment);
/* All tallies; the caller frees it. NULL: no memory. */
struct shm_tally_sum *admin_sum_tallies(const struct shm_segment *segment);

/* The bodies of /metrics and /status. RC_NO_MEMORY. */
RC_MUST_USE enum rc worker_admin_metrics(struct worker_service *service, struct bytes *out, struct err *err);
RC_MUST_USE enum rc worker_admin_status(struct worker_service *service, struct bytes *out, struct err *err);

#endif
