/* Compares pictures that are in use with their sources before it is time to, so that no request has to wait for that: a stored
 * tile would otherwise stand in the queue of renders whenever a picture has not been compared for `revalidate` seconds.
 *
 * Called on the event thread; the comparing is a job of the pool. What cannot be compared now is left to the requests that
 * come when the time is over. Owns its job until that has run. */
#ifndef WORKER_REVALIDATE_H
#define WORKER_REVALIDATE_H

#include "worker/service.h"

void worker_revalidate(struct worker_service *service, const char *path, uint32_t page);

#endif
