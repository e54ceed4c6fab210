#include "shm/catalogue.h"

#define UNIT_BYTES  256u
#define SAMPLE      32u
#define PATIENCE_US 20000u

static uint32_t bucket_count(uint32_t files)
{
    uint64_t places = (uint64_t)files + files / 2; /* so that few buckets are full before all of it is */
    uint64_t buckets = (places + SHM_CATALOGUE_WAYS - 1) / SHM_CATALOGUE_WAYS;
    return buckets < SHM_CATALOGUE_STRIPES ? SHM_CATALOGUE_STRIPES : (uint32_t)buckets;
}

size_t shm_catalogue_bytes(uint32_t files)
{
    return sizeof(struct shm_catalogue) +
           (size_t)bucket_count(files) * SHM_CATALOGUE_WAYS * sizeof(struct shm_catalogue_entry);
}

void shm_catalogue_init(struct shm_catalogue *catalogue, uint32_t files)
{
    catalogue->buckets = bucket_count(files);
    atomic_store_explicit(&catalogue->incomplete, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < SHM_CATALOGUE_STRIPES; i++)
        shm_stripe_init(&catalogue->stripe[i].stripe);
}

uint64_t shm_catalogue_files(const struct shm_catalogue *catalogue)
{
    uint64_t files = 0;
    for (uint32_t i = 0; i < SHM_CATALOGUE_STRIPES; i++)
        files += atomic_load_explicit(&catalogue->stripe[i].files, memory_order_relaxed);
    return files;
}

uint64_t shm_catalogue_size_bytes(const struct shm_catalogue *catalogue)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SHM_CATALOGUE_STRIPES; i++)
        bytes += atomic_load_explicit(&catalogue->stripe[i].bytes, memory_order_relaxed);
    return bytes;
}

/* ---- entries ---- */

