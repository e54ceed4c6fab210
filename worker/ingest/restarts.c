#include "worker/ingest/restarts.h"

#define ALLOWED_PER_MILLE \
    9u /* of the bytes without intervals; the rest to 1 % is for rounding and nothing else */
#define HIGHEST_PER_MILLE 30u /* of one tile, however much was saved: others have more of it */

bool ingest_restarts_are_small(size_t with_bytes, size_t most_bytes)
{
    return with_bytes > most_bytes && most_bytes * 1000 <= (with_bytes - most_bytes) * ALLOWED_PER_MILLE;
}

bool ingest_restarts_are_kept(struct ingest_restarts *account, size_t with_bytes, size_t without_bytes,
                              bool needed)
{
    uint64_t cost = with_bytes > without_bytes ? (uint64_t)(with_bytes - without_bytes) * 1000 : 0;

    account->saved += (uint64_t)without_bytes * ALLOWED_PER_MILLE;
    if (cost + (needed ? 0 : account->reserved) > account->saved ||
        (!needed && cost > (uint64_t)without_bytes * HIGHEST_PER_MILLE))
        return false;
    account->saved -= cost;
    return true;
}
