#include "worker/image/source_record.h"

#include "base/own.h"
#include "worker/image/source_kinds.h"

#include <assert.h>

/* A field more here belongs into the record, too. */
static_assert(sizeof(struct image_pyramid) == 12 + IMAGE_MAX_LEVELS * sizeof(struct image_level),
              "the record holds the whole pyramid");

enum pyramid_flag {
    HAS_COLOUR = 1,
    HAS_ALPHA = 2,
    TILES_JOIN = 4,
    HAS_METADATA = 8,
};

/* What of a level follows from the one before. */
enum level_flag {
    WIDTH_IS_HALF = 1,
    HEIGHT_IS_HALF = 2,
    FACTOR_IS_DOUBLE = 4,
    TILE_IS_SAME = 8,
};
static const struct image_level no_level = {.scale_factor = 0};

static uint32_t half(uint32_t extent_px)
{
    return extent_px / 2 + extent_px % 2;
}

/* ---- the pyramid ---- */

static void put_level(struct image_record *record, const struct image_level *level,
                      const struct image_level *before)
{
    bool half_width = level->size.width_px == half(before->size.width_px);
    bool half_height = level->size.height_px == half(before->size.height_px);
    bool is_double = level->scale_factor == 2 * before->scale_factor;
    bool same_tile = level->tile.width_px == before->tile.width_px &&
                     level->tile.height_px == before->tile.height_px;
    image_record_put(record, half_width * WIDTH_IS_HALF | half_height * HEIGHT_IS_HALF |
                                 is_double * FACTOR_IS_DOUBLE | same_tile * TILE_IS_SAME);
    if (!half_width)
        image_record_put(record, level->size.width_px);
    if (!half_height)
        image_record_put(record, level->size.height_px);
    if (!is_double)
        image_record_put(record, level->scale_factor);
    if (!same_tile) {
        image_record_put(record, level->tile.width_px);
        image_record_put(record, level->tile.height_px);
    }
}

static struct image_level get_level(struct image_record_reader *reader, const struct image_level *before)
{
    struct image_level level = {.tile = before->tile};
    uint64_t flags = image_record_get(reader, 15);
    level.size.width_px = (flags & WIDTH_IS_HALF) != 0 ? half(before->size.width_px)
                                                       : (uint32_t)image_record_get(reader, INT32_MAX);
    level.size.height_px = (flags & HEIGHT_IS_HALF) != 0 ? half(before->size.height_px)
                                                         : (uint32_t)image_record_get(reader, INT32_MAX);
    level.scale_factor = (flags & FACTOR_IS_DOUBLE) != 0 ? 2 * before->scale_factor
                                                         : (uint32_t)image_record_get(reader, INT32_MAX);
    if ((flags & TILE_IS_SAME) == 0) {
        level.tile.width_px = (uint32_t)image_record_get(reader, INT32_MAX);
        level.tile.height_px = (uint32_t)image_record_get(reader, INT32_MAX);
    }
    return level;
}

static void put_pyramid(struct image_record *record, const struct image_source *source)
{
    const struct image_pyramid *pyramid = &source->pyramid;
    image_record_put(record, pyramid->has_colour * HAS_COLOUR | pyramid->has_alpha * HAS_ALPHA |
                                 pyramid->tiles_join * TILES_JOIN | source->has_metadata * HAS_METADATA);
    image_record_put(record, pyramid->orientation);
    image_record_put(record, pyramid->page_count);
    image_record_put(record, pyramid->level_count);
    for (uint32_t i = 0; i < pyramid->level_count; i++)
        put_level(record, &pyramid->level[i], i == 0 ? &no_level : &pyramid->level[i - 1]);
}

static bool is_level(const struct image_pyramid *pyramid, uint32_t index)
{
    const struct image_level *level = &pyramid->level[index], *full = &pyramid->level[0];
    bool is_tiled = level->tile.width_px > 0 && level->tile.height_px > 0;
    bool is_whole = level->tile.width_px == 0 && level->tile.height_px == 0;
    bool follows = index == 0 ? level->scale_factor == 1
                              : level->scale_factor > pyramid->level[index - 1].scale_factor;
    return follows && level->scale_factor <= INT32_MAX && (is_tiled || is_whole) &&
           level->size.width_px > 0 && level->size.height_px > 0 &&
           level->size.width_px <= full->size.width_px && level->size.height_px <= full->size.height_px;
}

