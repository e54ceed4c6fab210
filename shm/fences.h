/* Fences: what has been purged, so that nothing made before is served again, from the moment the purge is
 * answered.
 *
 * Every purge is the beginning of another epoch. What is kept carries the epoch in which its making began; it
 * is dead when a purge that meets it came later. Purges of one identifier are noted in a table by its hash (a
 * purge may so meet a few others, which costs them a render), those of a prefix in a list, and one fence is
 * for everything: it also takes the place of a prefix that finds the list full. The files themselves are
 * removed later, by the janitor; until then the purges stand in a file of the cache directory too
 * (cache/purges.h), and are read again after a restart.
 *
 * Readers take no lock. Purging takes the stripe; who dies with it leaves a fence for everything. Any thread
 * of any worker. */
#ifndef SHM_FENCES_H
#define SHM_FENCES_H

#include "shm/stripe.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_FENCES_MARKS        65536u
#define SHM_FENCES_PREFIXES     64u
#define SHM_FENCES_PREFIX_BYTES 1024u

enum shm_purge { SHM_PURGE_IDENTIFIER, SHM_PURGE_PREFIX, SHM_PURGE_ALL };

struct shm_fences_prefix {
    _Atomic uint64_t epoch;
    _Atomic uint64_t word[SHM_FENCES_PREFIX_BYTES / 8]; /* terminated by NUL */
};

struct shm_fences {
    struct shm_stripe stripe;
    _Alignas(64) _Atomic uint64_t epoch; /* the current one; begins at 1 */
    _Atomic uint64_t all;                /* what was begun before this one is dead */
    _Atomic uint64_t
        lowered;          /* fences of prefixes from before are gone: nothing older may be kept any more */
    _Atomic uint32_t any; /* there has been a purge */
    _Atomic uint32_t prefix_count;
    struct shm_fences_prefix prefix[SHM_FENCES_PREFIXES];
    _Atomic uint64_t mark[SHM_FENCES_MARKS]; /* by an identifier's hash */
};

/* In zeroed memory; master, before it forks. */
void shm_fences_init(struct shm_fences *fences);
/* For what is begun now. */
uint64_t shm_fences_epoch(const struct shm_fences *fences);
/* Whether what was begun in `epoch` for this identifier is dead. `mark` is the identifier's hash. An epoch
 * that is still to come is dead too: it is from another history. */
bool shm_fences_is_dead(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                        const char *identifier);

/* The same for what others have made, whose epochs may be ahead of ours: only the fences count. */
bool shm_fences_is_fenced(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                          const char *identifier);

/* Whether what was begun in `epoch` may be kept now that it is made. */
bool shm_fences_may_keep(const struct shm_fences *fences, uint64_t epoch, uint32_t mark,
                         const char *identifier);

/* The stripe for what follows; false when somebody stands still in it. */
bool shm_fences_take(struct shm_fences *fences);
void shm_fences_give(struct shm_fences *fences);
/* With the stripe. Raises a fence against everything begun before `epoch`, and makes that the current one if
 * it is later. `identifier` or prefix as in requests; shorter than SHM_FENCES_PREFIX_BYTES. The same purge
 * may come again. */
void shm_fences_raise(struct shm_fences *fences, enum shm_purge purge, const char *text, uint32_t mark,
                      uint64_t epoch);
/* With the stripe. `epoch` is in the past from now on. */
void shm_fences_advance(struct shm_fences *fences, uint64_t epoch);
/* With the stripe. Nothing that was begun before `epoch` is left that a prefix fence could meet. */
void shm_fences_lower(struct shm_fences *fences, uint64_t epoch);

#endif
