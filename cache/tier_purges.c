#include "cache/tier_purges.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/purges.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FOLDER     "purges/"
#define MOST_BYTES (sizeof(struct purges_record) + SHM_FENCES_PREFIX_BYTES)

/* Who has not read the list for so long may not have heard of all that was joined since. */
#define HEARD_MS      60000
#define JOIN_AFTER_MS UINT64_C(120000) /* only what is so old is joined: all who are there have heard of it */
#define NEWS_MS       UINT64_C(600000) /* after a start, what is younger may not have been heard of before */

/* ---- names ---- */

void tier_purge_name(const struct tier_purge *purge, char ret_name[TIER_PURGES_NAME_BYTES])
{
    snprintf(ret_name, TIER_PURGES_NAME_BYTES, FOLDER "%016" PRIx64 "-%c-%016" PRIx64, purge->epoch,
             purge->kind, purge->hash);
}

bool tier_purge_read_name(const char *name, struct tier_purge *ret_purge)
{
    struct tier_purge purge;
    char again[TIER_PURGES_NAME_BYTES];
    if (sscanf(name, FOLDER "%16" SCNx64 "-%c-%16" SCNx64, &purge.epoch, &purge.kind, &purge.hash) != 3 ||
        purge.epoch == 0 || strchr("ipat", purge.kind) == NULL)
        return false;
    tier_purge_name(&purge, again);
    if (strcmp(name, again) != 0)
        return false;
    *ret_purge = purge;
    return true;
}

/* ---- reading ---- */

struct reading {
    struct derivatives *cache;
    struct tier_place *place;
    bool
        is_first; /* since the server's start, or for long: purges may have been joined that it never heard of */
    bool is_start;   /* of the server: what was purged long ago it knows by its own list */
    uint64_t now_ms; /* wall clock, as epochs */
    uint32_t count;
    struct bytes news;     /* struct purges_foreign, of those that are not known yet */
    uint64_t joined_epoch; /* of the latest that took the place of many */
};

static bool is_known(const struct shm_fences *fences, const struct tier_purge *purge, const char *text)
{
    uint64_t before = purge->epoch - 1;
    uint32_t mark = purge->kind == 'i' ? (uint32_t)purge->hash : 0;
    if (purge->kind == 'i' || purge->kind == 'p')
        return shm_fences_is_fenced(fences, before, mark, text);
    return before < atomic_load_explicit(&fences->all, memory_order_acquire);
}

/* The prefix that the purge is about. RC_CORRUPT: its content is none; RC_NOT_FOUND: it has been cleared away. */
static enum rc read_prefix(const struct reading *reading, const char *name, const struct tier_purge *purge,
                           char ret_text[SHM_FENCES_PREFIX_BYTES], struct err *err)
{
    OWN(bytes_done) struct bytes bytes = {0};
    struct purges_record record;
    enum rc rc = reading->place->ops->read(reading->place, name, MOST_BYTES, &bytes, err);
    if (rc != RC_OK)
        return rc;
    if (purges_record_read(bytes.data, bytes.length, &record) != PURGES_RECORD ||
        record.kind != SHM_PURGE_PREFIX || record.epoch != purge->epoch)
        return err_set(err, RC_CORRUPT, "the purge %.60s of the lower tier is broken", name);
    memcpy(ret_text, bytes.data + sizeof record, record.text_bytes);
    ret_text[record.text_bytes] = '\0';
    return RC_OK;
}

static enum rc note_purge(void *context, const char *name, struct err *err)
{
    struct reading *reading = context;
    const struct shm_fences *fences = reading->cache->shared->tier_fences;
    struct tier_purge purge;
    if (!tier_purge_read_name(name, &purge))
        return RC_OK; /* somebody else's */
    reading->count++;
    if (purge.kind != 'p' && is_known(fences, &purge, ""))
        return RC_OK;
    struct purges_foreign foreign = {.purge = SHM_PURGE_ALL, .epoch = purge.epoch};
    enum rc rc = purge.kind == 'p' ? read_prefix(reading, name, &purge, foreign.text, err) : RC_OK;
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    if (rc != RC_OK && rc != RC_CORRUPT) /* a broken one purges everything */
        return rc;
    if (purge.kind == 'p' && rc == RC_OK && is_known(fences, &purge, foreign.text))
        return RC_OK;
    if (purge.kind == 't' && purge.epoch > reading->joined_epoch)
        reading->joined_epoch = purge.epoch;
    if (purge.kind == 't' && !reading->is_first && purge.epoch <= shm_fences_epoch(fences))
        return RC_OK;
    foreign.is_news = !reading->is_start || purge.epoch + NEWS_MS > reading->now_ms;
    if (purge.kind == 'i') {
        foreign.purge = SHM_PURGE_IDENTIFIER;
        foreign.mark = (uint32_t)purge.hash;
    } else if (purge.kind == 'p' && rc == RC_OK) {
        foreign.purge = SHM_PURGE_PREFIX;
    }
    return bytes_append(&reading->news, &foreign, sizeof foreign, err);
}

