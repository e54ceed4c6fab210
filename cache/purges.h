/* Purges: what shall not be served again, though it may still lie in the cache.
 *
 * Servers that share a cache directory share its list, and look twice a second whether it has changed: what one purges the others do not
 * serve any more a moment later, nor keep what they have begun before.
 *
 * A purge raises a fence in shared memory (shm/fences.h), which holds for every worker at once, and is written to the file
 * "purges" beside the derivatives, so that it holds after a restart, too. Files of one identifier are removed right away; those
 * of a prefix, and everything, by the janitor on its next round, which then shortens the file. A record that is cut off at
 * the end of the file belongs to a purge that was never answered; one that is broken otherwise purges everything. A purge stands in
 * it for PURGES_SETTLE_MS at least; who has not looked for longer, and finds that it was shortened, purges everything, too.
 *
 * Blocks on the disc: render threads and the janitor. */
#ifndef CACHE_PURGES_H
#define CACHE_PURGES_H

#include "cache/derivatives.h"

/* A record of the file. */
struct purges_record {
    uint64_t checksum; /* of what follows */
    uint64_t epoch;
    uint32_t kind; /* enum shm_purge, or PURGES_EPOCH */
    uint32_t text_bytes;
    /* the text */
};
#define PURGES_EPOCH 7u /* nothing is purged; the epoch has come so far */
#define PURGES_MARK  8u /* an identifier, by its mark in hexadecimal */

enum purges_read { PURGES_RECORD, PURGES_END, PURGES_CUT_OFF, PURGES_BROKEN };
/* Reads the record at the beginning of `data`. The text lies behind it. Pure. */
enum purges_read purges_record_read(const uint8_t *data, size_t length, struct purges_record *ret_record);

RC_MUST_USE enum rc purges_record_append(struct bytes *bytes, uint32_t kind, uint64_t epoch, const char *text,
                                         struct err *err);

#define PURGES_SETTLE_MS 5000

/* Raises the fences that the file tells of. Before the first derivative is looked up. */
RC_MUST_USE enum rc purges_load(struct derivatives *derivatives, struct err *err);
/* The same if the file has changed since: by another server. */
RC_MUST_USE enum rc purges_look(struct derivatives *derivatives, struct err *err);
/* Purges. When this returns nothing that was made before *ret_epoch is served any more. *ret_removed: files removed already.
 * RC_BUSY, RC_IO: it may have been purged until the next restart only. RC_BAD_REQUEST: the text is too long. */
RC_MUST_USE enum rc purges_add(struct derivatives *derivatives, enum shm_purge purge, const char *text,
                               uint64_t *ret_removed, uint64_t *ret_epoch, struct err *err);

/* A purge that another server has begun. */
struct purges_foreign {
    enum shm_purge purge;
    uint32_t mark; /* of the identifier, which may not be known itself */
    uint64_t epoch;
    bool
        is_news; /* it meets what has been kept here until now, whatever epoch that says: it may have been taken from the tier meanwhile */
    char text[SHM_FENCES_PREFIX_BYTES]; /* a prefix */
};
/* Joins in these. Same codes. */
RC_MUST_USE enum rc purges_join(struct derivatives *derivatives, const struct purges_foreign *foreign,
                                size_t count, struct err *err);
/* Up to which epoch all servers that share the list have heard of everything. By the time that has passed here, since epochs are clocks of
 * several servers and may lie ahead of this one's for years. */
struct purges_settling {
    uint64_t settled_epoch; /* all have heard of it; */
    uint64_t seen_epoch;    /* it was the latest at this time (0: none is waited for) */
    int64_t seen_ms;
};
/* `epoch` is the latest now, at `now_ms` (monotonic): returns it, or an earlier one. Pure. */
uint64_t purges_settled(struct purges_settling *settling, uint64_t epoch, int64_t now_ms);
/* Every file that a purge up to `epoch` meets is gone: forgets those purges. */
RC_MUST_USE enum rc purges_shorten(struct derivatives *derivatives, uint64_t epoch, struct err *err);

/* Removes all that have not been asked for since `before_s` (wall clock), as far as they are known. */
uint64_t purges_prune(struct derivatives *derivatives, int64_t before_s);

#endif
