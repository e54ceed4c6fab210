#include "cache/tier_threads.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "base/turns.h"
#include "cache/tier_purges.h"
#include "cache/tier_room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MOST_BYTES        ((size_t)64 << 20) /* larger derivatives stay where they are */
#define BREAK_AFTER       5u                 /* failures in a row */
#define FIRST_PAUSE_MS    1000
#define LONGEST_PAUSE_MS  30000
#define CLOSE_PATIENCE_MS 300 /* for threads that are at work in the place */
#define NOTE_AGAIN_MS     60000

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static struct shm_derivatives_counters *counters_of(const struct tier *tier)
{
    return tier->cache->shared->counters;
}

void tier_note(struct tier *tier, const struct err *err)
{
    if (log_may_say(&tier->noted, NOTE_AGAIN_MS))
        tier->note(err->message);
}

void tier_thread_ends(struct tier *tier)
{
    tier->threads--;
    pthread_cond_broadcast(&tier->changed);
}

/* "ab/abcdef01-…": what is derived from one source lies together. */
static void name_of(const struct derivative_key *key, char ret_name[TIER_PURGES_NAME_BYTES])
{
    snprintf(ret_name, TIER_PURGES_NAME_BYTES, "%02x/%08x-%016" PRIx64 "%016" PRIx64, key->mark >> 24,
             key->mark, key->hash.high, key->hash.low);
}

/* ---- the breaker, under the mutex ---- */

static int64_t longer(int64_t pause_ms)
{
    pause_ms = pause_ms == 0 ? FIRST_PAUSE_MS : pause_ms * 2;
    return pause_ms < LONGEST_PAUSE_MS ? pause_ms : LONGEST_PAUSE_MS;
}

static void note_outcome(struct tier *tier, bool failed)
{
    tier->probing = false;
    tier->failures = failed ? tier->failures + 1 : 0;
    if (!failed) {
        tier->pause_ms = 0;
    } else if (tier->failures >= BREAK_AFTER) {
        tier->pause_ms = longer(tier->pause_ms);
        tier->closed_until_ms = clock_monotonic_ms() + tier->pause_ms;
    }
}

/* ---- reading ---- */

/* Leaves the body alone in `bytes`. RC_CORRUPT: it is not what it should be; RC_NOT_FOUND: it has been purged, or is too old. */
static enum rc check(const struct tier *tier, const struct derivative_key *key, struct bytes *bytes,
                     struct err *err)
{
    const struct derivatives *cache = tier->cache;
    struct derivative_header header;
    char path[DERIVATIVE_TEXT_BYTES];
    enum rc rc = derivative_head_check(bytes->data, bytes->length, bytes->length, key, &header, err);
    if (rc != RC_OK)
        return rc;
    if (derivative_checksum(bytes->data + header.body_at, header.body_bytes) != header.body_checksum)
        return err_set(err, RC_CORRUPT, "a derivative of the lower tier does not fit its checksum");
    snprintf(path, sizeof path, "%.*s", (int)key->path_length, key->text + key->path_at);
    if (shm_fences_is_fenced(cache->shared->tier_fences, header.epoch, key->mark, path) ||
        (cache->limits.most_age_s > 0 && time(NULL) - header.made_s > cache->limits.most_age_s))
        return err_set(err, RC_NOT_FOUND, "a derivative of the lower tier has been purged");
    memmove(bytes->data, bytes->data + header.body_at, header.body_bytes);
    bytes->length = header.body_bytes;
    return RC_OK;
}

static enum rc read_entry(struct tier *tier, const struct derivative_key *key, struct bytes *bytes,
                          bool *ret_failed, struct err *err)
{
    char name[TIER_PURGES_NAME_BYTES];
    name_of(key, name);
    enum rc rc = tier->place->ops->read(tier->place, name, MOST_BYTES, bytes, err);
    *ret_failed = rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_TOO_LARGE && rc != RC_NO_MEMORY &&
                  rc != RC_CORRUPT;
    if (rc == RC_OK)
        rc = check(tier, key, bytes, err);
    if (rc == RC_CORRUPT)
        count(&counters_of(tier)->corrupt);
    return rc;
}

