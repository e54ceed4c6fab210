/* The janitor: goes round the cached derivatives in the background.
 *
 * It counts what lies in the folder into the catalogue (all of it after a start, while the server serves already), and removes
 * what is not sound, too old, purged, or was never finished; it writes down when each was last asked for, as the file's
 * access time, so that this survives a restart, too.
 *
 * Each worker has such a thread. One of each server works: the one that holds a lock on the server's byte of the file "janitor" in the
 * folder, which the kernel takes from the dead. All of them look every half a second whether another server that shares the folder has
 * purged something. A crash leaves a round unfinished: the next janitor begins one. */
#ifndef CACHE_JANITOR_H
#define CACHE_JANITOR_H

#include "cache/derivatives.h"

struct janitor;

/* `note` is told, by the janitor's thread, what a person should know. In the box. */
RC_MUST_USE enum rc janitor_start(struct derivatives *derivatives, void (*note)(const char *sentence),
                                  struct janitor **ret_janitor, struct err *err);
void janitor_stop(struct janitor **janitor);

#endif
