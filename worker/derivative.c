#include "worker/derivative.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "cache/janitor.h"
#include "cache/purges.h"

#include <pthread.h>
#include <string.h>

#define BUCKETS         256u
#define LEASE_BEYOND_MS 5000  /* the time that a render may take */
#define IDLE_LOOK_MS    10000 /* of the watch, while nobody waits */
#define SAY_AGAIN_MS    60000 /* that the cache cannot be written */

/* A body that several answers are sent from. */
struct shared_body {
    _Atomic uint32_t references;
    struct bytes bytes;
};

/* In the table until its maker lets go or is done, or nobody waits any more. `made`... belongs to the maker. */
struct worker_flight {
    struct worker_derivatives *derivatives;
    struct worker_flight *chain;
    struct worker_flight *taken; /* watch */
    struct derivative_key key;
    uint64_t epoch;
    struct shared_body *body;    /* maker */
    struct derivative_file file; /* maker */
    bool file_failed;            /* maker */
    bool is_dear;                /* maker */
    /* Under the lock. */
    bool listed, leased, making;
    struct worker_wanted *first, **last;
};

struct worker_derivatives {
    struct derivatives cache;
    struct shm_leaseholder holder;
    int64_t lease_ms;
    pthread_mutex_t lock;
    struct worker_flight *bucket[BUCKETS];
    uint32_t waiting; /* requests, in all flights */
    bool quits, watches;
    pthread_t watch;
    struct janitor *janitor;
    struct tier *tier; /* NULL: none */
    _Atomic int64_t said_ms;
};

/* ---- bodies ---- */

static void body_release(void *context)
{
    struct shared_body *body = context;
    if (body == NULL || atomic_fetch_sub_explicit(&body->references, 1, memory_order_acq_rel) != 1)
        return;
    bytes_done(&body->bytes);
    free(body);
}

static struct http_content body_content(struct shared_body *body)
{
    atomic_fetch_add_explicit(&body->references, 1, memory_order_relaxed);
    return (struct http_content){.length = body->bytes.length,
                                 .data = body->bytes.data,
                                 .fd = -1,
                                 .release = body_release,
                                 .context = body};
}

/* ---- looking ---- */

static void answer_found(struct worker_wanted *wanted, struct derivative *found)
{
    struct http_content content = {.length = found->length, .fd = -1};
    if (found->fd >= 0) {
        content.fd = TAKE_FD(found->fd);
        content.offset = found->offset;
    } else {
        content.data = found->bytes.data + found->offset;
        content.release = free;
        content.context = found->bytes.data;
        found->bytes = (struct bytes){0};
    }
    wanted->answer(wanted, &content);
}

enum derivatives_found worker_derivative_look(struct worker_derivatives *derivatives,
                                              struct worker_wanted *wanted, enum derivatives_look look)
{
    struct derivative found = {.fd = -1};
    enum derivatives_found how = derivatives_find(&derivatives->cache, &wanted->key, look, &found);
    if (how == DERIVATIVES_HIT)
        answer_found(wanted, &found);
    return how;
}

/* ---- the table, under the lock ---- */

static struct worker_flight **bucket_of(struct worker_derivatives *derivatives,
                                        const struct derivative_key *key)
{
    return &derivatives->bucket[key->hash.low % BUCKETS];
}

static struct worker_flight *find_flight(struct worker_derivatives *derivatives,
                                         const struct derivative_key *key)
{
    struct worker_flight *flight = *bucket_of(derivatives, key);
    while (flight != NULL &&
           (flight->key.length != key->length || memcmp(flight->key.text, key->text, key->length) != 0))
        flight = flight->chain;
    return flight;
}

static void unlist(struct worker_flight *flight)
{
    if (!flight->listed)
        return;
    struct worker_flight **link = bucket_of(flight->derivatives, &flight->key);
    while (*link != flight)
        link = &(*link)->chain;
    *link = flight->chain;
    flight->listed = false;
}

