#include "cache/tier.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/roots.h"
#include "cache/tier_threads.h"

#include <stdio.h>
#include <string.h>

#define KNOWN_FOR_MS  60000 /* what is known of purges is good for so long */
#define POLL_LEAST_MS 1000
#define POLL_MOST_MS  10000
#define TELL_S        10

/* ---- opening ---- */

static void tier_free(struct tier **slot)
{
    struct tier *tier = TAKE_PTR(*slot);
    if (tier == NULL)
        return;
    if (tier->place != NULL)
        tier->place->ops->close(tier->place);
    pthread_mutex_destroy(&tier->mutex);
    pthread_cond_destroy(&tier->asked);
    pthread_cond_destroy(&tier->kept);
    pthread_cond_destroy(&tier->changed);
    pthread_cond_destroy(&tier->stops);
    free(tier->keep);
    free(tier);
}

enum rc tier_open(const struct settings *settings, struct derivatives *cache, struct tier **ret_tier,
                  int *ret_answer_fd, struct err *err)
{
    struct tier *tier = calloc(1, sizeof *tier);
    if (tier == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the lower tier of derivatives");
    pthread_mutex_init(&tier->mutex, NULL);
    pthread_cond_init(&tier->asked, NULL);
    pthread_cond_init(&tier->kept, NULL);
    pthread_cond_init(&tier->changed, NULL);
    pthread_cond_init(&tier->stops, NULL);
    tier->cache = cache;
    tier->last = &tier->first;
    tier->most_bytes = (uint64_t)settings->derivative_tier_size;
    tier->wait_ms = settings->derivative_tier_wait_ms;
    tier->dear_ms = (double)settings->derivative_tier_cost_ms;
    tier->poll_ms = settings->revalidate_s * 1000;
    tier->poll_ms = tier->poll_ms < POLL_LEAST_MS  ? POLL_LEAST_MS
                    : tier->poll_ms > POLL_MOST_MS ? POLL_MOST_MS
                                                   : tier->poll_ms;
    tier->keep = calloc(TIER_KEEPS, sizeof *tier->keep);
    enum rc rc = tier->keep == NULL
                     ? err_set(err, RC_NO_MEMORY, "no memory for the lower tier of derivatives")
                 : roots_is_remote(settings->derivative_tier)
                     ? tier_bucket_open(settings, &tier->place, err)
                     : tier_folder_open(settings, &tier->place, ret_answer_fd, err);
    if (rc != RC_OK)
        tier_free(&tier);
    else
        *ret_tier = tier;
    return rc;
}

int tier_lost_fd(const struct tier *tier)
{
    return tier->place->lost_fd;
}

struct tier_needs tier_needs(const struct tier *tier)
{
    struct tier_needs needs = {.folder_fd = tier->place->folder_fd};
    memcpy(needs.port, tier->place->port, sizeof needs.port);
    return needs;
}

enum rc tier_start(struct tier *tier, void (*note)(const char *sentence), struct err *err)
{
    tier->note = note;
    enum rc rc = tier->place->ops->start != NULL ? tier->place->ops->start(tier->place, err) : RC_OK;
    return rc == RC_OK ? tier_threads_start(tier, err) : rc;
}

void tier_cancel(struct tier *tier)
{
    if (tier == NULL)
        return;
    pthread_mutex_lock(&tier->mutex);
    tier->cancelled = true;
    pthread_cond_broadcast(&tier->changed);
    pthread_mutex_unlock(&tier->mutex);
}

void tier_close(struct tier **slot)
{
    if (*slot == NULL)
        return;
    tier_cancel(*slot);
    if (tier_threads_stop(*slot))
        tier_free(slot);
    *slot = NULL;
}

/* ---- being asked ---- */

bool tier_may_have(const struct tier *tier, double cost_ms)
{
    return tier != NULL && cost_ms >= tier->dear_ms / 2; /* before it is made the cost is a guess */
}

bool tier_is_dear(const struct tier *tier, double cost_ms)
{
    return tier != NULL && cost_ms >= tier->dear_ms;
}

/* Whether the place may be asked now; under the mutex. */
static bool is_open(struct tier *tier, int64_t now_ms)
{
    int64_t known_ms = atomic_load_explicit(&tier->cache->shared->counters->tier_known_ms,
                                            memory_order_relaxed);
    if (tier->cancelled || known_ms == 0 || now_ms - known_ms > KNOWN_FOR_MS)
        return false;
    uint32_t stuck = 0; /* in the place, with what nobody waits for any more */
    for (uint32_t i = 0; i < TIER_READERS; i++)
        stuck += tier->at_work[i] != NULL && tier->at_work[i]->waiter == NULL;
    if (stuck == TIER_READERS)
        return false;
    return tier->pause_ms == 0 || (now_ms >= tier->closed_until_ms && !tier->probing);
}

bool tier_ask(struct tier *tier, const struct derivative_key *key, struct tier_waiter *waiter)
{
    int64_t now_ms = clock_monotonic_ms();
    struct tier_job *job = malloc(sizeof *job);
    if (job == NULL)
        return false;
    *job = (struct tier_job){.waiter = waiter, .deadline_ms = now_ms + tier->wait_ms, .key = *key};
    pthread_mutex_lock(&tier->mutex);
    bool asks = tier->waiting < TIER_ASKS && is_open(tier, now_ms);
    if (asks) {
        tier->probing = tier->pause_ms != 0;
        tier->waiting++;
        *tier->last = job;
        tier->last = &job->next;
        pthread_cond_signal(&tier->asked);
        pthread_cond_broadcast(
            &tier->changed); /* the watcher, who is not the only one, has a deadline more */
    }
    pthread_mutex_unlock(&tier->mutex);
    if (!asks)
        free(job);
    return asks;
}

void tier_keep(struct tier *tier, const struct derivative_key *key)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&tier->mutex);
    bool takes = tier->keep_count < TIER_KEEPS && now_ms >= tier->keep_again_ms;
    if (takes) {
        tier->keep[(tier->keep_first + tier->keep_count++) % TIER_KEEPS] = *key;
        pthread_cond_signal(&tier->kept);
    }
    pthread_mutex_unlock(&tier->mutex);
    if (!takes)
        atomic_fetch_add_explicit(&tier->cache->shared->counters->tier_refused, 1, memory_order_relaxed);
}

