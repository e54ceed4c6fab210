#include "shm/blobs.h"

#include <string.h>

#define WAYS        8u
#define SAMPLE      16u
#define PATIENCE_US 5000u
#define NO_CHUNK    UINT32_MAX
#define WORDS       (SHM_BLOBS_CHUNK_BYTES / 8)

struct blob {
    _Alignas(32) _Atomic uint32_t sequence; /* odd: it changes now */
    _Atomic uint32_t first, length, seen_clock;
    _Atomic uint64_t low, high; /* low 0: free */
};
static_assert(sizeof(struct blob) == 32, "two entries fill a cache line: a look-up reads all of a bucket");

struct chunk {
    _Atomic uint64_t word[WORDS];
};

/* What lies behind it, in this order: entries, links of the chunks, chunks. */
struct blob_stripe {
    struct shm_stripe stripe;
    uint32_t first_free, free_chunks, hand; /* with the stripe */
    _Atomic uint32_t used_chunks, count;
    uint64_t links_at, chunks_at; /* offsets from the stripe */
};

struct shm_blobs {
    _Alignas(64) uint64_t stripe_bytes;
    uint32_t chunks, buckets; /* of each stripe */
};

/* ---- layout ---- */

static uint32_t chunks_of(uint64_t content_bytes)
{
    return (uint32_t)(content_bytes / SHM_BLOBS_STRIPES / SHM_BLOBS_CHUNK_BYTES);
}

static uint32_t buckets_of(uint32_t chunks)
{
    return (chunks / 2 + WAYS - 1) / WAYS;
}

static uint64_t up(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static uint64_t stripe_bytes(uint32_t chunks)
{
    return up(sizeof(struct blob_stripe)) + (uint64_t)buckets_of(chunks) * WAYS * sizeof(struct blob) +
           up((uint64_t)chunks * 4) + (uint64_t)chunks * SHM_BLOBS_CHUNK_BYTES;
}

size_t shm_blobs_bytes(uint64_t content_bytes)
{
    return sizeof(struct shm_blobs) + SHM_BLOBS_STRIPES * stripe_bytes(chunks_of(content_bytes));
}

static struct blob_stripe *stripe_of(struct shm_blobs *blobs, uint32_t index)
{
    return (struct blob_stripe *)((char *)(blobs + 1) + index * blobs->stripe_bytes);
}

static struct blob *entries_of(struct blob_stripe *stripe)
{
    return (struct blob *)((char *)stripe + up(sizeof *stripe));
}

static _Atomic uint32_t *links_of(struct blob_stripe *stripe)
{
    return (_Atomic uint32_t *)((char *)stripe + stripe->links_at);
}

static struct chunk *chunks_at(struct blob_stripe *stripe)
{
    return (struct chunk *)((char *)stripe + stripe->chunks_at);
}

/* Empty: every chunk is free. Readers that are at it notice by the sequences. */
static void clear(const struct shm_blobs *blobs, struct blob_stripe *stripe)
{
    _Atomic uint32_t *link = links_of(stripe);
    struct blob *entry = entries_of(stripe);
    for (uint32_t i = 0; i < blobs->buckets * WAYS; i++) {
        uint32_t sequence = atomic_load_explicit(&entry[i].sequence, memory_order_relaxed);
        atomic_store_explicit(&entry[i].sequence, (sequence | 1) + 2, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        atomic_store_explicit(&entry[i].low, 0, memory_order_relaxed);
        atomic_store_explicit(&entry[i].sequence, (sequence | 1) + 3, memory_order_release);
    }
    for (uint32_t i = 0; i < blobs->chunks; i++)
        atomic_store_explicit(&link[i], i + 1 < blobs->chunks ? i + 1 : NO_CHUNK, memory_order_relaxed);
    stripe->first_free = 0;
    stripe->free_chunks = blobs->chunks;
    atomic_store_explicit(&stripe->used_chunks, 0, memory_order_relaxed);
    atomic_store_explicit(&stripe->count, 0, memory_order_relaxed);
}

void shm_blobs_init(struct shm_blobs *blobs, uint64_t content_bytes)
{
    uint32_t chunks = chunks_of(content_bytes);
    *blobs = (struct shm_blobs){stripe_bytes(chunks), chunks, buckets_of(chunks)};
    for (uint32_t i = 0; i < SHM_BLOBS_STRIPES; i++) {
        struct blob_stripe *stripe = stripe_of(blobs, i);
        shm_stripe_init(&stripe->stripe);
        stripe->links_at = up(sizeof *stripe) + (uint64_t)blobs->buckets * WAYS * sizeof(struct blob);
        stripe->chunks_at = stripe->links_at + up((uint64_t)chunks * 4);
        clear(blobs, stripe);
    }
}

uint64_t shm_blobs_most_bytes(const struct shm_blobs *blobs)
{
    return (uint64_t)blobs->chunks / 8 * SHM_BLOBS_CHUNK_BYTES;
}

uint64_t shm_blobs_used_bytes(const struct shm_blobs *blobs)
{
    uint64_t chunks = 0;
    for (uint32_t i = 0; i < SHM_BLOBS_STRIPES; i++)
        chunks += atomic_load_explicit(&stripe_of((struct shm_blobs *)(uintptr_t)blobs, i)->used_chunks,
                                       memory_order_relaxed);
    return chunks * SHM_BLOBS_CHUNK_BYTES;
}

uint64_t shm_blobs_count(const struct shm_blobs *blobs)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < SHM_BLOBS_STRIPES; i++)
        count += atomic_load_explicit(&stripe_of((struct shm_blobs *)(uintptr_t)blobs, i)->count,
                                      memory_order_relaxed);
    return count;
}

