/* Purges in the lower tier of derivatives: small entries of its folder "purges", which every server that shares it reads.
 *
 * A name says nearly all: "purges/EPOCH-i-MARK" of an identifier, "purges/EPOCH-p-HASH" of a prefix, "purges/EPOCH-a-0" of everything;
 * that of a prefix holds it in a record as in the list of purges in the cache directory (cache/purges.h). They stand until they are as old as the
 * oldest derivative may be: whoever clears the tier by age (a bucket's life cycle) clears both, and what a purge meets is older
 * than the purge. More than TIER_PURGES_MOST are replaced by one that ends all that came before ("purges/EPOCH-t-0"): for the tier
 * only, since what is joined is two minutes old, and every server that was there has heard of each; one that has not listened for a minute, or has
 * heard of nothing as late, takes it for a purge of its own cache as well.
 *
 * What is new is raised in the tier's fences (shm/derivatives.h), which are never lowered, and purged from the server's own cache
 * as well. Blocks on the place: the tier's own thread. */
#ifndef CACHE_TIER_PURGES_H
#define CACHE_TIER_PURGES_H

#include "cache/derivatives.h"
#include "cache/tier_place.h"

#define TIER_PURGES_MOST       1000u
#define TIER_PURGES_NAME_BYTES 64u

struct tier_purge {
    uint64_t epoch;
    char kind;     /* i, p, a, t */
    uint64_t hash; /* i: the mark; p: hash of the prefix */
};
void tier_purge_name(const struct tier_purge *purge, char ret_name[TIER_PURGES_NAME_BYTES]);
/* False: that is no name of a purge. */
bool tier_purge_read_name(const char *name, struct tier_purge *ret_purge);

/* Takes in what other servers have purged. *ret_count: how many purges there are. Codes of the place. */
RC_MUST_USE enum rc tier_purges_read(struct derivatives *cache, struct tier_place *place, uint32_t *ret_count,
                                     struct err *err);
/* Tells the others. The fence stands already. */
RC_MUST_USE enum rc tier_purges_write(struct tier_place *place, enum shm_purge purge, const char *text,
                                      uint64_t epoch, struct err *err);
/* There are too many: one takes the place of all. */
RC_MUST_USE enum rc tier_purges_join(struct derivatives *cache, struct tier_place *place, struct err *err);

#endif