/* ---- purges ---- */

static enum rc raise_fence(struct tier *tier, const struct tier_order *order, struct err *err)
{
    struct shm_fences *fences = tier->cache->shared->tier_fences;
    if (!shm_fences_take(fences))
        return err_set(err, RC_BUSY,
                       "another worker stands still in a purge of the lower tier, please try again");
    shm_fences_raise(fences, order->purge, order->text, derivative_mark(order->text), order->epoch);
    shm_fences_give(fences);
    return RC_OK;
}

enum rc tier_purge(struct tier *tier, enum shm_purge purge, const char *text, uint64_t epoch, struct err *err)
{
    struct tier_order *order = calloc(1, sizeof *order);
    if (order == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to tell other servers of a purge");
    order->purge = purge;
    order->epoch = epoch;
    snprintf(order->text, sizeof order->text, "%s", text);
    enum rc rc = raise_fence(tier, order, err);
    if (rc != RC_OK) {
        free(order);
        return rc;
    }
    int64_t end_ms = clock_monotonic_ms() + TELL_S * 1000;
    pthread_mutex_lock(&tier->mutex);
    struct tier_order **last = &tier->orders;
    while (*last != NULL)
        last = &(*last)->next;
    *last = order;
    pthread_cond_signal(&tier->kept);
    while (!order->is_done && !tier->cancelled && clock_wait_until(&tier->changed, &tier->mutex, end_ms))
        continue;
    bool is_done = order->is_done;
    order->is_left = !is_done;
    pthread_mutex_unlock(&tier->mutex);
    if (!is_done)
        return err_set(
            err, RC_LATE,
            "it is purged here, but the lower tier has not taken it in yet: other servers may not know");
    rc = order->rc;
    if (rc != RC_OK)
        *err = order->err;
    free(order);
    return rc;
}