static void append(struct worker_flight *flight, struct worker_wanted *wanted)
{
    wanted->next = NULL;
    *flight->last = wanted;
    flight->last = &wanted->next;
    if (flight->derivatives->waiting++ == 0)
        shm_lease_ring(&flight->derivatives->holder); /* the watch has to look more often now */
}

static struct worker_wanted *pop(struct worker_flight *flight)
{
    struct worker_wanted *wanted = flight->first;
    if (wanted == NULL)
        return NULL;
    flight->first = wanted->next;
    if (flight->first == NULL)
        flight->last = &flight->first;
    flight->derivatives->waiting--;
    return wanted;
}

static enum shm_lease_claim claim(struct worker_derivatives *derivatives, const struct derivative_key *key)
{
    const struct shm_lease_key lease = {key->hash.low, key->hash.high};
    int64_t now_ms = clock_monotonic_ms();
    return shm_lease_claim(&derivatives->holder, lease, now_ms, now_ms + derivatives->lease_ms);
}

/* ---- the end of flights, without the lock ---- */

static void release_lease(struct worker_flight *flight)
{
    const struct shm_lease_key lease = {flight->key.hash.low, flight->key.hash.high};
    if (flight->leased)
        shm_lease_release(&flight->derivatives->holder, lease);
    flight->leased = false;
}

static void flight_free(struct worker_flight *flight)
{
    body_release(flight->body);
    derivative_file_done(&flight->file);
    free(flight);
}

enum when_empty { STAYS, LEAVES /* the table: nobody can join any more */ };

/* The next who waits; NULL: nobody. */
static struct worker_wanted *next_wanted(struct worker_flight *flight, enum when_empty when_empty)
{
    struct worker_derivatives *derivatives = flight->derivatives;
    pthread_mutex_lock(&derivatives->lock);
    struct worker_wanted *wanted = pop(flight);
    if (wanted == NULL && when_empty == LEAVES)
        unlist(flight);
    pthread_mutex_unlock(&derivatives->lock);
    return wanted;
}

static void forget_making(struct worker_flight *flight)
{
    body_release(flight->body);
    flight->body = NULL;
    derivative_file_done(&flight->file);
    flight->file = DERIVATIVE_FILE_NONE;
    flight->file_failed = flight->is_dear = false;
}

/* The flight is this thread's: who waits is answered where the derivative is there by now; the first for whom it is not makes
 * it, and the others go on waiting. */
static void go_on(struct worker_flight *flight)
{
    struct worker_wanted *wanted;
    struct err err;
    forget_making(flight);
    while ((wanted = next_wanted(flight, LEAVES)) != NULL) {
        if (worker_derivative_look(flight->derivatives, wanted, DERIVATIVES_AGAIN) == DERIVATIVES_HIT) {
            atomic_fetch_add_explicit(&flight->derivatives->cache.shared->counters->shared, 1,
                                      memory_order_relaxed);
            continue;
        }
        flight->epoch = shm_fences_epoch(flight->derivatives->cache.shared->fences);
        if (flight->leased)
            claim(flight->derivatives, &flight->key); /* renewed */
        if (wanted->make(wanted, flight, &err))
            return;
        wanted->refuse(wanted, &err);
    }
    release_lease(flight);
    flight_free(flight);
}

/* ---- joining ---- */

static struct worker_flight *flight_new(struct worker_derivatives *derivatives,
                                        const struct derivative_key *key)
{
    struct worker_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    flight->derivatives = derivatives;
    flight->key = *key;
    flight->file = DERIVATIVE_FILE_NONE;
    flight->last = &flight->first;
    flight->epoch = shm_fences_epoch(derivatives->cache.shared->fences);
    return flight;
}

