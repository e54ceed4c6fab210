/* What a pyramid's file begins with is made of a master's EXIF, XMP and IPTC: whatever these say, our own reader finds in it the
 * directories that were meant. The first byte says which of the three the rest is. And whether a file begins with a record is asked
 * of any file. */
#include "worker/ingest/record.h"
#include "worker/ingest/tiff_file.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The chain of directories by hand: entries sorted, inside the head. */
static void walk(const struct bytes *head)
{
    uint32_t at = bytes_le32(head->data + 4), directories = 0;
    while (at != 0) {
        assert(at % 2 == 0 && at + 2 <= head->length);
        uint32_t count = bytes_le16(head->data + at);
        int32_t before = -1;
        assert(at + 2 + 12 * count + 4 <= head->length);
        for (uint32_t i = 0; i < count; i++) {
            int32_t tag = bytes_le16(head->data + at + 2 + 12 * i);
            assert(tag > before);
            before = tag;
        }
        at = bytes_le32(head->data + at + 2 + 12 * count);
        directories++;
    }
    assert(directories == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct ingest_levels levels;
    struct image_metadata metadata = {.xmp = {0}};
    struct bytes *const part[] = {&metadata.exif, &metadata.xmp, &metadata.iptc};
    struct bytes *given = part[data[0] % 3], head = {0};
    struct err err;
    if (bytes_append(given, data + 1, size - 1, &err) != RC_OK)
        return 0;
    ingest_levels_init(&levels, (struct image_size){300, 200}, 256);
    static const uint32_t tiles[2] = {1000, 500};
    struct ingest_tiff_file file = {.levels = &levels,
                                    .tiles = {.coding = IMAGE_TILE_DEFLATE,
                                              .format = {.model = IMAGE_RGB, .depth_bits = 8},
                                              .tile_px = 256,
                                              .quality = 90},
                                    .metadata = &metadata,
                                    .record = "a record",
                                    .tile_bytes = {(const uint32_t[]){1000, 1000}, tiles + 1}};
    struct ingest_tiff_layout layout;
    assert(ingest_tiff_file_head(&file, &head, &layout, &err) == RC_OK);
    assert(!layout.big && layout.length_bytes == head.length + 2500);
    walk(&head);
    assert(ingest_record_is_at(head.data, head.length, file.record));
    (void)ingest_record_is_at(data, size, file.record);
    bytes_done(given);
    bytes_done(&head);
    return 0;
}
