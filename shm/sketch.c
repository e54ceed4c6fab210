#include "shm/sketch.h"

#define ROWS             4
#define COUNTERS_PER_KEY 4u
#define WORDS_PER_LINE   8u /* two for each row */
#define LOWER_HALVES     UINT64_C(0x7f7f7f7f7f7f7f7f)
#define CLOCK_SHIFT      4

static uint64_t word_count(uint64_t keys)
{
    uint64_t words = 128;
    while (words * 8 < keys * COUNTERS_PER_KEY)
        words *= 2;
    return words;
}

size_t shm_sketch_bytes(uint64_t keys)
{
    return sizeof(struct shm_sketch) + word_count(keys) * sizeof(uint64_t);
}

void shm_sketch_init(struct shm_sketch *sketch, uint64_t keys)
{
    sketch->words = word_count(keys);
}

/* ---- counters ---- */

struct counter {
    uint64_t word;
    unsigned shift;
};

/* All of a key's counters lie in one line of the processor's cache, 16 for each row. */
static struct counter counter_of(const struct shm_sketch *sketch, struct shm_key key, unsigned row)
{
    uint64_t line = key.low * UINT64_C(0x9e3779b97f4a7c15) >> 16 & (sketch->words / WORDS_PER_LINE - 1);
    unsigned place = (unsigned)(key.high >> row * 4) & 15;
    return (struct counter){line * WORDS_PER_LINE + row * 2 + place / 8, place % 8 * 8};
}

static uint32_t value_of(const struct shm_sketch *sketch, struct counter counter)
{
    return (uint32_t)(atomic_load_explicit(&sketch->word[counter.word], memory_order_relaxed) >>
                          counter.shift &
                      0xff);
}

uint32_t shm_sketch_count(const struct shm_sketch *sketch, struct shm_key key)
{
    uint32_t least = SHM_SKETCH_MOST;
    for (unsigned row = 0; row < ROWS; row++) {
        uint32_t value = value_of(sketch, counter_of(sketch, key, row));
        if (value < least)
            least = value;
    }
    return least;
}

/* Lost where two meet: then a key fades a little later. */
static void fade(struct shm_sketch *sketch, uint64_t kept)
{
    uint64_t window = (kept < 128 ? 128 : kept) * SHM_SKETCH_WINDOW;
    uint64_t step = (sketch->words << 16) / window;
    uint64_t from = atomic_fetch_add_explicit(&sketch->hand, step, memory_order_relaxed);
    for (uint64_t i = from >> 16; i < (from + step) >> 16; i++) {
        _Atomic uint64_t *word = &sketch->word[i & (sketch->words - 1)];
        uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
        if (value != 0)
            atomic_store_explicit(word, value >> 1 & LOWER_HALVES, memory_order_relaxed);
    }
}

uint32_t shm_sketch_add(struct shm_sketch *sketch, struct shm_key key, uint64_t kept)
{
    atomic_fetch_add_explicit(&sketch->counted, 1, memory_order_relaxed);
    fade(sketch, kept);
    uint32_t count = shm_sketch_count(sketch, key);
    if (count == SHM_SKETCH_MOST)
        return count;
    for (unsigned row = 0; row < ROWS; row++) { /* only the lowest: the others count somebody else too */
        struct counter counter = counter_of(sketch, key, row);
        if (value_of(sketch, counter) == count)
            atomic_fetch_add_explicit(&sketch->word[counter.word], UINT64_C(1) << counter.shift,
                                      memory_order_relaxed);
    }
    return count + 1;
}

uint32_t shm_sketch_clock(const struct shm_sketch *sketch)
{
    return (uint32_t)(atomic_load_explicit(&sketch->counted, memory_order_relaxed) >> CLOCK_SHIFT);
}

/* ---- worth ---- */

/* About the square root: sizes within a factor of four count alike. */
static double root(uint64_t size_bytes)
{
    double root = 1;
    for (uint64_t size = size_bytes >> 10; size > 0; size >>= 2)
        root *= 2;
    return root;
}

double shm_sketch_worth(uint32_t count, uint64_t size_bytes, uint32_t idle, uint64_t kept)
{
    double window = (double)(kept < 128 ? 128 : kept) * SHM_SKETCH_WINDOW / (1 << CLOCK_SHIFT);
    return ((double)count + 0.25) / (root(size_bytes) * (1 + (double)idle / window));
}
