/* A table that knows in which order its entries were used last: for what is kept within bounds and forgotten
 * when it was not used for longest.
 *
 * An entry is a part of the thing that it stands for; nothing is allocated here. It is found by a hash;
 * things with equal hashes may be different ones, and the caller compares. The buckets, any number of them,
 * zeroed, are the caller's, and so is the lock. */
#ifndef BASE_RECENT_H
#define BASE_RECENT_H

#include <stddef.h>
#include <stdint.h>

struct recent_entry {
    struct recent_entry *chain, *newer, *older;
    uint64_t hash;
};

struct recent {
    struct recent_entry **bucket;
    uint32_t bucket_count, count;
    struct recent_entry *newest, *oldest;
};

/* The thing of which the entry, not NULL, is the named member. */
#define RECENT_THING(entry, type, member) ((type *)(void *)((char *)(entry)-offsetof(type, member)))

/* The entries of a hash, one after another; NULL: no more. */
struct recent_entry *recent_first(const struct recent *recent, uint64_t hash);
struct recent_entry *recent_next(const struct recent_entry *entry);

/* Puts an entry into the table, as the newest. */
void recent_list(struct recent *recent, struct recent_entry *entry, uint64_t hash);
/* Takes one out that is in it. */
void recent_unlist(struct recent *recent, struct recent_entry *entry);
/* One that is in the table is the newest from now on. */
void recent_use(struct recent *recent, struct recent_entry *entry);

#endif
