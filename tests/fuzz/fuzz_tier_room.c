/* The line in the lower tier that says when it was last swept: what is read of one is written the same again. */
#include "cache/tier_room.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tier_room room;
    char line[TIER_ROOM_LINE_BYTES];
    if (tier_room_read(data, size, &room)) {
        tier_room_write(&room, line);
        assert(strlen(line) == size && memcmp(line, data, size) == 0);
    }
    return 0;
}
