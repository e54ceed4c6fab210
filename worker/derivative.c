#include "worker/derivative.h"

#include "base/log.h"
#include "base/own.h"
#include "cache/purges.h"
#include "worker/derivative_inside.h"

#define LEASE_BEYOND_MS 5000 /* the time that a render may take */

/* ---- looking ---- */

static void answer_found(struct worker_wanted *wanted, struct derivative *found)
{
    struct http_content content = {.length = found->length, .fd = -1};
    if (found->fd >= 0) {
        content.fd = TAKE_FD(found->fd);
        content.offset = found->offset;
    } else {
        content.data = found->bytes.data + found->offset;
        content.release = found->bytes.capacity > 0 ? free : NULL;
        content.context = found->bytes.data;
    }
    wanted->answer(wanted, &content);
}

enum derivatives_found worker_derivative_look(struct worker_derivatives *derivatives,
                                              struct worker_wanted *wanted, enum derivatives_look look)
{
    struct derivative found = {.fd = -1};
    enum derivatives_found how = derivatives_find(&derivatives->cache, &wanted->key, look, wanted->arena,
                                                  &found);
    if (how == DERIVATIVES_HIT)
        answer_found(wanted, &found);
    return how;
}

/* ---- coming and going ---- */

/* One that is away is a loss of speed only. It is not looked for again before the next start, which one that does not answer has when it
 * does. */
static enum rc open_tier(struct worker_derivatives *derivatives, const struct settings *settings,
                         struct err *err)
{
    if (settings->derivative_tier[0] == '\0' || derivatives->cache.folder < 0)
        return RC_OK;
    enum rc rc = tier_open(settings, &derivatives->cache, &derivatives->tier, &derivatives->tier_answer_fd,
                           err);
    if (rc != RC_IO && rc != RC_LATE)
        return rc;
    log_warning("%s; dear derivatives are not shared%s", err->message, rc == RC_LATE ? " until it does" : "");
    return RC_OK;
}

enum rc worker_derivatives_new(const struct worker_heritage *heritage, int folder,
                               struct worker_derivatives **ret_derivatives, struct err *err)
{
    const struct settings *settings = heritage->settings;
    const struct shm_slot *slot = &heritage->segment->slot[heritage->slot];
    const struct derivatives_limits limits = {.most_bytes = (uint64_t)settings->cache_size,
                                              .most_files = (uint64_t)settings->cache_files,
                                              .most_age_s = settings->cache_max_age_s};
    struct worker_derivatives *derivatives = calloc(1, sizeof *derivatives);
    if (derivatives == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the cache of derivatives");
    derivatives_init(&derivatives->cache, heritage->derivatives, &limits);
    derivatives->cache.folder = folder;
    derivatives->tier_answer_fd = -1;
    const uint64_t server[] = {(uint64_t)heritage->segment->started_ms, (uint64_t)getppid()};
    derivatives->cache.server = bytes_hash(BYTES_HASH_START, server, sizeof server);
    derivatives->cache.slot = heritage->slot;
    derivatives->cache.generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    derivatives->holder = (struct shm_leaseholder){.leases = &heritage->segment->leases,
                                                   .slots = heritage->segment->slot,
                                                   .slot = heritage->slot,
                                                   .generation = derivatives->cache.generation};
    derivatives->lease_ms = settings->render_timeout_s * 1000 + LEASE_BEYOND_MS;
    pthread_mutex_init(&derivatives->lock, NULL);
    enum rc rc = open_tier(derivatives, settings, err);
    if (rc != RC_OK)
        worker_derivatives_free(&derivatives);
    *ret_derivatives = derivatives;
    return rc;
}

static void note(const char *sentence)
{
    log_warning("%s", sentence);
}

enum rc worker_derivatives_start(struct worker_derivatives *derivatives, struct err *err)
{
    if (purges_load(&derivatives->cache, err) != RC_OK)
        log_warning("%s", err->message);
    /* Whoever was here before may have died with a file that it had not counted yet. */
    atomic_store_explicit(&derivatives->cache.shared->catalogue->incomplete, 1, memory_order_relaxed);
    if (derivatives->cache.folder >= 0 &&
        janitor_start(&derivatives->cache, note, &derivatives->janitor, err) != RC_OK)
        log_warning("%s", err->message);
    if (derivatives->tier != NULL && tier_start(derivatives->tier, note, err) != RC_OK)
        log_warning("%s", err->message);
    return worker_flight_watch_start(derivatives, err);
}

void worker_derivatives_quit(struct worker_derivatives *derivatives)
{
    if (derivatives == NULL)
        return;
    janitor_stop(&derivatives->janitor);
    tier_cancel(derivatives->tier);
    worker_flight_watch_stop(derivatives);
}

void worker_derivatives_free(struct worker_derivatives **derivatives)
{
    struct worker_derivatives *freed = TAKE_PTR(*derivatives);
    if (freed == NULL)
        return;
    tier_close(&freed->tier);
    own_close(&freed->tier_answer_fd);
    worker_flight_watch_done(freed);
    pthread_mutex_destroy(&freed->lock);
    derivatives_done(&freed->cache);
    free(freed);
}

struct derivatives *worker_derivatives_cache(struct worker_derivatives *derivatives)
{
    return &derivatives->cache;
}

int worker_derivatives_answer_fd(const struct worker_derivatives *derivatives)
{
    if (derivatives == NULL)
        return -1;
    return derivatives->tier != NULL ? tier_lost_fd(derivatives->tier) : derivatives->tier_answer_fd;
}

struct tier *worker_derivatives_tier(struct worker_derivatives *derivatives)
{
    return derivatives != NULL ? derivatives->tier : NULL;
}