/* Under the lock: finds the flight or begins one. NULL: no memory. *ret_is_ours: the caller is to make it. */
static struct worker_flight *enter(struct worker_derivatives *derivatives, struct worker_wanted *wanted,
                                   bool *ret_is_ours)
{
    struct worker_flight *flight = find_flight(derivatives, &wanted->key);
    *ret_is_ours = flight == NULL;
    if (flight != NULL) {
        append(flight, wanted);
        return flight;
    }
    flight = flight_new(derivatives, &wanted->key);
    if (flight == NULL)
        return NULL;
    enum shm_lease_claim claimed = claim(derivatives, &wanted->key);
    struct worker_flight **bucket = bucket_of(derivatives, &wanted->key);
    flight->chain = *bucket;
    *bucket = flight;
    flight->listed = true;
    flight->leased = claimed == SHM_LEASE_OURS;
    flight->making = claimed != SHM_LEASE_THEIRS;
    if (!flight->making) {
        *ret_is_ours = false;
        append(flight, wanted);
    }
    return flight;
}

bool worker_derivative_join(struct worker_derivatives *derivatives, struct worker_wanted *wanted,
                            struct worker_flight **ret_flight)
{
    bool is_ours = false;
    pthread_mutex_lock(&derivatives->lock);
    struct worker_flight *flight = derivatives->quits ? NULL : enter(derivatives, wanted, &is_ours);
    pthread_mutex_unlock(&derivatives->lock);
    *ret_flight = flight;
    if (flight == NULL)
        return false;
    if (!is_ours)
        return true;
    /* Somebody may have made it between our look and the lease. */
    if (worker_derivative_look(derivatives, wanted, DERIVATIVES_AGAIN) != DERIVATIVES_HIT)
        return false;
    go_on(flight);
    return true;
}

/* ---- the maker ---- */

struct http_content worker_flight_share(struct worker_flight *flight, struct bytes *body)
{
    struct shared_body *shared = malloc(sizeof *shared);
    if (shared == NULL) { /* then it is the caller's alone */
        const struct http_content alone = {
            .length = body->length, .data = body->data, .fd = -1, .release = free, .context = body->data};
        *body = (struct bytes){0};
        return alone;
    }
    *shared = (struct shared_body){.references = 1, .bytes = *body};
    *body = (struct bytes){0};
    flight->body = shared;
    return body_content(shared);
}

static void say(struct worker_derivatives *derivatives, const struct err *err)
{
    int64_t now_ms = clock_monotonic_ms(),
            said_ms = atomic_load_explicit(&derivatives->said_ms, memory_order_relaxed);
    if (said_ms == 0 || now_ms - said_ms > SAY_AGAIN_MS) {
        atomic_store_explicit(&derivatives->said_ms, now_ms, memory_order_relaxed);
        log_warning("%s", err->message);
    }
}

void worker_flight_add(struct worker_flight *flight, const void *data, size_t length)
{
    struct err err;
    enum rc rc = RC_OK;
    if (flight == NULL || flight->file_failed)
        return;
    if (flight->file.fd < 0)
        rc = derivative_file_begin(&flight->derivatives->cache, &flight->key, &flight->file, &err);
    if (rc == RC_OK)
        rc = derivative_file_add(&flight->file, &flight->key, data, length, &err);
    flight->file_failed = rc != RC_OK;
    if (rc != RC_OK && rc != RC_UNSUPPORTED)
        say(flight->derivatives, &err);
}

void worker_flight_let_go(struct worker_flight *flight)
{
    if (flight == NULL)
        return;
    struct worker_derivatives *derivatives = flight->derivatives;
    struct worker_flight *rest = NULL;
    pthread_mutex_lock(&derivatives->lock);
    bool was_listed = flight->listed;
    if (was_listed && flight->first != NULL)
        rest = flight_new(derivatives, &flight->key);
    if (rest != NULL) { /* takes the place of this one in the table, and its lease */
        *rest->last = flight->first;
        rest->last = flight->last;
        flight->first = NULL;
        flight->last = &flight->first;
        unlist(flight);
        rest->chain = *bucket_of(derivatives, &rest->key);
        *bucket_of(derivatives, &rest->key) = rest;
        rest->listed = rest->making = true;
        rest->leased = flight->leased;
        flight->leased = false;
    } else if (flight->first == NULL) {
        unlist(flight);
    }
    pthread_mutex_unlock(&derivatives->lock);
    if (rest != NULL)
        go_on(rest);
    else if (was_listed && !flight->listed)
        release_lease(flight);
}

