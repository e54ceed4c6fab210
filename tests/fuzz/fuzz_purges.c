/* The list of purges, record by record. */
#include "cache/purges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct purges_record record;
    uint8_t *exact = malloc(size + 1);
    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    for (size_t at = 0; purges_record_read(exact + at, size - at, &record) == PURGES_RECORD;) {
        at += sizeof record + record.text_bytes;
        assert(at <= size && record.text_bytes < SHM_FENCES_PREFIX_BYTES);
    }
    free(exact);
    return 0;
}
