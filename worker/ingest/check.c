#include "worker/ingest/check.h"

#include "base/own.h"
#include "worker/ingest/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct check {
    struct image_source *source;
    int fd;
    const struct ingest_levels *levels;
    const struct image_tile_options *tiles;
    const struct ingest_tiff_layout *layout;
    const struct ingest_pyramid *pyramid;
};

static enum rc differs(struct err *err, const char *what, uint32_t level)
{
    return err_set(err, RC_CORRUPT, "reading the pyramid back found %s of level %u changed", what, level);
}

static bool same_format(const struct image_format *one, const struct image_format *other)
{
    return one->model == other->model && one->alpha == other->alpha && one->depth_bits == other->depth_bits &&
           one->sub_x_log2 == other->sub_x_log2 && one->sub_y_log2 == other->sub_y_log2;
}

static enum rc check_shape(const struct check *c, const struct image_metadata *metadata, struct err *err)
{
    const struct image_pyramid *shape = &c->source->pyramid;

    if (shape->level_count != c->levels->count || shape->page_count != 1 || shape->orientation != 1 ||
        !same_format(&c->source->format, &c->tiles->format))
        return err_set(err, RC_CORRUPT, "reading the pyramid back found %u levels of %u", shape->level_count,
                       c->levels->count);
    for (uint32_t i = 0; i < c->levels->count; i++) {
        const struct image_level *level = &shape->level[i];
        if (level->size.width_px != c->levels->size[i].width_px ||
            level->size.height_px != c->levels->size[i].height_px)
            return differs(err, "the size", i);
        if (level->tile.width_px != c->tiles->tile_px || level->tile.height_px != c->tiles->tile_px)
            return differs(err, "the tiles", i);
    }
    const struct bytes *icc = &c->source->metadata.icc;
    if (icc->length != metadata->icc.length ||
        (icc->length > 0 && memcmp(icc->data, metadata->icc.data, icc->length) != 0))
        return err_set(err, RC_CORRUPT, "reading the pyramid back found another colour profile");
    return RC_OK;
}

/* Whether the directory sends readers where the tiles are; other codings than JPEG are left to decoding. */
static enum rc check_places(const struct check *c, uint32_t level, struct err *err)
{
    const struct ingest_tiles_level *made = ingest_pyramid_level(c->pyramid, level);
    uint32_t across = ingest_levels_tiles(c->levels->size[level].width_px, c->tiles->tile_px);
    uint64_t at = c->layout->level_at[level];

    for (uint32_t i = 0; c->tiles->coding == IMAGE_TILE_JPEG && i < made->tile_count; i++) {
        struct image_stored_tile tile;
        enum rc rc = image_source_stored_tile(c->source, level, i % across, i / across, true, &tile, err);
        if (rc != RC_OK)
            return rc;
        if (tile.offset != at || tile.length_bytes != made->tile_bytes[i])
            return differs(err, "the place of a tile", level);
        at += made->tile_bytes[i];
    }
    return RC_OK;
}

static enum rc check_bytes(const struct check *c, uint32_t level, struct err *err)
{
    const struct ingest_tiles_level *made = ingest_pyramid_level(c->pyramid, level);
    uint64_t checksum;
    enum rc rc = ingest_checksum_file(c->fd, c->layout->level_at[level], made->spool.length_bytes, &checksum,
                                      err);

    if (rc != RC_OK)
        return rc;
    return checksum == made->checksum ? RC_OK : differs(err, "the bytes", level);
}

static enum rc check_last_tile(const struct check *c, uint32_t level, struct err *err)
{
    struct image_size size = c->levels->size[level];
    struct image_region window = {.x_px = (size.width_px - 1) / c->tiles->tile_px * c->tiles->tile_px,
                                  .y_px = (size.height_px - 1) / c->tiles->tile_px * c->tiles->tile_px};
    OWN(image_reader_close) struct image_reader *reader = NULL;
    struct image_band band = {0};

    window.width_px = size.width_px - window.x_px;
    window.height_px = size.height_px - window.y_px;
    enum rc rc = image_source_read(c->source, level, 0, &window, &reader, err);
    while (rc == RC_OK && band.y_px + band.height_px < window.height_px)
        rc = reader->ops->read(reader, &band, err);
    return rc;
}

enum rc ingest_check(int fd, const struct ingest_levels *levels, const struct image_tile_options *tiles,
                     const struct image_metadata *metadata, const struct ingest_tiff_layout *layout,
                     const struct ingest_pyramid *pyramid, const struct image_source_limits *limits,
                     struct err *err)
{
    OWN(image_source_close) struct image_source *source = NULL;
    struct image_blob *blob = NULL;
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return err_set_errno(err, RC_IO, errno, "the pyramid cannot be read back");
    enum rc rc = image_blob_from_file(duplicate, &blob, err);
    if (rc == RC_OK)
        rc = image_source_open(blob, 1, limits, &source, err);
    if (rc != RC_OK)
        return rc;
    const struct check c = {
        .source = source, .fd = fd, .levels = levels, .tiles = tiles, .layout = layout, .pyramid = pyramid};
    rc = check_shape(&c, metadata, err);
    for (uint32_t level = 0; rc == RC_OK && level < levels->count; level++) {
        rc = check_places(&c, level, err);
        if (rc == RC_OK)
            rc = check_bytes(&c, level, err);
        if (rc == RC_OK)
            rc = check_last_tile(&c, level, err);
    }
    return rc;
}
