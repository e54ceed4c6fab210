/* Sightings: when a source was last compared with the world, and which version it then was. What one worker
 * has seen, no other has to look at again for a while.
 *
 * A fixed table; each entry is four words, the last of which fits the others: an entry that is half written
 * (by a worker that died, or by two at a time) is none, so there are no locks and nothing to repair. What is
 * lost costs a look. Any thread of any worker; the master does not touch it. */
#ifndef SHM_SIGHTINGS_H
#define SHM_SIGHTINGS_H

#include "shm/pyramid_index.h"

#define SHM_SIGHTINGS      32768u
#define SHM_SIGHTING_WORDS 4u

struct shm_sightings {
    _Alignas(64) _Atomic uint64_t entry[SHM_SIGHTINGS][SHM_SIGHTING_WORDS];
};

/* The version that was seen last, and when (monotonic). False: nobody has looked lately, or it was
 * forgotten. */
bool shm_sightings_find(const struct shm_sightings *sightings, const struct shm_index_key *key,
                        uint64_t *ret_version, int64_t *ret_at_ms);
/* `at_ms` is from before the look began. A later sighting stays. */
void shm_sightings_note(struct shm_sightings *sightings, const struct shm_index_key *key, uint64_t version,
                        int64_t at_ms);
/* Nothing is known of it any more. */
void shm_sightings_forget(struct shm_sightings *sightings, const struct shm_index_key *key);

#endif
