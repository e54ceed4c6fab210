/* What one client may have of the render threads: so many requests in flight, so much render time per second. Whoever asks for more is answered
 * 429 with Retry-After.
 *
 * A client is an IPv4 address or an IPv6 /64, behind trusted proxies the one that they name (worker/http/caller.h). Only requests that
 * need a render thread, or wait for one that another has, are counted: what is answered at once (stored tiles, cached images,
 * documents that are known) takes nothing that would have to be shared out. The admin side has no limits.
 *
 * Event thread. Shared over all workers by shm/clients.h. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H

#include "worker/service.h"

/* Counts the request, until worker_limits_ended(). False: `err` says which limit it is beyond (RC_THROTTLED), and *ret_wait_s when it is worth
 * trying again. */
bool worker_limits_admit(struct worker_service *service, struct http_exchange *exchange, uint32_t *ret_wait_s,
                         struct err *err);
/* At the end of any exchange. */
void worker_limits_ended(struct worker_service *service, struct http_exchange *exchange);

#endif
