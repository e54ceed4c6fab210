/* The scanner: a thread that looks through the sources every now and then and writes down what has changed
 * (activity_scan.h, activity_log.h).
 *
 * Each worker has one. One at a time works: the one that holds a lock on a file beside the log, which the
 * kernel takes from the dead. So there is one scanner as well when one program takes over from another. It
 * takes at most a fiftieth of the time of a processor, of the disc, of an origin elsewhere: after a look that
 * took long it rests fifty times as long. That it waited for a processor does not count. A crash leaves a look
 * unfinished: the next begins one. */
#ifndef WORKER_MANIFEST_ACTIVITY_H
#define WORKER_MANIFEST_ACTIVITY_H

#include "worker/manifest/activity_log.h"
#include "worker/manifest/catalogue_live.h"

struct origin;
struct activity;

struct activity_options {
    struct origin *origin;
    const struct list_live *catalogue;
    const char *folder; /* where the log is kept */
    uint64_t root;      /* tells this image root from others in that folder */
    int64_t every_s;
    bool waits_first; /* looking costs: not at once after each start */
    uint64_t most_records;
    bool (*is_public)(void *context, const char *path); /* activity_scan.h */
    void *context;
};

/* Opens the log. In the box. RC_IO. */
RC_MUST_USE enum rc activity_open(const struct activity_options *options, struct activity **ret_activity,
                                  struct err *err);
/* Starts the thread. */
RC_MUST_USE enum rc activity_start(struct activity *activity, struct err *err);
/* The origin's waiters must have been cancelled. */
void activity_close(struct activity **activity);

const struct activity_log *activity_log_of(const struct activity *activity);

#endif
