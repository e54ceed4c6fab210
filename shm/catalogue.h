/* The catalogue: which derivatives lie in the cache directory, how large they are, and when each was last asked for.
 * By it is decided which of them has to go.
 *
 * A hint in both directions: a file that is not in it is served all the same, one that is in it may be gone. A fixed
 * table of buckets; readers take no lock (an entry is published and withdrawn by its first word, and whoever reads one
 * that changes meanwhile gets a wrong recency or a victim that is not there); who adds or removes takes the stripe of
 * that bucket. A worker that dies with a stripe leaves it to be cleared: its files stay, uncounted, until the janitor
 * counts them again (`incomplete` says so). Any thread of any worker but the event thread, which only finds and touches. */
#ifndef SHM_CATALOGUE_H
#define SHM_CATALOGUE_H

#include "shm/sketch.h"
#include "shm/stripe.h"

#include <assert.h>
#include <stdbool.h>

#define SHM_CATALOGUE_STRIPES  64u
#define SHM_CATALOGUE_WAYS     16u
#define SHM_CATALOGUE_COUNTING 2u /* the janitor looks now */

struct shm_catalogue_entry {
    _Atomic uint64_t low, high; /* low 0: free */
    _Atomic uint32_t size_units, mark, seen_s, seen_clock;
};
static_assert(sizeof(struct shm_catalogue_entry) == 32, "two entries fill a cache line");

struct shm_catalogue_stripe {
    struct shm_stripe stripe;
    _Atomic uint64_t files, bytes; /* of this stripe; written with it */
};

struct shm_catalogue {
    uint32_t buckets;
    /* Files may lie in the directory that are not in here, or not to be there: the janitor is to look. */
    _Atomic uint32_t incomplete; /* 0, 1 or SHM_CATALOGUE_COUNTING */
    struct shm_catalogue_stripe stripe[SHM_CATALOGUE_STRIPES];
    struct shm_catalogue_entry entry[]; /* buckets * SHM_CATALOGUE_WAYS */
};

struct shm_catalogue_item {
    struct shm_key key;
    uint64_t size_bytes;
    uint32_t mark;       /* of its identifier, for purging */
    uint32_t seen_s;     /* wall clock */
    uint32_t seen_clock; /* shm_sketch_clock() */
};

size_t shm_catalogue_bytes(uint32_t files);
/* In zeroed memory; master, before it forks. Incomplete at first. */
void shm_catalogue_init(struct shm_catalogue *catalogue, uint32_t files);

uint64_t shm_catalogue_files(const struct shm_catalogue *catalogue);
uint64_t shm_catalogue_size_bytes(const struct shm_catalogue *catalogue);

/* Adds it, or corrects what is known of it. False: not now (somebody stands still). Where its bucket is full another has
 * to go: that is in *ret_victim then, and its file is the caller's to remove (else its key is 0). */
bool shm_catalogue_add(struct shm_catalogue *catalogue, const struct shm_sketch *sketch,
                       const struct shm_catalogue_item *item, struct shm_catalogue_item *ret_victim);
bool shm_catalogue_find(struct shm_catalogue *catalogue, struct shm_key key,
                        struct shm_catalogue_item *ret_item);
/* True: it was in, and now is not. */
bool shm_catalogue_remove(struct shm_catalogue *catalogue, struct shm_key key);
/* It will be asked for in a moment: brings its bucket near, which in a large table is in no cache of the processor's. */
void shm_catalogue_expect(struct shm_catalogue *catalogue, struct shm_key key);
/* Asked for now. True: it is in, and is so large. */
bool shm_catalogue_touch(struct shm_catalogue *catalogue, struct shm_key key, uint32_t now_s, uint32_t clock,
                         uint64_t *ret_size_bytes);

/* The one that is worth least among some; false when there is none at all. `chance` is any number that changes. */
bool shm_catalogue_choose(const struct shm_catalogue *catalogue, const struct shm_sketch *sketch,
                          uint64_t chance, struct shm_catalogue_item *ret_item);
/* Every entry in turn: *cursor begins at 0. False: that was all. */
bool shm_catalogue_next(const struct shm_catalogue *catalogue, uint64_t *cursor,
                        struct shm_catalogue_item *ret_item);

#endif