/* What has been asked for stays longer. */
static void had(struct tier *tier, const struct derivative_key *key)
{
    char name[TIER_PURGES_NAME_BYTES];
    name_of(key, name);
    tier->place->ops->had(tier->place, name);
}

/* The waiter, if it has not been given up; with the outcome in the books. */
static struct tier_waiter *settle(struct tier *tier, struct tier_job *job, bool failed)
{
    pthread_mutex_lock(&tier->mutex);
    struct tier_waiter *waiter = TAKE_PTR(job->waiter);
    if (waiter != NULL) { /* else its being late has been counted */
        tier->waiting--;
        note_outcome(tier, failed);
    }
    pthread_mutex_unlock(&tier->mutex);
    return waiter;
}

static void work(struct tier *tier, struct tier_job *job)
{
    struct shm_derivatives_counters *counters = counters_of(tier);
    OWN(bytes_done) struct bytes bytes = {0};
    struct err err;
    bool failed = false;
    enum rc rc = read_entry(tier, &job->key, &bytes, &failed, &err);
    struct tier_waiter *waiter = settle(tier, job, failed);
    if (failed)
        tier_note(tier, &err);
    if (waiter == NULL)
        return;
    count(rc == RC_OK ? &counters->tier_hits : failed ? &counters->tier_failures : &counters->tier_misses);
    waiter->ready(waiter, rc, &bytes);
    if (rc == RC_OK && tier->place->ops->had != NULL)
        had(tier, &job->key);
}

static void *read_for_all(void *argument)
{
    struct tier *tier = argument;
    pthread_setname_np(pthread_self(), "tier");
    turns_give_way(TURNS_WORK);
    pthread_mutex_lock(&tier->mutex);
    uint32_t number = tier->started++;
    for (;;) {
        while (tier->first == NULL && !tier->stopping)
            pthread_cond_wait(&tier->asked, &tier->mutex);
        struct tier_job *job = tier->first;
        if (tier->stopping)
            break;
        tier->first = job->next;
        if (tier->first == NULL)
            tier->last = &tier->first;
        if (job->waiter != NULL) {
            tier->at_work[number] = job;
            pthread_mutex_unlock(&tier->mutex);
            work(tier, job);
            pthread_mutex_lock(&tier->mutex);
            tier->at_work[number] = NULL;
        }
        free(job);
    }
    tier_thread_ends(tier);
    pthread_mutex_unlock(&tier->mutex);
    return NULL;
}

/* ---- giving up ---- */

/* Under the mutex: one whose time is over; else *ret_next_ms comes down to when that will be so. */
static struct tier_waiter *overdue(struct tier *tier, struct tier_job *job, int64_t now_ms,
                                   int64_t *ret_next_ms)
{
    if (job == NULL || job->waiter == NULL)
        return NULL;
    if (!tier->cancelled && now_ms < job->deadline_ms) {
        *ret_next_ms = job->deadline_ms < *ret_next_ms ? job->deadline_ms : *ret_next_ms;
        return NULL;
    }
    tier->waiting--;
    if (!tier->cancelled)
        note_outcome(tier, true);
    return TAKE_PTR(job->waiter);
}

static struct tier_waiter *find_overdue(struct tier *tier, int64_t now_ms, int64_t *ret_next_ms)
{
    struct tier_waiter *waiter = NULL;
    for (uint32_t i = 0; waiter == NULL && i < TIER_READERS; i++)
        waiter = overdue(tier, tier->at_work[i], now_ms, ret_next_ms);
    for (struct tier_job *job = tier->first; waiter == NULL && job != NULL; job = job->next)
        waiter = overdue(tier, job, now_ms, ret_next_ms);
    return waiter;
}

static void *watch(void *argument)
{
    struct tier *tier = argument;
    pthread_setname_np(pthread_self(), "tier watch");
    pthread_mutex_lock(&tier->mutex);
    while (!tier->stopping || tier->waiting > 0) {
        int64_t now_ms = clock_monotonic_ms(), next_ms = now_ms + 60000;
        struct tier_waiter *waiter = find_overdue(tier, now_ms, &next_ms);
        if (waiter == NULL) {
            clock_wait_until(&tier->changed, &tier->mutex, next_ms);
            continue;
        }
        enum rc rc = tier->cancelled ? RC_CANCELLED : RC_LATE;
        pthread_mutex_unlock(&tier->mutex);
        if (rc == RC_LATE)
            count(&counters_of(tier)->tier_failures);
        waiter->ready(waiter, rc, NULL);
        pthread_mutex_lock(&tier->mutex);
    }
    tier_thread_ends(tier);
    pthread_mutex_unlock(&tier->mutex);
    return NULL;
}

