/* What restart intervals may cost: below 1 % of the file, whatever the picture.
 *
 * They take much the same in every tile, which is little of most, but much of a tile of clear sky or blank paper. So tiles are
 * entered into an account in the order in which they stand in the file: each brings in a part of its size, its intervals
 * take out what they cost, and where that is more than there is the tile goes without. Such tiles have few codes, and joining them
 * by codes is cheap. Plain arithmetic; owned by one conversion. */
#ifndef WORKER_INGEST_RESTARTS_H
#define WORKER_INGEST_RESTARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ingest_restarts {
    uint64_t saved;    /* thousandths of bytes */
    uint64_t reserved; /* of these: for the tile by which a server tells whether others have intervals */
};

/* Whether a tile of that many bytes is so large that its intervals, at most `most_bytes` of them, need no account. */
bool ingest_restarts_are_small(size_t with_bytes, size_t most_bytes);

/* Enters a tile, given its size with intervals and without. False: it goes without. `needed`: it may take what is reserved. */
bool ingest_restarts_are_kept(struct ingest_restarts *account, size_t with_bytes, size_t without_bytes,
                              bool needed);

#endif
