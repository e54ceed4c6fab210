/* What becomes of an exchange's account (worker/http/account.h): the tallies of this worker, the access log, the slow-request
 * log.
 *
 * Called by the server on its event thread, for every exchange of both listeners; nothing here waits. A crash loses the account
 * of what was being answered: the worker that goes on with the answer keeps one of its own. */
#ifndef WORKER_ACCOUNT_H
#define WORKER_ACCOUNT_H

#include "shm/tally.h"
#include "worker/http/account.h"
#include "worker/service.h"

/* The answer is decided: counts it. */
void worker_account_answering(struct worker_service *service, struct http_exchange *exchange);
/* It is over: counts where the time went. */
void worker_account_ended(struct worker_service *service, struct http_exchange *exchange);

/* For whoever holds the exchange. */
static inline void worker_account_is(struct http_exchange *exchange, enum shm_tally_class class,
                                     enum shm_tally_protocol protocol)
{
    struct http_account *account = http_exchange_account(exchange);
    account->class = (uint8_t) class;
    account->protocol = (uint8_t)protocol;
}

#endif
