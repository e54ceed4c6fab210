/* The box's list of system calls; see worker/box.h. */
#ifndef WORKER_BOX_CALLS_H
#define WORKER_BOX_CALLS_H

#include "base/err.h"

#include <stdbool.h>

/* From here on the calling thread and all that it makes have only these calls; with `network` also those that make
 * connections over IP. RC_UNSUPPORTED: the kernel
 * refuses. */
RC_MUST_USE enum rc worker_box_calls_limit(bool network, struct err *err);

#endif
