/* A carrier: the child that brings a master from its bucket before its conversion, or takes a pyramid to its
 * bucket after it.
 *
 * It looks at no picture, only at bytes on their way, and ends after one errand, as a converter does;
 * converters in their box reach no network. Forked, heard and watched as they are (master/converters.h). */
#ifndef WORKER_CARRIER_H
#define WORKER_CARRIER_H

#include "worker/converter.h"

struct worker_errand {
    const struct settings *settings;
    const char *source, *version;  /* in a bucket, and its ETag; NULL: it need not be brought */
    const char *local_source;      /* where to */
    const char *destination;       /* in a bucket; NULL: it is elsewhere */
    const char *record;            /* with which it would be unchanged; NULL: it is made in any case */
    const char *local_destination; /* the pyramid to be taken */
    int channel;
};

/* In the new process: do it, say how it went (WORKER_RESULT, or WORKER_UNCHANGED where nothing is to be
 * done), return the exit status. */
int worker_carrier_bring(const struct worker_errand *errand);
int worker_carrier_take(const struct worker_errand *errand);

#endif
