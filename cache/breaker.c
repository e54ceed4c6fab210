#include "cache/breaker.h"

void breaker_init(struct breaker *breaker)
{
    *breaker = (struct breaker){.failures = 0};
    pthread_mutex_init(&breaker->mutex, NULL);
}

void breaker_done(struct breaker *breaker)
{
    pthread_mutex_destroy(&breaker->mutex);
}

bool breaker_may_ask(struct breaker *breaker, int64_t now_ms, bool *ret_probe, int64_t *ret_left_ms)
{
    pthread_mutex_lock(&breaker->mutex);
    bool broken = breaker->failures >= BREAKER_AFTER;
    bool asks = !broken || (now_ms >= breaker->closed_until_ms && !breaker->probing);
    *ret_probe = broken && asks;
    breaker->probing = breaker->probing || *ret_probe;
    *ret_left_ms = breaker->closed_until_ms > now_ms ? breaker->closed_until_ms - now_ms : 1;
    pthread_mutex_unlock(&breaker->mutex);
    return asks;
}

enum breaker_news breaker_note(struct breaker *breaker, int64_t now_ms, bool failed, bool was_probe,
                               int64_t *ret_break_ms)
{
    pthread_mutex_lock(&breaker->mutex);
    bool was_broken = breaker->failures >= BREAKER_AFTER;
    breaker->failures = failed ? breaker->failures + 1 : 0;
    if (was_probe)
        breaker->probing = false;
    bool breaks = failed && (was_probe || (!was_broken && breaker->failures >= BREAKER_AFTER));
    if (breaks) {
        breaker->break_ms = breaker->break_ms == 0 ? BREAKER_FIRST_MS : breaker->break_ms * 2;
        if (breaker->break_ms > BREAKER_LONGEST_MS)
            breaker->break_ms = BREAKER_LONGEST_MS;
        breaker->closed_until_ms = now_ms + breaker->break_ms;
    } else if (!failed) {
        breaker->break_ms = 0;
    }
    *ret_break_ms = breaker->break_ms;
    pthread_mutex_unlock(&breaker->mutex);
    return breaks ? BREAKER_BREAKS : was_broken && !failed ? BREAKER_MENDS : BREAKER_NO_NEWS;
}
