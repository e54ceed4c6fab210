#include "shm/fences.h"

#include <assert.h>
#include <string.h>

#define PATIENCE_US 100000u

void shm_fences_init(struct shm_fences *fences)
{
    shm_stripe_init(&fences->stripe);
    atomic_store_explicit(&fences->epoch, 1, memory_order_relaxed);
}

uint64_t shm_fences_epoch(const struct shm_fences *fences)
{
    return atomic_load_explicit(&fences->epoch, memory_order_acquire);
}

static bool is_prefix(const struct shm_fences_prefix *prefix, const char *identifier)
{
    for (size_t i = 0; i < SHM_FENCES_PREFIX_BYTES / 8; i++) {
        char text[8];
        uint64_t word = atomic_load_explicit(&prefix->word[i], memory_order_relaxed);
        memcpy(text, &word, sizeof text);
        for (size_t c = 0; c < sizeof text; c++) {
            if (text[c] == '\0')
                return true;
            if (text[c] != identifier[i * 8 + c])
                return false; /* also at the identifier's end */
        }
    }
    return false; /* nonsense */
}

bool shm_fences_is_fenced(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                          const char *identifier)
{
    if (atomic_load_explicit(&fences->any, memory_order_acquire) == 0)
        return false;
    if (epoch < atomic_load_explicit(&fences->all, memory_order_acquire) ||
        epoch < atomic_load_explicit(&fences->mark[mark % SHM_FENCES_MARKS], memory_order_acquire))
        return true;
    uint32_t count = atomic_load_explicit(&fences->prefix_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && i < SHM_FENCES_PREFIXES; i++)
        if (epoch < atomic_load_explicit(&fences->prefix[i].epoch, memory_order_acquire) &&
            is_prefix(&fences->prefix[i], identifier))
            return true;
    return false;
}

bool shm_fences_is_dead(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                        const char *identifier)
{
    return epoch > shm_fences_epoch(fences) || shm_fences_is_fenced(fences, epoch, mark, identifier);
}

bool shm_fences_may_keep(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                         const char *identifier)
{
    return epoch >= atomic_load_explicit(&fences->lowered, memory_order_acquire) &&
           !shm_fences_is_dead(fences, epoch, mark, identifier);
}

bool shm_fences_take(struct shm_fences *fences)
{
    enum shm_stripe_taken taken = shm_stripe_take(&fences->stripe, PATIENCE_US);
    if (taken == SHM_STRIPE_BROKEN)
        shm_fences_raise(fences, SHM_PURGE_ALL, "", 0, shm_fences_epoch(fences) + 1);
    return taken != SHM_STRIPE_BUSY;
}

void shm_fences_give(struct shm_fences *fences)
{
    shm_stripe_give(&fences->stripe);
}

static void raise_to(_Atomic uint64_t *fence, uint64_t epoch)
{
    if (atomic_load_explicit(fence, memory_order_relaxed) < epoch)
        atomic_store_explicit(fence, epoch, memory_order_release);
}

/* SHM_FENCES_PREFIXES: it has none yet. */
static uint32_t find_prefix(const struct shm_fences *fences, uint32_t count, const uint64_t *word)
{
    for (uint32_t at = 0; at < count; at++) {
        bool same = true;
        for (size_t i = 0; same && i < SHM_FENCES_PREFIX_BYTES / 8; i++)
            same = atomic_load_explicit(&fences->prefix[at].word[i], memory_order_relaxed) == word[i];
        if (same)
            return at;
    }
    return SHM_FENCES_PREFIXES;
}

static bool add_prefix(struct shm_fences *fences, const char *text, uint64_t epoch)
{
    uint32_t count = atomic_load_explicit(&fences->prefix_count, memory_order_relaxed);
    char padded[SHM_FENCES_PREFIX_BYTES] = {0};
    uint64_t word[SHM_FENCES_PREFIX_BYTES / 8];
    memcpy(padded, text, strlen(text));
    memcpy(word, padded, sizeof word);
    uint32_t known = find_prefix(fences, count, word);
    if (known < SHM_FENCES_PREFIXES)
        raise_to(&fences->prefix[known].epoch, epoch);
    if (known < SHM_FENCES_PREFIXES || count >= SHM_FENCES_PREFIXES)
        return known < SHM_FENCES_PREFIXES;
    for (size_t i = 0; i < SHM_FENCES_PREFIX_BYTES / 8; i++)
        atomic_store_explicit(&fences->prefix[count].word[i], word[i], memory_order_relaxed);
    atomic_store_explicit(&fences->prefix[count].epoch, epoch, memory_order_release);
    atomic_store_explicit(&fences->prefix_count, count + 1, memory_order_release);
    return true;
}

void shm_fences_raise(struct shm_fences *fences, enum shm_purge purge, const char *text, uint32_t mark,
                      uint64_t epoch)
{
    assert(strlen(text) < SHM_FENCES_PREFIX_BYTES);
    if (purge == SHM_PURGE_IDENTIFIER)
        raise_to(&fences->mark[mark % SHM_FENCES_MARKS], epoch);
    else if (purge == SHM_PURGE_ALL || !add_prefix(fences, text, epoch))
        raise_to(&fences->all, epoch);
    atomic_store_explicit(&fences->any, 1, memory_order_release);
    raise_to(&fences->epoch, epoch); /* last: what begins in it is after the fence */
}

void shm_fences_advance(struct shm_fences *fences, uint64_t epoch)
{
    raise_to(&fences->epoch, epoch);
}

void shm_fences_lower(struct shm_fences *fences, uint64_t epoch)
{
    uint32_t count = atomic_load_explicit(&fences->prefix_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load_explicit(&fences->prefix[i].epoch, memory_order_relaxed) > epoch)
            return; /* a later purge: all of them stay until the janitor has come round again */
    raise_to(&fences->lowered, epoch);
    atomic_store_explicit(&fences->prefix_count, 0, memory_order_release);
}
