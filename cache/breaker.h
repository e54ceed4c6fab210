/* A circuit breaker: an origin that fails and fails is left alone for a while, and then tried with one request.
 *
 * For web_transport.c, one per origin and worker. Any thread; time is the caller's (monotonic). Private to a process: a worker that starts
 * anew has to find out for itself. */
#ifndef CACHE_BREAKER_H
#define CACHE_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_AFTER      10u   /* failures in a row */
#define BREAKER_FIRST_MS   2000  /* doubles with each probe that fails, */
#define BREAKER_LONGEST_MS 30000 /* up to this */

struct breaker {
    pthread_mutex_t mutex;
    uint32_t failures;
    int64_t break_ms, closed_until_ms;
    bool probing;
};

enum breaker_news {
    BREAKER_NO_NEWS,
    BREAKER_BREAKS, /* from now on it is left alone */
    BREAKER_MENDS,  /* it answers again */
};

void breaker_init(struct breaker *breaker);
void breaker_done(struct breaker *breaker);

/* Whether the origin may be asked now. *ret_probe: this is the one request that finds out, and its outcome has to be noted. If not,
 * *ret_left_ms says for how long. */
bool breaker_may_ask(struct breaker *breaker, int64_t now_ms, bool *ret_probe, int64_t *ret_left_ms);
/* What became of a request. *ret_break_ms: for how long it is left alone, with BREAKER_BREAKS. */
enum breaker_news breaker_note(struct breaker *breaker, int64_t now_ms, bool failed, bool was_probe,
                               int64_t *ret_break_ms);

#endif
