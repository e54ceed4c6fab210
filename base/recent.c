#include "base/recent.h"

static struct recent_entry *with_hash(struct recent_entry *entry, uint64_t hash)
{
    while (entry != NULL && entry->hash != hash)
        entry = entry->chain;
    return entry;
}

struct recent_entry *recent_first(const struct recent *recent, uint64_t hash)
{
    return with_hash(recent->bucket[hash % recent->bucket_count], hash);
}

struct recent_entry *recent_next(const struct recent_entry *entry)
{
    return with_hash(entry->chain, entry->hash);
}

static void leave_order(struct recent *recent, struct recent_entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &recent->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &recent->oldest) = entry->newer;
}

static void become_newest(struct recent *recent, struct recent_entry *entry)
{
    entry->newer = NULL;
    entry->older = recent->newest;
    *(recent->newest != NULL ? &recent->newest->newer : &recent->oldest) = entry;
    recent->newest = entry;
}

void recent_list(struct recent *recent, struct recent_entry *entry, uint64_t hash)
{
    struct recent_entry **bucket = &recent->bucket[hash % recent->bucket_count];
    entry->hash = hash;
    entry->chain = *bucket;
    *bucket = entry;
    become_newest(recent, entry);
    recent->count++;
}

void recent_unlist(struct recent *recent, struct recent_entry *entry)
{
    struct recent_entry **link = &recent->bucket[entry->hash % recent->bucket_count];
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    leave_order(recent, entry);
    recent->count--;
}

void recent_use(struct recent *recent, struct recent_entry *entry)
{
    leave_order(recent, entry);
    become_newest(recent, entry);
}
