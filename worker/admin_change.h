/* What changes something by way of the admin listener: only with the token of the settings, as "Authorization: Bearer TOKEN".
 *
 *     POST /purge?identifier=ID | ?prefix=TEXT | ?all     forgets cached derivatives; holds when it is answered
 *     POST /prune?unused=SECONDS                          removes those that nobody has asked for in so long
 *     GET  /iiif/...                                      warms up: an image as on the public listener, behind all others
 *
 * Answers are JSON ({"removed":N,"counted":true}); "counted":false, as always with prefix and all: the janitor removes the rest. Without a token in the settings 403, without one in the request 401,
 * with a wrong one 403, with a wrong parameter 400. Event thread; the work itself is done on a render thread. A worker that
 * dies meanwhile leaves the request to another, which does it again: all of this may be done twice. */
#ifndef WORKER_ADMIN_CHANGE_H
#define WORKER_ADMIN_CHANGE_H

#include "worker/service.h"

/* True: it was one of these, or refused, and is answered or will be. */
bool worker_admin_change(struct worker_service *service, struct http_exchange *exchange);
/* Whether the request has the token; false: it has been answered. */
bool worker_admin_is_allowed(struct worker_service *service, struct http_exchange *exchange);

#endif