/* Raises the tier's fences. The cache's stand by now: were they raised last, a failure would never be made good. */
static enum rc raise_fences(const struct reading *reading, struct err *err)
{
    struct shm_derivatives *shared = reading->cache->shared;
    const struct purges_foreign *foreign = (const void *)reading->news.data;
    if (!shm_fences_take(shared->tier_fences))
        return err_set(err, RC_BUSY, "another worker stands still in a purge of the lower tier");
    for (size_t i = 0; i < reading->news.length / sizeof *foreign; i++)
        shm_fences_raise(shared->tier_fences, foreign[i].purge, foreign[i].text, foreign[i].mark,
                         foreign[i].epoch);
    if (reading->joined_epoch > 0)
        shm_fences_raise(shared->tier_fences, SHM_PURGE_ALL, "", 0, reading->joined_epoch);
    shm_fences_give(shared->tier_fences);
    if (reading->joined_epoch > 0 && shm_fences_take(shared->fences)) {
        shm_fences_advance(shared->fences, reading->joined_epoch); /* what is made from now on is after it */
        shm_fences_give(shared->fences);
    }
    return RC_OK;
}

enum rc tier_purges_read(struct derivatives *cache, struct tier_place *place, uint32_t *ret_count,
                         struct err *err)
{
    int64_t known_ms = atomic_load_explicit(&cache->shared->counters->tier_known_ms, memory_order_relaxed);
    struct reading reading = {.cache = cache,
                              .place = place,
                              .is_first = known_ms == 0 || clock_monotonic_ms() - known_ms > HEARD_MS,
                              .is_start = known_ms == 0,
                              .now_ms = (uint64_t)clock_wall_ms()};
    enum rc rc = place->ops->list(place, FOLDER, note_purge, &reading, err);
    if (rc == RC_OK)
        rc = purges_join(cache, (const void *)reading.news.data,
                         reading.news.length / sizeof(struct purges_foreign), err);
    if (rc == RC_OK)
        rc = raise_fences(&reading, err);
    bytes_done(&reading.news);
    *ret_count = reading.count;
    return rc;
}

/* ---- writing ---- */

enum rc tier_purges_write(struct tier_place *place, enum shm_purge purge, const char *text, uint64_t epoch,
                          struct err *err)
{
    OWN(bytes_done) struct bytes record = {0};
    struct tier_purge named = {.epoch = epoch, .kind = "ipa"[purge]};
    char name[TIER_PURGES_NAME_BYTES];
    if (purge == SHM_PURGE_IDENTIFIER)
        named.hash = derivative_mark(text);
    else if (purge == SHM_PURGE_PREFIX)
        named.hash = bytes_hash(BYTES_HASH_START, text, strlen(text));
    tier_purge_name(&named, name);
    enum rc rc = purges_record_append(&record, purge, epoch, text, err);
    return rc == RC_OK ? place->ops->write(place, name, record.data, record.length, err) : rc;
}

struct clearing {
    struct tier_place *place;
    uint64_t until; /* what is later is not touched */
    uint64_t epoch; /* of the one that stays */
};

static enum rc find_latest(void *context, const char *name, struct err *err)
{
    struct clearing *clearing = context;
    struct tier_purge purge;
    (void)err;
    if (tier_purge_read_name(name, &purge) && purge.kind != 't' && purge.epoch > clearing->epoch &&
        purge.epoch <= clearing->until)
        clearing->epoch = purge.epoch;
    return RC_OK;
}

static enum rc clear(void *context, const char *name, struct err *err)
{
    const struct clearing *clearing = context;
    struct tier_purge purge;
    if (!tier_purge_read_name(name, &purge) || purge.epoch > clearing->epoch ||
        (purge.epoch == clearing->epoch && purge.kind == 't'))
        return RC_OK;
    return clearing->place->ops->remove(clearing->place, name, err);
}

enum rc tier_purges_join(struct derivatives *cache, struct tier_place *place, struct err *err)
{
    struct clearing clearing = {.place = place, .until = (uint64_t)clock_wall_ms() - JOIN_AFTER_MS};
    char name[TIER_PURGES_NAME_BYTES];
    enum rc rc = place->ops->list(place, FOLDER, find_latest, &clearing, err);
    const struct tier_purge purge = {.epoch = clearing.epoch, .kind = 't'};
    if (rc != RC_OK || clearing.epoch == 0)
        return rc;
    tier_purge_name(&purge, name);
    rc = place->ops->write(place, name, "t", 1, err);
    const struct reading joined = {.cache = cache, .joined_epoch = clearing.epoch};
    if (rc == RC_OK)
        rc = raise_fences(&joined, err);
    return rc == RC_OK ? place->ops->list(place, FOLDER, clear, &clearing, err) : rc;
}
