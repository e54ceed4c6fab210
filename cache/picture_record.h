/* Pictures in the pyramid index: what shm/pyramid_index keeps as bytes, as pictures. For cache/pictures.c and picture_entry.c; worker/service.c opens
 * the index with the dialect.
 *
 * A value of the index is the source's modification time and its record (worker/image/source_record.h). All functions
 * do with an index that is NULL: nothing is known, nothing kept. Any thread. */
#ifndef CACHE_PICTURE_RECORD_H
#define CACHE_PICTURE_RECORD_H

#include "shm/pyramid_index.h"
#include "worker/image/source_record.h"

/* What decides how records are read, for shm_index_options. */
uint64_t picture_record_dialect(const struct image_source_limits *limits);

struct picture_record {
    int64_t modified_s;
    struct bytes record;
};
void picture_record_done(struct picture_record *record); /* fits OWN() */

/* The record of that version; false: the index has none. */
bool picture_record_find(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         bool may_wait, struct picture_record *ret_record);
void picture_record_keep(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         int64_t modified_s, const struct image_source *source);
/* image_source_restore() with the parts that the index has. */
RC_MUST_USE enum rc picture_record_restore(struct shm_index *index, const struct picture_record *record,
                                           struct image_blob *blob, const struct image_source_limits *limits,
                                           struct image_source **ret_source, struct err *err);

/* Where a picture's source keeps its tile tables. */
struct picture_shelf {
    struct image_source_shelf shelf; /* first: the source has its address */
    struct shm_index *index;
    struct shm_index_key key;
    uint64_t version;
};
void picture_shelf_init(struct picture_shelf *shelf, struct shm_index *index, const struct shm_index_key *key,
                        uint64_t version);

#endif