void worker_flight_is_dear(struct worker_flight *flight)
{
    if (flight != NULL)
        flight->is_dear = true;
}

bool worker_flight_is_awaited(struct worker_flight *flight)
{
    if (flight == NULL)
        return false;
    pthread_mutex_lock(&flight->derivatives->lock);
    bool is_awaited = flight->first != NULL;
    pthread_mutex_unlock(&flight->derivatives->lock);
    return is_awaited;
}

static bool store(struct worker_flight *flight)
{
    struct err err;
    if (flight->body != NULL && flight->body->bytes.length > 0)
        worker_flight_add(flight, flight->body->bytes.data, flight->body->bytes.length);
    if (flight->file.fd < 0 || flight->file_failed)
        return false;
    enum rc rc = derivative_file_end(&flight->file, &flight->key, flight->epoch, &err);
    if (rc != RC_OK && rc != RC_UNSUPPORTED)
        say(flight->derivatives, &err);
    return rc == RC_OK;
}

/* Everybody here who waits gets the bytes. */
static void answer_all(struct worker_flight *flight, enum when_empty when_empty)
{
    struct worker_wanted *wanted;
    while ((wanted = next_wanted(flight, when_empty)) != NULL) {
        struct http_content content = body_content(flight->body);
        atomic_fetch_add_explicit(&flight->derivatives->cache.shared->counters->shared, 1,
                                  memory_order_relaxed);
        wanted->answer(wanted, &content);
    }
}

/* What cannot be shared: each makes it for itself, at the same time. */
static void make_alone(struct worker_flight *flight)
{
    struct worker_wanted *wanted;
    struct err err;
    while ((wanted = next_wanted(flight, LEAVES)) != NULL)
        if (worker_derivative_look(flight->derivatives, wanted, DERIVATIVES_AGAIN) != DERIVATIVES_HIT &&
            !wanted->make(wanted, NULL, &err))
            wanted->refuse(wanted, &err);
}

void worker_flight_end(struct worker_flight *flight)
{
    if (flight == NULL)
        return;
    struct shared_body *body = flight->body;
    bool is_kept = body != NULL && derivatives_keep(&flight->derivatives->cache, &flight->key, flight->epoch,
                                                    body->bytes.data, body->bytes.length);
    if (is_kept) /* the others find it from now on, whatever becomes of the file */
        release_lease(flight);
    if (body != NULL)
        answer_all(flight, is_kept ? LEAVES : STAYS);
    if (store(flight) && flight->is_dear)
        tier_keep(flight->derivatives->tier, &flight->key);
    if (body != NULL)
        answer_all(flight, LEAVES); /* who came meanwhile */
    else
        make_alone(flight);
    release_lease(flight);
    flight_free(flight);
}

void worker_flight_fail(struct worker_flight *flight, const struct err *err)
{
    struct worker_wanted *wanted;
    if (flight == NULL)
        return;
    if (err->rc == RC_BUSY || err->rc == RC_CANCELLED || err->rc == RC_NO_MEMORY) {
        go_on(flight);
        return;
    }
    while ((wanted = next_wanted(flight, LEAVES)) != NULL) /* the same request fails in the same way */
        wanted->refuse(wanted, err);
    release_lease(flight);
    flight_free(flight);
}

/* ---- the watch ---- */

/* Takes those out of the flight whose time is over or whose client has left. */
static void take_late(struct worker_flight *flight, int64_t now_ms, struct worker_wanted **late)
{
    struct worker_wanted **link = &flight->first;
    while (*link != NULL) {
        struct worker_wanted *wanted = *link;
        if (now_ms <= wanted->deadline_ms && !http_exchange_abandoned(wanted->exchange)) {
            link = &wanted->next;
            continue;
        }
        *link = wanted->next;
        wanted->next = *late;
        *late = wanted;
        flight->derivatives->waiting--;
    }
    flight->last = link;
}

