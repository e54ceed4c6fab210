/* A stored tile is foreign: two bytes say how long the tables are, then tables and tile follow. What is made of them begins and
 * ends where it should, and holds the tile's bytes. */
#include "worker/image/jpeg_stored.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t tables_length = bytes_be16(data) % (size - 2), length = size - 2 - tables_length;
    struct bytes tables = {0}, out = {0};
    struct err err;
    if (bytes_append(&tables, data + 2, tables_length, &err) != RC_OK)
        return 0;
    const uint8_t *bytes = data + 2 + tables_length;
    const struct image_stored_tile tile = {
        .length_bytes = (uint32_t)length, .size = {64, 48}, .tables = &tables};
    static const enum image_model model[] = {IMAGE_GRAY, IMAGE_RGB, IMAGE_YCBCR};
    for (size_t i = 0; i < 3; i++) {
        size_t offset = image_jpeg_stored_offset(&tile);
        out.length = 0;
        if (bytes_reserve(&out, offset + length, &err) != RC_OK)
            break;
        memcpy(out.data + offset, bytes, length);
        if (image_jpeg_stored_finish(&tile, model[i], &out, &err) != RC_OK)
            continue;
        assert(out.length >= length && out.length <= offset + length);
        assert(out.data[0] == 0xff && out.data[1] == 0xd8);
        assert(memcmp(out.data + out.length - (length - 2), bytes + 2, length - 2) == 0);
    }
    bytes_done(&tables);
    bytes_done(&out);
    return 0;
}
