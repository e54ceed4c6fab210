/* The pyramid index and the cache of derivatives on the admin listener: their numbers. Event thread. */
#ifndef WORKER_ADMIN_CACHE_H
#define WORKER_ADMIN_CACHE_H

#include "worker/service.h"

/* Appends to /metrics and /status. RC_NO_MEMORY. */
RC_MUST_USE enum rc worker_cache_metrics(struct worker_service *service, struct bytes *out, struct err *err);
RC_MUST_USE enum rc worker_cache_status(struct worker_service *service, struct bytes *out, struct err *err);

#endif
