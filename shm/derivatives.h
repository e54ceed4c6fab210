/* All that the derivative cache has in shared memory: made by the master before its first fork, of the sizes
 * that the settings say, and the same for as long as it runs. Each part has its own rules. */
#ifndef SHM_DERIVATIVES_H
#define SHM_DERIVATIVES_H

#include "base/err.h"
#include "shm/blobs.h"
#include "shm/catalogue.h"
#include "shm/fences.h"

/* Added to by any worker. */
struct shm_derivatives_counters {
    _Atomic uint64_t memory_hits, file_hits, misses;
    _Atomic uint64_t shared;          /* answers made from somebody else's render */
    _Atomic uint64_t stored, refused; /* files written; not written for lack of space or other trouble */
    _Atomic uint64_t evicted, purged;
    _Atomic uint64_t corrupt;       /* entries that were not what they should be, and were dropped */
    _Atomic int64_t purged_ms;      /* monotonic: of the last purge; sources are compared anew since */
    _Atomic int64_t store_again_ms; /* monotonic: after trouble nothing is written before this */
    _Atomic uint32_t purges_known;  /* the list of purges has been read (cache/purges.h) */
    /* The lower tier (cache/tier.h). */
    _Atomic uint64_t tier_hits, tier_misses, tier_failures; /* failures: it did not answer, or not in time */
    _Atomic uint64_t tier_stored, tier_refused; /* refused: written in vain, or not for want of time */
    _Atomic int64_t tier_asked_ms,
        tier_known_ms; /* monotonic: when its purges were last asked for, and had */
    /* Room in it (cache/tier_room.h): looked for when, monotonic, and since when; the time that the last line
     * read or written there names; what there was when it was last swept; what this server has written since;
     * whether its disk was found full. */
    _Atomic int64_t tier_looked_ms;
    _Atomic uint64_t tier_since_ms, tier_line_ms, tier_swept_bytes, tier_written_bytes, tier_evicted;
    _Atomic uint64_t tier_seen_bytes; /* of those written: when the line was last read */
    _Atomic uint32_t tier_is_full;
};

/* Private to each process, which has it from the master; only what it points to is shared. */
struct shm_derivatives {
    struct shm_derivatives_counters *counters;
    struct shm_fences *fences;
    struct shm_fences *tier_fences; /* what has been purged in the lower tier: never lowered */
    struct shm_sketch *sketch;
    struct shm_catalogue *catalogue;
    struct shm_blobs *blobs;
    size_t mapped_bytes; /* from `counters` on */
};

RC_MUST_USE enum rc shm_derivatives_make(uint32_t most_files, uint64_t memory_bytes,
                                         struct shm_derivatives **ret_derivatives, struct err *err);
void shm_derivatives_free(struct shm_derivatives **derivatives);

#endif
