#include "cache/remote_claims.h"

#include "base/clock.h"
#include "cache/remote_stale.h"

#include <string.h>

#define IDLE_MS 10000 /* between looks while there is nothing to watch */

#define LOOK UINT64_MAX /* in place of a block's number */

#define WORD_RC_BITS 8
#define WORD_MOST_S  (UINT32_MAX >> WORD_RC_BITS)

/* ---- leases ---- */

static struct shm_lease_key key_of(const struct remote *remote, const char *path, uint64_t version,
                                   uint64_t number)
{
    uint64_t low = bytes_hash(BYTES_HASH_START, path, strlen(path)), high = ~BYTES_HASH_START;
    const uint64_t words[] = {low, version, number};
    high = bytes_hash(high, remote->transport->name, strlen(remote->transport->name));
    high = bytes_hash(high, words, sizeof words);
    return (struct shm_lease_key){.low = bytes_hash(low, words, sizeof words), .high = high ^ high >> 32};
}

static struct shm_lease_key block_key(const struct remote_content *content, uint64_t block)
{
    const struct block_subject *subject = block_file_subject(content->blocks);
    return key_of(content->remote, subject->name, origin_version_hash(&subject->version), block);
}

static struct shm_lease_key look_key(const struct remote *remote, const char *path)
{
    return key_of(remote, path, 0, LOOK);
}

static enum shm_lease_claim claim(const struct remote *remote, struct shm_lease_key key)
{
    int64_t now_ms = clock_monotonic_ms();
    return shm_lease_claim(&remote->holder, key, now_ms, now_ms + remote->options.lease_ms);
}

bool remote_claim_look(struct remote *remote, const char *path)
{
    return !remote->shares || claim(remote, look_key(remote, path)) != SHM_LEASE_THEIRS;
}

bool remote_claim_block(const struct remote_content *content, uint64_t block)
{
    return !content->remote->shares || claim(content->remote, block_key(content, block)) != SHM_LEASE_THEIRS;
}

void remote_give_back_block(const struct remote_content *content, uint64_t block)
{
    if (content->remote->shares)
        shm_lease_release(&content->remote->holder, block_key(content, block));
}

void remote_claim_longer(struct remote_flight *flight)
{
    struct remote *remote = flight->file->remote;
    int64_t now_ms = clock_monotonic_ms();
    if (!remote->shares || now_ms - flight->claimed_ms < remote->options.lease_ms / 4)
        return;
    flight->claimed_ms = now_ms;
    if (flight->fetch.first)
        claim(remote, look_key(remote, flight->file->path));
    for (uint64_t block = flight->at / BLOCK_BYTES; block < flight->first_block + flight->block_count;
         block++)
        claim(remote, block_key(flight->content, block));
}

/* The word that a failure is left as: its code and, above it, in how many seconds one may come again. */
static uint32_t word_for(enum rc rc, const struct err *err)
{
    uint32_t retry_s = err->retry_s < WORD_MOST_S ? err->retry_s : WORD_MOST_S;
    return retry_s << WORD_RC_BITS | (uint32_t)rc;
}

static void give_back(const struct remote *remote, struct shm_lease_key key, enum rc rc,
                      const struct err *err)
{
    if (rc == RC_OK || rc == RC_CANCELLED) /* the first to come tries anew */
        shm_lease_release(&remote->holder, key);
    else
        shm_lease_fail(&remote->holder, key, clock_monotonic_ms(), word_for(rc, err));
}

void remote_give_back(struct remote_flight *flight, enum rc rc, const struct err *err)
{
    const struct remote *remote = flight->file->remote;
    if (!remote->shares || flight->elsewhere)
        return;
    if (flight->fetch.first)
        give_back(remote, look_key(remote, flight->file->path), rc, err);
    for (uint64_t i = 0; i < flight->block_count; i++)
        give_back(remote, block_key(flight->content, flight->first_block + i), rc, err);
}

/* ---- what others fetch ---- */

