/* The life of a request, from the raw target to the reply: worker/README.md draws it.
 *
 * worker_service_handle() runs on the HTTP event thread. It parses, and answers itself whatever needs neither pixels nor the
 * file system: info.json and conditional requests of pictures that are open, errors, OPTIONS. The rest becomes a
 * job of the render pool. One service per worker process; a crash leaves nothing behind. */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "worker/heritage.h"
#include "worker/http/server.h"

struct worker_service;

/* Opens the image root, starts the render threads. RC_IO when the root cannot be opened. After fork only. */
RC_MUST_USE enum rc worker_service_start(const struct worker_heritage *heritage,
                                         struct worker_service **ret_service, struct err *err);
/* The http server's handler; `service` is the struct worker_service. */
void worker_service_handle(struct http_exchange *exchange, void *service);
/* Waits for the jobs that are under way; every exchange is answered then. The http server must still run. */
void worker_service_stop(struct worker_service **service);
/* -1; or becomes readable when another worker, which would open the image root anew, should take this one's place. */
int worker_service_answer_fd(const struct worker_service *service);
/* The same of the lower tier. */
int worker_service_tier_answer_fd(const struct worker_service *service);

#endif
