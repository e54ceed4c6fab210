/* Documents that were made, kept in memory until what they are made of changes: a folder of thousands of
 * pictures is opened once and then only listed.
 *
 * Each document stands under a key of all that it depends on besides the files (version, base URL, coding
 * ...) with the fingerprint of the survey it was made from. Confirmed less than `revalidate` ago it is sent
 * as it is; afterwards another survey says whether it still holds.
 *
 * One per worker, bounded in bytes, what was not used for longest leaves first. Any thread; one mutex, held
 * for look-ups only. An item is counted and never changes but for the time it was confirmed. A crash loses
 * what can be made again. */
#ifndef WORKER_MANIFEST_KEPT_H
#define WORKER_MANIFEST_KEPT_H

#include "base/bytes.h"
#include "worker/manifest/build.h"

struct manifest_kept;

struct manifest_kept_item {
    const uint8_t *data;
    size_t length;
    uint64_t hash;        /* of the document before it was coded */
    uint64_t fingerprint; /* of the survey */
    const struct manifest_pictured *pictured;
    size_t pictured_count;
};

RC_MUST_USE enum rc manifest_kept_new(size_t most_bytes, struct manifest_kept **ret_kept, struct err *err);
void manifest_kept_free(struct manifest_kept **kept);

/* The item, with a reference, if it was made after `made_ms` and confirmed after `confirmed_ms` (monotonic);
 * else NULL. */
const struct manifest_kept_item *manifest_kept_find(struct manifest_kept *kept, const char *key,
                                                    int64_t made_ms, int64_t confirmed_ms);
/* It was found to be right at `at_ms`. */
void manifest_kept_confirm(struct manifest_kept *kept, const struct manifest_kept_item *item, int64_t at_ms);
/* Keeps a document, takes `data` over, and returns it with a reference. `like` says the rest; its `data` does
 * not count. `at_ms` is from before the survey. NULL when memory is out; one that is too large is not kept,
 * but returned. */
const struct manifest_kept_item *manifest_kept_put(struct manifest_kept *kept, const char *key,
                                                   const struct manifest_kept_item *like, struct bytes *data,
                                                   int64_t at_ms);
/* Gives a reference back; also when the table is gone already. NULL is allowed. */
void manifest_kept_release(const struct manifest_kept_item *item);

#endif