/* How the other has failed, if it has left word. */
static enum rc word_of(const struct remote *remote, struct shm_lease_key key, const char *path,
                       struct err *err)
{
    uint32_t word = shm_lease_word(&remote->holder, key, clock_monotonic_ms());
    enum rc rc = (enum rc)(word & ((1u << WORD_RC_BITS) - 1));
    switch (rc) {
    case RC_NOT_FOUND:
        return err_set(err, RC_NOT_FOUND, "there is no image '%.180s'", path);
    case RC_FORBIDDEN:
    case RC_UNSUPPORTED:
    case RC_TOO_LARGE:
    case RC_ORIGIN:
    case RC_LATE:
    case RC_BUSY:
        err_set(err, rc, "the origin did not give '%.150s' to another worker that asked for it", path);
        err->retry_s = word >> WORD_RC_BITS;
        return rc;
    default:
        return RC_OK; /* it has not failed, or for reasons of its own */
    }
}

/* Whether it is over with that lease: the other has given it back, or is no more. */
static bool is_free(const struct remote *remote, struct shm_lease_key key)
{
    if (claim(remote, key) == SHM_LEASE_THEIRS)
        return false;
    shm_lease_release(&remote->holder, key);
    return true;
}

/* True when the flight is to land, with *ret_rc. The file's path and the flight's content do not change. */
static bool is_over(struct remote_flight *flight, enum rc *ret_rc, struct err *err)
{
    struct remote *remote = flight->file->remote;
    const char *path = flight->file->path;
    *ret_rc = RC_OK;
    if (flight->fetch.first) {
        struct shm_lease_key key = look_key(remote, path);
        *ret_rc = word_of(remote, key, path, err);
        return *ret_rc != RC_OK || is_free(remote, key);
    }
    for (uint64_t i = flight->first_block; i < flight->first_block + flight->block_count; i++) {
        struct shm_lease_key key = block_key(flight->content, i);
        if (block_file_has(flight->content->blocks, i))
            continue;
        *ret_rc = word_of(remote, key, path, err);
        return *ret_rc != RC_OK || is_free(remote, key);
    }
    return true;
}

void remote_watch_flight(struct remote_flight *flight)
{
    struct remote *remote = flight->file->remote;
    flight->elsewhere = true;
    flight->watch_next = remote->watched;
    remote->watched = flight;
    shm_lease_ring(&remote->holder); /* the thread has to look more often now */
}

static void *watch_thread(void *argument)
{
    struct remote *remote = argument;
    pthread_setname_np(pthread_self(), "claims");
    for (;;) {
        uint32_t rung = shm_lease_rung(&remote->holder);
        pthread_mutex_lock(&remote->mutex);
        struct remote_flight *flight = remote->watched, *next, *left = NULL;
        bool stops = remote->watch_stops, cancelled = remote->cancelled;
        remote->watched = NULL;
        pthread_mutex_unlock(&remote->mutex);
        for (; flight != NULL; flight = next) {
            struct err err;
            enum rc rc = RC_OK;
            next = flight->watch_next;
            if (cancelled)
                rc = err_set(&err, RC_CANCELLED, "the server is going down");
            if (cancelled || is_over(flight, &rc, &err)) {
                remote_flight_land(flight, rc, rc != RC_OK ? &err : NULL);
            } else {
                flight->watch_next = left;
                left = flight;
            }
        }
        if (stops)
            return NULL;
        pthread_mutex_lock(&remote->mutex);
        while (left != NULL) {
            next = left->watch_next;
            left->watch_next = remote->watched;
            remote->watched = left;
            left = next;
        }
        int64_t wait_ms, most_ms = remote->watched == NULL ? IDLE_MS : SHM_LEASE_LOOK_MS;
        struct origin_waiter *waiter = remote_stale_let_go(remote, clock_monotonic_ms(), &wait_ms);
        pthread_mutex_unlock(&remote->mutex);
        for (struct origin_waiter *after; waiter != NULL; waiter = after) {
            after = waiter->next;
            waiter->ready(waiter, RC_OK, NULL);
        }
        shm_lease_wait(&remote->holder, rung, wait_ms < most_ms ? wait_ms : most_ms);
    }
}

enum rc remote_watch_start(struct remote *remote, struct err *err)
{
    int failed = remote->served ? pthread_create(&remote->watch, NULL, watch_thread, remote) : 0;
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed, "the thread that waits for what others fetch cannot start");
    remote->watches = remote->served;
    return RC_OK;
}

void remote_watch_stop(struct remote *remote)
{
    if (!remote->watches)
        return;
    pthread_mutex_lock(&remote->mutex);
    remote->watch_stops = true;
    pthread_mutex_unlock(&remote->mutex);
    shm_lease_ring(&remote->holder);
    pthread_join(remote->watch, NULL);
    remote->watches = false;
}
