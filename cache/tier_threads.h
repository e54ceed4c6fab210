/* The inside of the lower tier, for tier.c, which is asked, and tier_threads.c and tier_room.c, whose threads work. For these only. */
#ifndef CACHE_TIER_THREADS_H
#define CACHE_TIER_THREADS_H

#include "base/log.h"
#include "cache/tier.h"

#include <pthread.h>

#define TIER_READERS 4u
#define TIER_KEEPS   256u /* that may wait to be written; each is a key */
#define TIER_ASKS    64u  /* that may wait to be read */

/* A question. Its waiter may be gone before the thread that reads for it comes back. */
struct tier_job {
    struct tier_job *next;
    struct tier_waiter *waiter; /* NULL: given up, or answered */
    int64_t deadline_ms;
    struct derivative_key key;
};

/* A purge that the others are to be told of. */
struct tier_order {
    struct tier_order *next;
    bool is_done, is_left; /* left: nobody waits for it, so who does it frees it */
    enum shm_purge purge;
    uint64_t epoch;
    enum rc rc;
    struct err err;
    char text[SHM_FENCES_PREFIX_BYTES];
};

struct tier {
    struct derivatives *cache;
    struct tier_place *place;
    void (*note)(const char *sentence);
    int64_t wait_ms, poll_ms;
    uint64_t most_bytes; /* 0: any */
    double dear_ms;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t asked, kept, changed, stops;
    bool cancelled, stopping;
    struct tier_job *first, **last;
    struct tier_job *at_work[TIER_READERS];
    uint32_t waiting, started;
    struct derivative_key *keep; /* a ring of TIER_KEEPS */
    uint32_t keep_first, keep_count;
    struct tier_order *orders;
    /* The breaker. */
    uint32_t failures;
    int64_t pause_ms, closed_until_ms;
    bool probing;
    int64_t keep_pause_ms, keep_again_ms; /* after something could not be written */
    uint32_t threads;                     /* running */
    struct log_pause noted;
};

/* Tells a person, now and then: what goes wrong with the tier costs time only. */
void tier_note(struct tier *tier, const struct err *err);
/* The last that a thread does, under the mutex. */
void tier_thread_ends(struct tier *tier);
/* All the threads; those that have come to be are ended by tier_threads_stop(). */
RC_MUST_USE enum rc tier_threads_start(struct tier *tier, struct err *err);
/* False: one hangs in the place, and what it uses has to stay. */
bool tier_threads_stop(struct tier *tier);

#endif