static bool get_pyramid(struct image_record_reader *reader, struct image_pyramid *pyramid, bool *ret_metadata)
{
    uint64_t flags = image_record_get(reader, 15);
    *pyramid = (struct image_pyramid){.has_colour = (flags & HAS_COLOUR) != 0,
                                      .has_alpha = (flags & HAS_ALPHA) != 0,
                                      .tiles_join = (flags & TILES_JOIN) != 0};
    *ret_metadata = (flags & HAS_METADATA) != 0;
    pyramid->orientation = (uint8_t)image_record_get(reader, 8);
    pyramid->page_count = (uint32_t)image_record_get(reader, UINT32_MAX);
    pyramid->level_count = (uint32_t)image_record_get(reader, IMAGE_MAX_LEVELS);
    for (uint32_t i = 0; i < pyramid->level_count && !reader->is_broken; i++) {
        pyramid->level[i] = get_level(reader, i == 0 ? &no_level : &pyramid->level[i - 1]);
        if (!is_level(pyramid, i))
            return false;
    }
    return !reader->is_broken && pyramid->orientation >= 1 && pyramid->page_count >= 1 &&
           pyramid->level_count >= 1;
}

/* ---- all of it ---- */

enum rc image_source_describe(const struct image_source *source, const struct image_record_library *library,
                              struct image_record *ret_record, struct err *err)
{
    *ret_record = (struct image_record){.library = library};
    image_record_put(ret_record, source->ops->kind);
    put_pyramid(ret_record, source);
    image_record_put_part(ret_record, &source->metadata.icc);
    source->ops->describe(source, ret_record);
    if (ret_record->rc == RC_OK)
        return RC_OK;
    image_record_done(ret_record);
    return err_set(err, ret_record->rc, "the source does not fit a record");
}

static enum rc is_no_record(struct err *err)
{
    return err_set(err, RC_CORRUPT, "the record of the source is broken");
}

static struct image_record_reader read_from(const struct bytes *record,
                                            const struct image_record_library *library)
{
    return (struct image_record_reader){
        .next = record->data, .end = record->data + record->length, .library = library};
}

enum rc image_record_pyramid(const struct bytes *record, struct image_pyramid *ret_pyramid, struct err *err)
{
    struct image_record_reader reader = read_from(record, NULL);
    struct image_pyramid pyramid;
    bool has_metadata;
    image_record_get(&reader, IMAGE_SOURCE_KINDS - 1);
    if (!get_pyramid(&reader, &pyramid, &has_metadata))
        return is_no_record(err);
    *ret_pyramid = pyramid;
    return RC_OK;
}

enum rc image_source_restore(const struct bytes *record, const struct image_record_library *library,
                             struct image_blob *blob, const struct image_source_limits *limits,
                             struct image_source **ret_source, struct err *err)
{
    static image_source_restorer *const restore[IMAGE_SOURCE_KINDS] = {
        [IMAGE_SOURCE_TIFF] = image_tiff_source_restore,
        [IMAGE_SOURCE_JPEG] = image_jpeg_source_restore,
        [IMAGE_SOURCE_PNG] = image_png_source_restore,
        [IMAGE_SOURCE_WEBP] = image_webp_source_restore,
    };
    OWN(image_blob_close) struct image_blob *own_blob = blob;
    OWN(bytes_done) struct bytes icc = {0};
    struct image_record_reader reader = read_from(record, library);
    const struct image_source_input input = {.blob = blob, .limits = *limits};
    struct image_pyramid pyramid;
    bool has_metadata;
    uint64_t kind = image_record_get(&reader, IMAGE_SOURCE_KINDS - 1);
    if (!get_pyramid(&reader, &pyramid, &has_metadata) ||
        (kind != IMAGE_SOURCE_TIFF && pyramid.level_count > 1))
        return is_no_record(err);
    enum rc rc = image_source_check_size(limits, pyramid.level[0].size, err);
    if (rc != RC_OK)
        return rc;
    image_record_get_part(&reader, &icc);
    struct image_source *source = NULL;
    if (!reader.is_broken)
        rc = restore[kind](&input, &pyramid, &reader, &source, err);
    if (rc != RC_OK)
        return rc;
    if (reader.is_broken || reader.next != reader.end) {
        if (source != NULL)
            source->ops->close(source);
        return is_no_record(err);
    }
    (void)TAKE_PTR(own_blob);
    source->pyramid = pyramid;
    source->has_metadata = has_metadata;
    source->lacks_metadata = has_metadata;
    source->metadata.icc = icc;
    icc = (struct bytes){0};
    *ret_source = source;
    return RC_OK;
}
