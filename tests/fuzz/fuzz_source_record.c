/* Records of sources, and packed places of tiles: any bytes as a record over a small real file. What is restored is read in
 * every way; it may be nonsense, but must stay within the file and the memory. The first byte chooses the file. */
#include "tests/fuzz/touch.h"

#include "worker/image/source_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const file_name[] = {"jpeg-420.tif", "pyramid.tif", "palette.tif",   "none-strips.tif",
                                        "gray16.tif",   "rgb.png",     "plain-420.jpg", "lossy.webp"};

static uint64_t id_of(const uint8_t *data, size_t length)
{
    return bytes_hash(BYTES_HASH_START, data, length);
}

/* Most parts have to be 256 bytes long to be of use. */
static bool load_part(void *context, uint64_t id, struct bytes *out)
{
    uint8_t part[1024];
    (void)context;
    memset(part, (int)(id >> 8 & 0xff), sizeof part);
    return bytes_append(out, part, id % 4 == 0 ? id % sizeof part : 256, NULL) == RC_OK;
}

static void read_level(struct image_source *source, uint32_t level, uint32_t shrink_log2)
{
    struct image_size size = image_source_shrunk_size(source->pyramid.level[level].size, shrink_log2);
    const struct image_region window = {0, 0, size.width_px, size.height_px};
    struct image_reader *reader = NULL;
    struct err err;
    if (image_source_read(source, level, shrink_log2, &window, &reader, &err) != RC_OK)
        return;
    for (uint32_t y = 0; y < window.height_px;) {
        struct image_band band = {0};
        if (reader->ops->read(reader, &band, &err) != RC_OK)
            break;
        if (band.y_px != y || band.height_px == 0 || band.height_px > window.height_px - y)
            abort();
        touch_band(reader, &band);
        y += band.height_px;
    }
    image_reader_close(&reader);
}

static void read_all(struct image_source *source)
{
    const struct image_metadata *metadata = NULL;
    struct image_stored_tile tile;
    struct err err;
    for (uint32_t i = 0; i < source->pyramid.level_count; i++) {
        read_level(source, i, 0);
        if (source->shrinks)
            read_level(source, i, 1 + i % 3);
        if (image_source_stored_tile(source, i, 0, 0, true, &tile, &err) == RC_OK &&
            (tile.offset > source->blob->size_bytes ||
             tile.length_bytes > source->blob->size_bytes - tile.offset))
            abort();
    }
    if (image_source_metadata(source, &metadata, &err) == RC_OK && metadata == NULL)
        abort();
}

static struct image_blob *open_file(unsigned which)
{
    static int fd[sizeof file_name / sizeof file_name[0]];
    struct image_blob *blob = NULL;
    char path[128];
    if (fd[which] == 0) {
        snprintf(path, sizeof path, "tests/fuzz/corpus/source/%s", file_name[which]);
        fd[which] = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd[which] < 0 || image_blob_from_file(dup(fd[which]), &blob, NULL) != RC_OK)
        abort(); /* to be run from the root of the tree */
    return blob;
}

static void try_places(const struct bytes *packed)
{
    struct image_record_place place[64];
    const uint64_t file_bytes = 100000;
    if (!image_record_unpack_places(packed, file_bytes, 64, place))
        return;
    for (unsigned i = 0; i < 64; i++)
        if (place[i].at > file_bytes || place[i].length_bytes > file_bytes - place[i].at)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct image_source_limits limits = {.max_source_pixels = 1u << 18,
                                                      .max_decode_bytes = 4u << 20};
    static const struct image_record_library library = {.id = id_of, .load = load_part};
    struct bytes record = {0};
    struct image_source *source = NULL;
    struct image_pyramid pyramid;
    struct err err;
    if (size == 0 || bytes_append(&record, data + 1, size - 1, NULL) != RC_OK || record.data == NULL)
        return 0;
    bool has_shape = image_record_pyramid(&record, &pyramid, &err) == RC_OK;
    if (image_source_restore(&record, &library, open_file(data[0] % 8), &limits, &source, &err) == RC_OK) {
        if (!has_shape || memcmp(&pyramid, &source->pyramid, sizeof pyramid) != 0)
            abort();
        read_all(source);
        image_source_close(&source);
    }
    try_places(&record);
    bytes_done(&record);
    return 0;
}
