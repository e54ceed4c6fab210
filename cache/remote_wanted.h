/* What readers of a file have asked for and is not here: joined into runs that are worth a request each, and fetched, each block by one of
 * the server's workers. For cache/remote.c; under its lock. */
#ifndef CACHE_REMOTE_WANTED_H
#define CACHE_REMOTE_WANTED_H

#include "cache/remote_flight.h"

/* Fetches what was wanted and is neither here nor on its way: as remote_flight_look(). RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_wanted_fetch(struct remote_file *file, struct remote_flight **flights,
                                        struct err *err);

#endif
