/* Requests that kill their worker, and images that do: what is answered instead of trying again.
 *
 * The master counts strikes against a request in its journal slot (master/inquest.h). With two it is not
 * rendered a third time: it is answered 500, and the version of the image goes into quarantine
 * (shm/quarantine.h), where every worker finds it before it opens the file. Any thread that holds the
 * exchange, but for the functions that touch the file system, which belong on a render thread. */
#ifndef WORKER_POISON_H
#define WORKER_POISON_H

#include "worker/iiif/identifier.h"
#include "worker/service.h"

#define WORKER_POISON_STRIKES 2u

/* How often this request has killed a worker by its own fault. */
uint32_t worker_poison_strikes(struct worker_service *service, const struct http_exchange *exchange);

/* Answers 500. */
void worker_poison_give_up(struct http_exchange *exchange);
/* Render thread. Puts the image as it is now into quarantine and answers 500. */
void worker_poison_condemn(struct worker_service *service, struct http_exchange *exchange,
                           const struct iiif_identifier *identifier);

/* True when that version is in quarantine: then it has answered 503. */
bool worker_poison_refuses_version(struct worker_service *service, struct http_exchange *exchange,
                                   const struct iiif_identifier *identifier, uint64_t version_hash);
/* Render thread. The same for the file as it is now. */
bool worker_poison_refuses(struct worker_service *service, struct http_exchange *exchange,
                           const struct iiif_identifier *identifier);

#endif
