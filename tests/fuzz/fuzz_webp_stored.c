/* A stored WebP tile is foreign: the first byte says whether it may be transparent, the rest is the tile. */
#include "worker/image/webp_stored.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum rc rc = image_webp_stored_check(data + 1, size - 1, (struct image_size){32, 32}, data[0] & 1, NULL);
    assert(rc == RC_OK || rc == RC_UNSUPPORTED);
    if (rc == RC_OK)
        assert(size > 20 && memcmp(data + 1, "RIFF", 4) == 0 && bytes_le32(data + 5) == size - 9);
    return 0;
}
