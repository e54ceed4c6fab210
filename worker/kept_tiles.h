/* Whole stored tiles that are asked for again and again, as they are sent: body, validators and links. A hit costs no plan, no
 * texts and no system call but those of the connection.
 *
 * One table per worker, for its event thread alone, so there is no lock. Found by the request's target and its base URL; holds
 * for one version of the source, which the caller has just compared (cache/pictures.h). A tile is kept from the second time on
 * that it is asked for, so a crawler that takes everything once drives nothing out; the one longest unused leaves first.
 *
 * What is being sent lives on through its count. A purge empties the table. A crash loses nothing that is not read again. */
#ifndef WORKER_KEPT_TILES_H
#define WORKER_KEPT_TILES_H

#include "base/bytes.h"
#include "worker/http/reply.h"

struct kept_tiles;

/* What an answer depends on beside settings. The texts are the caller's. */
struct kept_tile_name {
    const char *target, *base_url;
    const char *path; /* of the source that is meant */
    uint64_t version; /* of that */
};

struct kept_tile {
    struct http_representation representation;
    struct bytes body;
    uint8_t class; /* SHM_TALLY_... */
};

/* `most_bytes` 0: nothing is ever kept. */
RC_MUST_USE enum rc kept_tiles_new(uint64_t most_bytes, struct kept_tiles **ret_tiles, struct err *err);
void kept_tiles_free(struct kept_tiles **tiles);

/* NULL: not kept, or older than the last purge (0: there was none). Good until the next call of kept_tiles_offer(). */
struct kept_tile *kept_tiles_find(struct kept_tiles *tiles, const struct kept_tile_name *name,
                                  int64_t purged_ms);
/* For http_reply_content(). */
struct http_content kept_tile_content(struct kept_tile *tile);
/* A tile that was read just now: takes the body over, which then is what *ret_content says. Its header 1 is the one that is not
 * the same for all. */
void kept_tiles_offer(struct kept_tiles *tiles, const struct kept_tile_name *name,
                      const struct http_representation *representation, uint8_t class, struct bytes *body,
                      struct http_content *ret_content);

#endif