static uint32_t load(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static bool read_entry(const struct shm_catalogue_entry *entry, struct shm_catalogue_item *ret)
{
    uint64_t low = atomic_load_explicit(&entry->low, memory_order_acquire);
    if (low == 0)
        return false;
    *ret = (struct shm_catalogue_item){
        .key = {low, atomic_load_explicit(&entry->high, memory_order_relaxed)},
        .size_bytes = (uint64_t)load(&entry->size_units) * UNIT_BYTES,
        .mark = load(&entry->mark),
        .seen_s = load(&entry->seen_s),
        .seen_clock = load(&entry->seen_clock),
    };
    return true;
}

static void write_entry(struct shm_catalogue_entry *entry, const struct shm_catalogue_item *item)
{
    atomic_store_explicit(&entry->low, 0, memory_order_release);
    atomic_store_explicit(&entry->high, item->key.high, memory_order_relaxed);
    atomic_store_explicit(&entry->size_units, (uint32_t)((item->size_bytes + UNIT_BYTES - 1) / UNIT_BYTES),
                          memory_order_relaxed);
    atomic_store_explicit(&entry->mark, item->mark, memory_order_relaxed);
    atomic_store_explicit(&entry->seen_s, item->seen_s, memory_order_relaxed);
    atomic_store_explicit(&entry->seen_clock, item->seen_clock, memory_order_relaxed);
    atomic_store_explicit(&entry->low, item->key.low, memory_order_release);
}

static uint64_t entry_bytes(const struct shm_catalogue_entry *entry)
{
    return (uint64_t)load(&entry->size_units) * UNIT_BYTES;
}

static uint32_t bucket_of(const struct shm_catalogue *catalogue, struct shm_key key)
{
    return (uint32_t)((key.high >> 32) * catalogue->buckets >> 32);
}

/* The places of a key's bucket, in the order in which they are looked at and filled: it begins at one of the key's own, so that
 * mostly one line of the processor's cache is all that is read. */
static struct shm_catalogue_entry *place_of(struct shm_catalogue *catalogue, struct shm_key key, uint32_t i)
{
    uint32_t way = ((uint32_t)(key.low >> 32) + i) % SHM_CATALOGUE_WAYS;
    return &catalogue->entry[(size_t)bucket_of(catalogue, key) * SHM_CATALOGUE_WAYS + way];
}

void shm_catalogue_expect(struct shm_catalogue *catalogue, struct shm_key key)
{
    __builtin_prefetch(place_of(catalogue, key, 0));
    __builtin_prefetch(place_of(catalogue, key, 1));
}

static struct shm_catalogue_entry *find(struct shm_catalogue *catalogue, struct shm_key key)
{
    for (uint32_t i = 0; i < SHM_CATALOGUE_WAYS; i++) {
        struct shm_catalogue_entry *entry = place_of(catalogue, key, i);
        if (atomic_load_explicit(&entry->low, memory_order_acquire) == key.low &&
            atomic_load_explicit(&entry->high, memory_order_relaxed) == key.high)
            return entry;
    }
    return NULL;
}

/* ---- with the stripe ---- */

static void count(struct shm_catalogue_stripe *stripe, uint64_t files, uint64_t bytes)
{
    atomic_fetch_add_explicit(&stripe->files, files, memory_order_relaxed);
    atomic_fetch_add_explicit(&stripe->bytes, bytes, memory_order_relaxed);
}

static void clear_stripe(struct shm_catalogue *catalogue, uint32_t index)
{
    atomic_store_explicit(&catalogue->incomplete, 1, memory_order_relaxed);
    for (uint32_t bucket = index; bucket < catalogue->buckets; bucket += SHM_CATALOGUE_STRIPES)
        for (uint32_t i = 0; i < SHM_CATALOGUE_WAYS; i++)
            atomic_store_explicit(&catalogue->entry[(size_t)bucket * SHM_CATALOGUE_WAYS + i].low, 0,
                                  memory_order_release);
    atomic_store_explicit(&catalogue->stripe[index].files, 0, memory_order_relaxed);
    atomic_store_explicit(&catalogue->stripe[index].bytes, 0, memory_order_relaxed);
}

static struct shm_catalogue_stripe *take(struct shm_catalogue *catalogue, struct shm_key key)
{
    uint32_t index = bucket_of(catalogue, key) % SHM_CATALOGUE_STRIPES;
    enum shm_stripe_taken taken = shm_stripe_take(&catalogue->stripe[index].stripe, PATIENCE_US);
    if (taken == SHM_STRIPE_BROKEN)
        clear_stripe(catalogue, index);
    return taken == SHM_STRIPE_BUSY ? NULL : &catalogue->stripe[index];
}

static double worth_of(const struct shm_sketch *sketch, const struct shm_catalogue_item *item, uint32_t clock,
                       uint64_t files)
{
    return shm_sketch_worth(shm_sketch_count(sketch, item->key), item->size_bytes, clock - item->seen_clock,
                            files);
}

/* A free entry of the key's bucket, or that of the item which is worth least. */
static struct shm_catalogue_entry *make_room(struct shm_catalogue *catalogue, const struct shm_sketch *sketch,
                                             struct shm_key key, struct shm_catalogue_item *ret_victim)
{
    struct shm_catalogue_entry *worst = NULL;
    struct shm_catalogue_item victim = {.key = {0, 0}};
    uint64_t files = shm_catalogue_files(catalogue);
    double least = 0;
    for (uint32_t i = 0; i < SHM_CATALOGUE_WAYS; i++) {
        struct shm_catalogue_entry *entry = place_of(catalogue, key, i);
        struct shm_catalogue_item item;
        if (!read_entry(entry, &item))
            return entry;
        double worth = worth_of(sketch, &item, shm_sketch_clock(sketch), files);
        if (worst == NULL || worth < least) {
            worst = entry;
            least = worth;
            victim = item;
        }
    }
    *ret_victim = victim; /* only when there is no free one */
    return worst;
}

bool shm_catalogue_add(struct shm_catalogue *catalogue, const struct shm_sketch *sketch,
                       const struct shm_catalogue_item *item, struct shm_catalogue_item *ret_victim)
{
    struct shm_catalogue_item victim = {{0, 0}, 0, 0, 0, 0};
    struct shm_catalogue_stripe *stripe = take(catalogue, item->key);
    if (stripe == NULL)
        return false;
    struct shm_catalogue_entry *entry = find(catalogue, item->key);
    bool is_new = entry == NULL;
    if (is_new)
        entry = make_room(catalogue, sketch, item->key, &victim);
    if (!is_new || victim.key.low != 0)
        count(stripe, (uint64_t)-1, -entry_bytes(entry));
    if (!is_new &&
        load(&entry->seen_s) > item->seen_s) { /* the janitor knows less than who has asked since */
        struct shm_catalogue_item known = *item;
        known.seen_s = load(&entry->seen_s);
        known.seen_clock = load(&entry->seen_clock);
        write_entry(entry, &known);
    } else {
        write_entry(entry, item);
    }
    count(stripe, 1, entry_bytes(entry));
    shm_stripe_give(&stripe->stripe);
    *ret_victim = victim;
    return true;
}

bool shm_catalogue_remove(struct shm_catalogue *catalogue, struct shm_key key)
{
    struct shm_catalogue_stripe *stripe = take(catalogue, key);
    if (stripe == NULL)
        return false;
    struct shm_catalogue_entry *entry = find(catalogue, key);
    if (entry != NULL) {
        count(stripe, (uint64_t)-1, -entry_bytes(entry));
        atomic_store_explicit(&entry->low, 0, memory_order_release);
    }
    shm_stripe_give(&stripe->stripe);
    return entry != NULL;
}

/* ---- without ---- */

bool shm_catalogue_touch(struct shm_catalogue *catalogue, struct shm_key key, uint32_t now_s, uint32_t clock,
                         uint64_t *ret_size_bytes)
{
    struct shm_catalogue_entry *entry = find(catalogue, key);
    if (entry == NULL)
        return false;
    if (load(&entry->seen_s) != now_s)
        atomic_store_explicit(&entry->seen_s, now_s, memory_order_relaxed);
    if (load(&entry->seen_clock) != clock)
        atomic_store_explicit(&entry->seen_clock, clock, memory_order_relaxed);
    *ret_size_bytes = entry_bytes(entry);
    return true;
}

bool shm_catalogue_find(struct shm_catalogue *catalogue, struct shm_key key,
                        struct shm_catalogue_item *ret_item)
{
    struct shm_catalogue_entry *entry = find(catalogue, key);
    return entry != NULL && read_entry(entry, ret_item);
}

bool shm_catalogue_choose(const struct shm_catalogue *catalogue, const struct shm_sketch *sketch,
                          uint64_t chance, struct shm_catalogue_item *ret_item)
{
    uint64_t places = (uint64_t)catalogue->buckets * SHM_CATALOGUE_WAYS;
    uint64_t begin = (chance * UINT64_C(0x9e3779b97f4a7c15) >> 11) % places;
    uint64_t files = shm_catalogue_files(catalogue);
    uint32_t clock = shm_sketch_clock(sketch), found = 0;
    double least = 0;
    for (uint64_t i = 0; i < places && found < SAMPLE; i++) {
        struct shm_catalogue_item item;
        if (!read_entry(&catalogue->entry[(begin + i) % places], &item))
            continue;
        double worth = worth_of(sketch, &item, clock, files);
        if (found++ == 0 || worth < least) {
            least = worth;
            *ret_item = item;
        }
    }
    return found > 0;
}

bool shm_catalogue_next(const struct shm_catalogue *catalogue, uint64_t *cursor,
                        struct shm_catalogue_item *ret_item)
{
    uint64_t places = (uint64_t)catalogue->buckets * SHM_CATALOGUE_WAYS;
    while (*cursor < places)
        if (read_entry(&catalogue->entry[(*cursor)++], ret_item))
            return true;
    return false;
}
