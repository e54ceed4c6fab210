/* One picture of a worker's table, and how it comes to be: from the index alone, restored from there with its source, or parsed. For
 * cache/pictures.c only. Blocks on the index, and on the origin where there is a source. */
#ifndef CACHE_PICTURE_ENTRY_H
#define CACHE_PICTURE_ENTRY_H

#include "base/recent.h"
#include "cache/picture_record.h"
#include "cache/pictures.h"

#include <stdatomic.h>

/* A picture is in the table while it is the current one for its key. One that was replaced or pushed out is nowhere, and lives
 * until its last reference goes. */
struct picture_entry {
    struct picture picture; /* first: a picture's address is its entry's */
    struct recent_entry recent;
    struct picture_shelf shelf;
    uint32_t references; /* one of them is the table's own while `listed` */
    bool listed;
    atomic_bool is_kept; /* in the index */
    int64_t checked_ms;  /* the source was of this version then */
    int64_t told_ms;     /* somebody was told to compare it then */
    uint64_t epoch;      /* of purges: later ones meet it */
    uint32_t page;
    char path[];
};

/* What is asked for, and what is known of it so far. */
struct picture_wanted {
    const char *path;
    uint32_t page;
    struct shm_index_key key, sighting;
    uint64_t version;
    int64_t modified_s;
    int64_t checked_ms;
    uint64_t epoch; /* shm/fences.h: what is purged from now on is not ours any more */
};

/* From the index alone, if that knows the version; else NULL. */
struct picture_entry *picture_entry_recall(const struct pictures_options *options,
                                           struct picture_wanted *wanted, bool may_wait);
/* With everything; takes `blob` over. *ret_parsed: it was not in the index. */
RC_MUST_USE enum rc picture_entry_open(const struct pictures_options *options,
                                       const struct picture_wanted *wanted, struct image_blob *blob,
                                       struct picture_entry **ret_entry, bool *ret_parsed, struct err *err);
void picture_entry_free(struct picture_entry *entry);

#endif
