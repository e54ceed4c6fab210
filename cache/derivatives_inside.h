/* What the two halves of the cache of derivatives share: derivatives.c, which looks up and removes, and derivative_file.c, which writes. For
 * these two only. */
#ifndef CACHE_DERIVATIVES_INSIDE_H
#define CACHE_DERIVATIVES_INSIDE_H

#include "cache/derivatives.h"

/* What a file of that size takes of a disc. */
uint64_t derivatives_rounded(uint64_t bytes);
void derivatives_count(_Atomic uint64_t *counter);
/* Never the same twice. */
uint64_t derivatives_next_number(struct derivatives *derivatives);
/* Removes what is worth least until no more is left than that. Returns how many. */
uint64_t derivatives_evict_to(struct derivatives *derivatives, uint64_t most_bytes, uint64_t most_files);
/* The file and what is known of it. False: it cannot be removed. */
bool derivatives_remove_file(struct derivatives *derivatives, struct shm_key hash);
/* Whether it has not been purged since its making began. */
bool derivatives_may_keep(struct derivatives *derivatives, const struct derivative_key *key, uint64_t epoch);
struct derivative_header derivatives_make_header(struct derivatives *derivatives,
                                                 const struct derivative_key *key, uint64_t epoch,
                                                 uint64_t body_bytes, uint64_t body_checksum);

#endif
