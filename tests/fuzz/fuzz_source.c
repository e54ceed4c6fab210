/* Opening and reading a source: any bytes as a file. Small limits keep one input to some milliseconds, and make the limits
 * themselves part of what is tried. */
#include "tests/fuzz/touch.h"

#include "worker/image/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_window(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                        const struct image_region *window)
{
    struct image_reader *reader = NULL;
    struct err err;
    if (image_source_read(source, level, shrink_log2, window, &reader, &err) != RC_OK)
        return;
    for (uint32_t y = 0; y < window->height_px;) {
        struct image_band band = {0};
        if (reader->ops->read(reader, &band, &err) != RC_OK)
            break;
        if (band.y_px != y || band.height_px == 0 || band.height_px > window->height_px - y)
            abort();
        touch_band(reader, &band);
        y += band.height_px;
    }
    image_reader_close(&reader);
}

static void read_level(struct image_source *source, uint32_t level, uint32_t shrink_log2)
{
    struct image_size size = image_source_shrunk_size(source->pyramid.level[level].size, shrink_log2);
    read_window(source, level, shrink_log2, &(struct image_region){0, 0, size.width_px, size.height_px});
    uint32_t x = size.width_px / 2 >> source->format.sub_x_log2 << source->format.sub_x_log2;
    uint32_t y = size.height_px / 2 >> source->format.sub_y_log2 << source->format.sub_y_log2;
    read_window(source, level, shrink_log2,
                &(struct image_region){x, y, (size.width_px - x + 1) / 2, (size.height_px - y + 1) / 2});
}

static void try_page(const uint8_t *data, size_t size, uint32_t page)
{
    static const struct image_source_limits limits = {.max_source_pixels = 1u << 18,
                                                      .max_decode_bytes = 4u << 20};
    int fd = memfd_create("source", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    struct image_blob *blob = NULL;
    struct image_source *source = NULL;
    struct err err;
    if (image_blob_from_file(fd, &blob, &err) != RC_OK ||
        image_source_open(blob, page, &limits, &source, &err) != RC_OK)
        return;
    const struct image_pyramid *pyramid = &source->pyramid;
    if (pyramid->level_count == 0 || pyramid->page_count < page || pyramid->orientation - 1u > 7)
        abort();
    for (uint32_t i = 0; i < pyramid->level_count; i++) {
        read_level(source, i, 0);
        if (source->shrinks)
            read_level(source, i, 1 + i % 3);
    }
    image_source_close(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_page(data, size, 1);
    try_page(data, size, 2);
    return 0;
}
