#include "worker/ingest/restarts.h"

#include "worker/image/jpeg_restarts.h"

/* Of the bytes without intervals; costs of some tiles are taken for those of others. */
#define ALLOWED_PER_MILLE 9u
#define HIGHEST_PER_MILLE 30u /* of one tile, however much was saved: others have more of it */

enum rc ingest_restarts_init(struct ingest_restarts *account, const struct image_tile_options *tiles,
                             struct err *err)
{
    uint32_t intervals = tiles->tile_px / (8u << tiles->format.sub_y_log2);

    *account = (struct ingest_restarts){.model = tiles->format.model,
                                        .tile = {tiles->tile_px, tiles->tile_px}};
    account->reserved = (uint64_t)intervals * IMAGE_JPEG_RESTART_MOST_BYTES * 1000;
    return image_tile_jpeg_tables(tiles, &account->tables, err);
}

void ingest_restarts_done(struct ingest_restarts *account)
{
    bytes_done(&account->tables);
}

enum rc ingest_restarts_remove(const struct ingest_restarts *account, const uint8_t *tile, size_t length,
                               struct bytes *out, struct err *err)
{
    return image_jpeg_restarts_remove(&account->tables, account->model, account->tile,
                                      &(struct image_jpeg_tile){tile, length}, out, err);
}

enum rc ingest_restarts_measure(const struct ingest_restarts *account, const uint8_t *tiles,
                                const uint32_t *tile_bytes, uint32_t count, bool all, struct bytes *scratch,
                                uint32_t *ret_cost_bytes, struct err *err)
{
    enum rc rc = RC_OK;

    for (uint32_t i = 0; rc == RC_OK && i < count; i++) {
        if (i > 0 && !all) {
            ret_cost_bytes[i] = ret_cost_bytes[0];
            continue;
        }
        scratch->length = 0;
        rc = ingest_restarts_remove(account, tiles, tile_bytes[i], scratch, err);
        ret_cost_bytes[i] = tile_bytes[i] > scratch->length ? tile_bytes[i] - (uint32_t)scratch->length : 0;
        tiles += tile_bytes[i];
    }
    return rc;
}

bool ingest_restarts_are_kept(struct ingest_restarts *account, size_t with_bytes, size_t cost_bytes,
                              bool needed)
{
    uint64_t without_bytes = with_bytes > cost_bytes ? with_bytes - cost_bytes : 0, cost = cost_bytes * 1000;

    account->saved += without_bytes * ALLOWED_PER_MILLE;
    if (cost + (needed ? 0 : account->reserved) > account->saved ||
        (!needed && cost > without_bytes * HIGHEST_PER_MILLE))
        return false;
    account->saved -= cost;
    return true;
}
