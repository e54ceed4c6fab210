/* `vitrine ingest`: a batch of conversions in the foreground.
 *
 * This process is the master of its converters and nothing else: it opens no picture, forks, listens, waits
 * for signals. INT, TERM and HUP end it early: converters are killed, and the same command goes on from
 * there. */
#ifndef MASTER_INGEST_H
#define MASTER_INGEST_H

#include "master/ingest_options.h"

/* *ret_is_done: every file has its pyramid. RC_IO, RC_NO_MEMORY: the batch could not begin. */
RC_MUST_USE enum rc master_ingest(const struct master_ingest_options *options, bool *ret_is_done,
                                  struct err *err);

#endif
