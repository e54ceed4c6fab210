/* A converter: the child that makes one pyramid of one master, and ends.
 *
 * A process for each file: what a master does to its decoder stays between the two, memory cannot grow from
 * file to file, the box opens exactly the one file and the one folder, and the system says how much memory it
 * took. Forked by the master's code (master/converters.h), which is the only one to hear it: over a
 * SOCK_SEQPACKET pair, progress now and then and one result at the end. The other side does not trust what it
 * hears further than its shape. */
#ifndef WORKER_CONVERTER_H
#define WORKER_CONVERTER_H

#include "base/settings.h"
#include "worker/ingest/convert.h"

struct worker_conversion {
    const struct settings *settings; /* limits and sandbox */
    const char *source, *destination;
    struct ingest_options options;
    int channel;
};

enum worker_conversion_kind {
    WORKER_PROGRESS = 1, /* size, rows_done */
    WORKER_RESULT,       /* rc; result, or what is wrong */
    WORKER_UNCHANGED,    /* nothing is to be done: the pyramid is there (carrier.h) */
};

struct worker_conversion_message {
    uint32_t kind;
    uint32_t rows_done;
    struct image_size size; /* of the master, as it is stored */
    int32_t rc;             /* an enum rc */
    int32_t os_errno;
    char message[sizeof((struct err *)0)->message];
    struct ingest_result result;
};

/* In the new process: converts, says how it went, and returns the exit status. Closes every inherited
 * descriptor but the standard ones and the channel. */
int worker_converter_run(const struct worker_conversion *conversion);

/* Whether a message that came over the channel has a shape that can be worked with: kinds and counts known,
 * texts ended. */
bool worker_converter_check(const struct worker_conversion_message *message, size_t length);

#endif