/* ---- writing ---- */

/* RC_NOT_FOUND: it is not in the cache any more. */
static enum rc read_local(const struct tier *tier, const struct derivative_key *key, struct bytes *bytes,
                          struct err *err)
{
    char name[DERIVATIVE_NAME_BYTES];
    struct derivative_header header;
    struct stat status;
    derivative_name(key->hash, name);
    OWN_FD int fd = openat(tier->cache->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_set(err, RC_NOT_FOUND, "the derivative is gone");
    if ((uint64_t)status.st_size > MOST_BYTES)
        return err_set(err, RC_TOO_LARGE, "the derivative is too large for the lower tier");
    enum rc rc = bytes_reserve(bytes, (size_t)status.st_size, err);
    if (rc == RC_OK)
        rc = fdio_pread_exact(fd, bytes->data, (size_t)status.st_size, 0, err);
    bytes->length = rc == RC_OK ? (size_t)status.st_size : 0;
    return rc == RC_OK ? derivative_head_check(bytes->data, bytes->length, bytes->length, key, &header, err)
                       : rc;
}

static void keep(struct tier *tier, const struct derivative_key *key)
{
    OWN(bytes_done) struct bytes bytes = {0};
    char name[TIER_PURGES_NAME_BYTES];
    struct err err;
    if (read_local(tier, key, &bytes, &err) != RC_OK)
        return;
    name_of(key, name);
    enum rc rc = tier->place->ops->write(tier->place, name, bytes.data, bytes.length, &err);
    pthread_mutex_lock(&tier->mutex);
    tier->keep_pause_ms = rc == RC_OK ? 0 : longer(tier->keep_pause_ms);
    if (rc == RC_OK)
        atomic_fetch_add_explicit(&counters_of(tier)->tier_written_bytes, bytes.length, memory_order_relaxed);
    else if (err.os_errno == ENOSPC || err.os_errno == EDQUOT)
        atomic_store_explicit(&counters_of(tier)->tier_is_full, 1, memory_order_relaxed);
    if (rc != RC_OK) { /* what waits has no better chances */
        tier->keep_again_ms = clock_monotonic_ms() + tier->keep_pause_ms;
        tier->keep_count = 0;
    }
    pthread_mutex_unlock(&tier->mutex);
    count(rc == RC_OK ? &counters_of(tier)->tier_stored : &counters_of(tier)->tier_refused);
    if (rc != RC_OK)
        tier_note(tier, &err);
}

static enum rc remove_one(void *context, const char *name, struct err *err)
{
    struct tier_place *place = context;
    return place->ops->remove(place, name, err);
}

/* First the word to all, then the entries of an identifier, which lie together; others go with their age. */
static void carry_out(struct tier *tier, struct tier_order *order)
{
    char prefix[TIER_PURGES_NAME_BYTES];
    uint32_t mark = derivative_mark(order->text);
    struct err err;
    enum rc rc = tier_purges_write(tier->place, order->purge, order->text, order->epoch, &err);
    snprintf(prefix, sizeof prefix, "%02x/%08x-", mark >> 24, mark);
    if (rc == RC_OK && order->purge == SHM_PURGE_IDENTIFIER)
        rc = tier->place->ops->list(tier->place, prefix, remove_one, tier->place, &err);
    pthread_mutex_lock(&tier->mutex);
    order->rc = rc;
    if (rc != RC_OK)
        order->err = err;
    order->is_done = true;
    if (order->is_left)
        free(order);
    pthread_cond_broadcast(&tier->changed);
    pthread_mutex_unlock(&tier->mutex);
    if (rc != RC_OK)
        tier_note(tier, &err);
}

/* ---- what others have purged ---- */

static bool is_ours_to_look(struct tier *tier, int64_t now_ms)
{
    _Atomic int64_t *asked_ms = &counters_of(tier)->tier_asked_ms;
    int64_t last_ms = atomic_load_explicit(asked_ms, memory_order_relaxed);
    return (last_ms == 0 || now_ms - last_ms >= tier->poll_ms) &&
           atomic_compare_exchange_strong_explicit(asked_ms, &last_ms, now_ms, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static void look_for_purges(struct tier *tier)
{
    int64_t now_ms = clock_monotonic_ms();
    uint32_t purges = 0;
    struct err err;
    if (!is_ours_to_look(tier, now_ms))
        return;
    enum rc rc = tier_purges_read(tier->cache, tier->place, &purges, &err);
    if (rc == RC_OK)
        atomic_store_explicit(&counters_of(tier)->tier_known_ms, now_ms, memory_order_relaxed);
    if (rc == RC_OK && purges > TIER_PURGES_MOST)
        rc = tier_purges_join(tier->cache, tier->place, &err);
    if (rc != RC_OK)
        tier_note(tier, &err);
}

/* ---- the keeper ---- */

static void wait_for_work(struct tier *tier)
{
    if (tier->orders == NULL && tier->keep_count == 0 && !tier->stopping)
        clock_wait_until(&tier->kept, &tier->mutex, clock_monotonic_ms() + tier->poll_ms / 2);
}

static void *keep_for_all(void *argument)
{
    struct tier *tier = argument;
    pthread_setname_np(pthread_self(), "tier keeper");
    turns_give_way(TURNS_LARGE_WORK);
    pthread_mutex_lock(&tier->mutex);
    while (!tier->stopping) {
        struct tier_order *order = tier->orders;
        struct derivative_key key = {.length = 0};
        if (order != NULL) {
            tier->orders = order->next;
        } else if (tier->keep_count > 0) {
            key = tier->keep[tier->keep_first];
            tier->keep_first = (tier->keep_first + 1) % TIER_KEEPS;
            tier->keep_count--;
        }
        pthread_mutex_unlock(&tier->mutex);
        if (order != NULL)
            carry_out(tier, order);
        else if (key.length > 0)
            keep(tier, &key);
        look_for_purges(tier);
        pthread_mutex_lock(&tier->mutex);
        wait_for_work(tier);
    }
    tier_thread_ends(tier);
    pthread_mutex_unlock(&tier->mutex);
    return NULL;
}

/* ---- coming and going ---- */

static int start(struct tier *tier, void *(*run)(void *argument))
{
    pthread_t thread;
    pthread_mutex_lock(&tier->mutex);
    int failed = pthread_create(&thread, NULL, run, tier);
    if (failed == 0) {
        pthread_detach(thread); /* one may hang for ever */
        tier->threads++;
    }
    pthread_mutex_unlock(&tier->mutex);
    return failed;
}

enum rc tier_threads_start(struct tier *tier, struct err *err)
{
    int failed = start(tier, watch);
    for (uint32_t i = 0; failed == 0 && i < TIER_READERS; i++)
        failed = start(tier, read_for_all);
    if (failed == 0)
        failed = start(tier, keep_for_all);
    if (failed == 0 && tier->place->ops->sweep != NULL && tier->most_bytes > 0)
        failed = start(tier, tier_room_keep);
    return failed == 0 ? RC_OK
                       : err_set_errno(err, RC_IO, failed, "the threads of the lower tier cannot start");
}

bool tier_threads_stop(struct tier *tier)
{
    int64_t end_ms = clock_monotonic_ms() + CLOSE_PATIENCE_MS;
    pthread_mutex_lock(&tier->mutex);
    tier->stopping = true;
    pthread_cond_broadcast(&tier->asked);
    pthread_cond_broadcast(&tier->kept);
    pthread_cond_broadcast(&tier->stops);
    pthread_cond_broadcast(&tier->changed);
    while (tier->threads > 0 && clock_wait_until(&tier->changed, &tier->mutex, end_ms))
        continue;
    bool all_ended = tier->threads == 0;
    for (struct tier_job *job = tier->first, *next; all_ended && job != NULL; job = next) {
        next = job->next;
        free(job);
    }
    for (struct tier_order *order = tier->orders, *next; all_ended && order != NULL; order = next) {
        next = order->next;
        if (order->is_left)
            free(order);
    }
    pthread_mutex_unlock(&tier->mutex);
    return all_ended;
}