static struct blob_stripe *choose_stripe(struct shm_blobs *blobs, struct shm_key key)
{
    return stripe_of(blobs, (uint32_t)(key.high % SHM_BLOBS_STRIPES));
}

static struct blob *bucket_of(const struct shm_blobs *blobs, struct blob_stripe *stripe, struct shm_key key)
{
    return &entries_of(stripe)[((key.high >> 32) * blobs->buckets >> 32) * WAYS];
}

static uint32_t chunks_for(uint64_t length)
{
    return (uint32_t)((length + SHM_BLOBS_CHUNK_BYTES - 1) / SHM_BLOBS_CHUNK_BYTES);
}

/* ---- reading ---- */

static uint32_t load(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* False when the chain is not what the entry says: it changes meanwhile. */
static bool copy_out(const struct shm_blobs *blobs, struct blob_stripe *stripe, uint32_t at, uint32_t length,
                     uint8_t *to)
{
    const struct chunk *chunks = chunks_at(stripe);
    while (length > 0) {
        if (at >= blobs->chunks)
            return false;
        uint32_t count = length < SHM_BLOBS_CHUNK_BYTES ? length : SHM_BLOBS_CHUNK_BYTES;
        uint64_t word[WORDS];
        for (uint32_t i = 0; i < (count + 7) / 8; i++)
            word[i] = atomic_load_explicit(&chunks[at].word[i], memory_order_relaxed);
        memcpy(to, word, count);
        to += count;
        length -= count;
        at = load(&links_of(stripe)[at]);
    }
    return true;
}

static bool read_blob(struct shm_blobs *blobs, struct blob_stripe *stripe, struct blob *blob,
                      struct shm_key key, struct bytes *out)
{
    uint32_t sequence = atomic_load_explicit(&blob->sequence, memory_order_acquire);
    if ((sequence & 1) != 0 || atomic_load_explicit(&blob->low, memory_order_relaxed) != key.low ||
        atomic_load_explicit(&blob->high, memory_order_relaxed) != key.high)
        return false;
    uint32_t length = load(&blob->length), first = load(&blob->first);
    if (length > shm_blobs_most_bytes(blobs) || bytes_reserve(out, length, NULL) != RC_OK ||
        !copy_out(blobs, stripe, first, length, out->data + out->length))
        return false;
    atomic_thread_fence(memory_order_acquire);
    if (load(&blob->sequence) != sequence)
        return false;
    out->length += length;
    return true;
}

void shm_blobs_expect(const struct shm_blobs *blobs, struct shm_key key)
{
    if (blobs->chunks == 0)
        return;
    struct blob_stripe *stripe = choose_stripe((struct shm_blobs *)(uintptr_t)blobs, key);
    const struct blob *blob = bucket_of(blobs, stripe, key);
    for (uint32_t i = 0; i < WAYS; i += 2)
        __builtin_prefetch(&blob[i]);
}

bool shm_blobs_get(struct shm_blobs *blobs, struct shm_key key, uint32_t clock, struct bytes *out)
{
    if (blobs->chunks == 0)
        return false;
    struct blob_stripe *stripe = choose_stripe(blobs, key);
    struct blob *blob = bucket_of(blobs, stripe, key);
    for (uint32_t i = 0; i < WAYS; i++)
        if (read_blob(blobs, stripe, &blob[i], key, out)) {
            if (load(&blob[i].seen_clock) != clock)
                atomic_store_explicit(&blob[i].seen_clock, clock, memory_order_relaxed);
            return true;
        }
    return false;
}

/* ---- writing, with the stripe ---- */

static struct blob_stripe *take(struct shm_blobs *blobs, struct shm_key key, unsigned patience_us)
{
    struct blob_stripe *stripe = choose_stripe(blobs, key);
    enum shm_stripe_taken taken = shm_stripe_take(&stripe->stripe, patience_us);
    if (taken == SHM_STRIPE_BROKEN)
        clear(blobs, stripe);
    return taken == SHM_STRIPE_BUSY ? NULL : stripe;
}

static void begin_change(struct blob *blob)
{
    atomic_fetch_add_explicit(&blob->sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end_change(struct blob *blob)
{
    atomic_fetch_add_explicit(&blob->sequence, 1, memory_order_release);
}

static void empty(struct blob_stripe *stripe, struct blob *blob)
{
    uint32_t chunks = chunks_for(load(&blob->length)), last = load(&blob->first);
    begin_change(blob);
    atomic_store_explicit(&blob->low, 0, memory_order_relaxed);
    end_change(blob);
    for (uint32_t i = 1; i < chunks; i++)
        last = load(&links_of(stripe)[last]);
    if (chunks > 0) {
        atomic_store_explicit(&links_of(stripe)[last], stripe->first_free, memory_order_relaxed);
        stripe->first_free = load(&blob->first);
        stripe->free_chunks += chunks;
    }
    atomic_fetch_sub_explicit(&stripe->used_chunks, chunks, memory_order_relaxed);
    atomic_fetch_sub_explicit(&stripe->count, 1, memory_order_relaxed);
}

static bool is_used(const struct blob *blob)
{
    return atomic_load_explicit(&blob->low, memory_order_relaxed) != 0;
}

static double worth_of(const struct shm_sketch *sketch, struct blob_stripe *stripe, const struct blob *blob)
{
    const struct shm_key key = {atomic_load_explicit(&blob->low, memory_order_relaxed),
                                atomic_load_explicit(&blob->high, memory_order_relaxed)};
    return shm_sketch_worth(shm_sketch_count(sketch, key), load(&blob->length),
                            shm_sketch_clock(sketch) - load(&blob->seen_clock), load(&stripe->count));
}

/* The one that is worth least among the first `most` used ones from `begin` on, wrapping at `places`; NULL: none. */
static struct blob *least_worth(const struct shm_sketch *sketch, struct blob_stripe *stripe,
                                struct blob *first, uint32_t places, uint32_t begin, uint32_t most)
{
    struct blob *worst = NULL;
    double least = 0;
    for (uint32_t i = 0; i < places && most > 0; i++) {
        struct blob *blob = &first[(begin + i) % places];
        if (!is_used(blob))
            continue;
        double worth = worth_of(sketch, stripe, blob);
        if (worst == NULL || worth < least) {
            worst = blob;
            least = worth;
        }
        most--;
    }
    return worst;
}

static struct blob *find_place(const struct shm_blobs *blobs, const struct shm_sketch *sketch,
                               struct blob_stripe *stripe, struct shm_key key)
{
    struct blob *bucket = bucket_of(blobs, stripe, key);
    for (uint32_t i = 0; i < WAYS; i++)
        if (!is_used(&bucket[i]))
            return &bucket[i];
    struct blob *blob = least_worth(sketch, stripe, bucket, WAYS, 0, WAYS);
    empty(stripe, blob);
    return blob;
}

/* Takes chunks off the list of free ones, writes the parts into them; the first of the chain. */
static uint32_t copy_in(struct blob_stripe *stripe, const struct shm_blob_part *part, size_t parts)
{
    uint32_t first = stripe->first_free, at = first, used = 0;
    uint8_t buffer[SHM_BLOBS_CHUNK_BYTES] = {0};
    uint64_t word[WORDS];
    for (size_t i = 0; i < parts; i++)
        for (size_t done = 0; done < part[i].length;) {
            size_t room = SHM_BLOBS_CHUNK_BYTES - used, left = part[i].length - done;
            size_t count = left < room ? left : room;
            memcpy(buffer + used, (const uint8_t *)part[i].data + done, count);
            used += (uint32_t)count;
            done += count;
            if (used < SHM_BLOBS_CHUNK_BYTES && (i + 1 < parts || done < part[i].length))
                continue;
            memcpy(word, buffer, sizeof word);
            for (uint32_t w = 0; w < (used + 7) / 8; w++)
                atomic_store_explicit(&chunks_at(stripe)[at].word[w], word[w], memory_order_relaxed);
            at = load(&links_of(stripe)[at]);
            stripe->free_chunks--;
            used = 0;
        }
    stripe->first_free = at;
    return first;
}

static void remove_key(const struct shm_blobs *blobs, struct blob_stripe *stripe, struct shm_key key)
{
    struct blob *blob = bucket_of(blobs, stripe, key);
    for (uint32_t i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&blob[i].low, memory_order_relaxed) == key.low &&
            atomic_load_explicit(&blob[i].high, memory_order_relaxed) == key.high)
            empty(stripe, &blob[i]);
}

/* Makes room for a new one. False when that would cost one that is worth more. */
static bool make_room(const struct shm_blobs *blobs, const struct shm_sketch *sketch,
                      struct blob_stripe *stripe, struct shm_key key, uint64_t length,
                      enum shm_blobs_admit admit)
{
    uint32_t places = blobs->buckets * WAYS;
    double worth = shm_sketch_worth(shm_sketch_count(sketch, key), length, 0, load(&stripe->count));
    while (stripe->free_chunks < chunks_for(length)) {
        struct blob *victim = least_worth(sketch, stripe, entries_of(stripe), places, stripe->hand, SAMPLE);
        if (victim == NULL || (admit == SHM_BLOBS_IF_WORTH && worth_of(sketch, stripe, victim) >= worth))
            return false;
        empty(stripe, victim);
        stripe->hand = (uint32_t)((key.low + stripe->hand * UINT64_C(2654435761)) % places);
    }
    return true;
}

static void put(const struct shm_blobs *blobs, const struct shm_sketch *sketch, struct blob_stripe *stripe,
                struct shm_key key, const struct shm_blob_part *part, size_t parts, uint64_t length)
{
    struct blob *blob = find_place(blobs, sketch, stripe, key);
    uint32_t first = copy_in(stripe, part, parts);
    begin_change(blob);
    atomic_store_explicit(&blob->first, first, memory_order_relaxed);
    atomic_store_explicit(&blob->length, (uint32_t)length, memory_order_relaxed);
    atomic_store_explicit(&blob->seen_clock, shm_sketch_clock(sketch), memory_order_relaxed);
    atomic_store_explicit(&blob->high, key.high, memory_order_relaxed);
    atomic_store_explicit(&blob->low, key.low, memory_order_relaxed);
    end_change(blob);
    atomic_fetch_add_explicit(&stripe->used_chunks, chunks_for(length), memory_order_relaxed);
    atomic_fetch_add_explicit(&stripe->count, 1, memory_order_relaxed);
}

bool shm_blobs_put(struct shm_blobs *blobs, const struct shm_sketch *sketch, struct shm_key key,
                   const struct shm_blob_part *part, size_t parts, enum shm_blobs_admit admit)
{
    uint64_t length = 0;
    for (size_t i = 0; i < parts; i++)
        length += part[i].length;
    if (length == 0 || part[parts - 1].length == 0 || length > shm_blobs_most_bytes(blobs))
        return false;
    struct blob_stripe *stripe = take(blobs, key, admit == SHM_BLOBS_ALWAYS ? PATIENCE_US : 0);
    if (stripe == NULL)
        return false;
    remove_key(blobs, stripe, key);
    bool fits = make_room(blobs, sketch, stripe, key, length, admit);
    if (fits)
        put(blobs, sketch, stripe, key, part, parts, length);
    shm_stripe_give(&stripe->stripe);
    return fits;
}

void shm_blobs_remove(struct shm_blobs *blobs, struct shm_key key)
{
    struct blob_stripe *stripe = blobs->chunks > 0 ? take(blobs, key, PATIENCE_US) : NULL;
    if (stripe == NULL)
        return;
    remove_key(blobs, stripe, key);
    shm_stripe_give(&stripe->stripe);
}

bool shm_blobs_next(struct shm_blobs *blobs, uint64_t *cursor, struct shm_key *ret_key)
{
    uint64_t places = (uint64_t)blobs->buckets * WAYS;
    for (; *cursor < places * SHM_BLOBS_STRIPES; ++*cursor) {
        const struct blob *blob = &entries_of(
            stripe_of(blobs, (uint32_t)(*cursor / places)))[*cursor % places];
        ret_key->low = atomic_load_explicit(&blob->low, memory_order_relaxed);
        ret_key->high = atomic_load_explicit(&blob->high, memory_order_relaxed);
        if (ret_key->low != 0) {
            ++*cursor;
            return true;
        }
    }
    return false;
}
