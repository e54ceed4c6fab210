/* What restart intervals may cost: below 1 % of the file, whatever the picture.
 *
 * They take much the same in every tile, which is little of most, but much of a tile of clear sky or blank
 * paper. So tiles are entered into an account in the order in which they stand in the file: each brings in a
 * part of its size, its intervals take out what they cost, and where that is more than there is the tile goes
 * without. Such tiles have few codes, and joining them by codes is cheap. Owned by one conversion. */
#ifndef WORKER_INGEST_RESTARTS_H
#define WORKER_INGEST_RESTARTS_H

#include "worker/image/tile_encode.h"

struct ingest_restarts {
    enum image_model model;
    struct image_size tile;
    struct bytes tables; /* JPEGTables of all tiles */
    uint64_t saved;      /* thousandths of bytes */
    uint64_t reserved;   /* of these: for the tile by which a server tells whether others have intervals */
};

/* An empty account. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_restarts_init(struct ingest_restarts *account,
                                         const struct image_tile_options *tiles, struct err *err);
void ingest_restarts_done(struct ingest_restarts *account);

/* What intervals cost each of a few tiles that lie one behind the other: looked at in the first and taken for
 * the same in the others, or looked at in all. `scratch` is the caller's, for use in one thread; the account
 * is not touched. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_restarts_measure(const struct ingest_restarts *account, const uint8_t *tiles,
                                            const uint32_t *tile_bytes, uint32_t count, bool all,
                                            struct bytes *scratch, uint32_t *ret_cost_bytes, struct err *err);

/* Appends the tile to `out` without its intervals. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_restarts_remove(const struct ingest_restarts *account, const uint8_t *tile,
                                           size_t length, struct bytes *out, struct err *err);

/* Enters a tile of so many bytes, `cost_bytes` of which are for its intervals. False: it goes without.
 * `needed`: it may take what is reserved. */
bool ingest_restarts_are_kept(struct ingest_restarts *account, size_t with_bytes, size_t cost_bytes,
                              bool needed);

#endif