/* Flights that others make: those whose lease is to be had are this thread's now. */
static struct worker_flight *take_free(struct worker_derivatives *derivatives, struct worker_wanted **late)
{
    struct worker_flight *taken = NULL;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&derivatives->lock);
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct worker_flight *flight = derivatives->bucket[i]; flight != NULL; flight = flight->chain) {
            take_late(flight, now_ms, late);
            if (flight->making)
                continue;
            enum shm_lease_claim claimed = claim(derivatives, &flight->key);
            if (claimed == SHM_LEASE_THEIRS)
                continue;
            flight->leased = claimed == SHM_LEASE_OURS;
            flight->making = true;
            flight->taken = taken;
            taken = flight;
        }
    pthread_mutex_unlock(&derivatives->lock);
    return taken;
}

static void refuse_all(struct worker_wanted *late)
{
    struct err err;
    err_set(&err, RC_BUSY, "the image took too long, please try again");
    for (struct worker_wanted *next; late != NULL; late = next) {
        next = late->next;
        late->refuse(late, &err);
    }
}

static void *watch(void *argument)
{
    struct worker_derivatives *derivatives = argument;
    pthread_setname_np(pthread_self(), "derivatives");
    for (;;) {
        uint32_t rung = shm_lease_rung(&derivatives->holder);
        pthread_mutex_lock(&derivatives->lock);
        bool quits = derivatives->quits, is_idle = derivatives->waiting == 0;
        pthread_mutex_unlock(&derivatives->lock);
        if (quits)
            return NULL;
        struct worker_wanted *late = NULL;
        struct worker_flight *flight = take_free(derivatives, &late);
        refuse_all(late);
        for (struct worker_flight *next; flight != NULL; flight = next) {
            next = flight->taken;
            go_on(flight);
        }
        shm_lease_wait(&derivatives->holder, rung, is_idle ? IDLE_LOOK_MS : SHM_LEASE_LOOK_MS);
    }
}

/* ---- coming and going ---- */

/* One that is away is a loss of speed only, and is not looked for again before the next start. */
static enum rc open_tier(struct worker_derivatives *derivatives, const struct settings *settings,
                         struct err *err)
{
    if (settings->derivative_tier[0] == '\0' || derivatives->cache.folder < 0)
        return RC_OK;
    enum rc rc = tier_open(settings, &derivatives->cache, &derivatives->tier, err);
    if (rc != RC_IO)
        return rc;
    log_warning("%s; dear derivatives are not shared", err->message);
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
    int failed = pthread_create(&derivatives->watch, NULL, watch, derivatives);
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed,
                             "the thread that waits for others' derivatives cannot start");
    derivatives->watches = true;
    return RC_OK;
}

void worker_derivatives_quit(struct worker_derivatives *derivatives)
{
    if (derivatives == NULL)
        return;
    janitor_stop(&derivatives->janitor);
    tier_cancel(derivatives->tier);
    if (!derivatives->watches)
        return;
    pthread_mutex_lock(&derivatives->lock);
    derivatives->quits = true;
    pthread_mutex_unlock(&derivatives->lock);
    shm_lease_ring(&derivatives->holder);
    pthread_join(derivatives->watch, NULL);
    derivatives->watches = false;
}

void worker_derivatives_free(struct worker_derivatives **derivatives)
{
    struct worker_derivatives *freed = TAKE_PTR(*derivatives);
    if (freed == NULL)
        return;
    tier_close(&freed->tier);
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct worker_flight *flight = freed->bucket[i], *next; flight != NULL; flight = next) {
            next = flight->chain;
            refuse_all(flight->first);
            flight_free(flight);
        }
    pthread_mutex_destroy(&freed->lock);
    free(freed);
}

struct derivatives *worker_derivatives_cache(struct worker_derivatives *derivatives)
{
    return &derivatives->cache;
}

struct tier *worker_derivatives_tier(struct worker_derivatives *derivatives)
{
    return derivatives != NULL ? derivatives->tier : NULL;
}
