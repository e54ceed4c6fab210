/* Names that a bucket or a folder lists as purges of the lower tier: what is read of one names the same again. */
#include "cache/tier_purges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tier_purge purge;
    char again[TIER_PURGES_NAME_BYTES];
    char *name = malloc(size + 1);
    if (name == NULL)
        return 0;
    memcpy(name, data, size);
    name[size] = '\0';
    if (tier_purge_read_name(name, &purge)) {
        assert(purge.epoch > 0 && strchr("ipat", purge.kind) != NULL);
        tier_purge_name(&purge, again);
        assert(strcmp(again, name) == 0);
    }
    free(name);
    return 0;
}
