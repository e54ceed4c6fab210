#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/source_kinds.h"
#include "worker/image/tiff_metadata.h"
#include "worker/image/tiff_pages.h"
#include "worker/image/tiff_reading.h"
#include "worker/image/tiff_record.h"
#include "worker/image/tiff_tags.h"

/* Of a record. */
enum tiff_flag {
    IS_BIG_ENDIAN = 1,
    IS_BIG_TIFF = 2,
};

static struct image_tiff_source *tiff_of(struct image_source *source)
{
    return (struct image_tiff_source *)source;
}

static enum rc tiff_read(struct image_source *source, uint32_t level, uint32_t shrink_log2,
                         const struct image_region *window, struct image_reader **ret_reader, struct err *err)
{
    struct image_tiff_source *tiff = tiff_of(source);
    const struct image_tiff_picture *picture = &tiff->level[level];
    if (picture->compression == TIFF_JPEG)
        return image_tiff_jpeg_read(tiff, level, shrink_log2, window, ret_reader, err);
    if (picture->tiled || picture->format.sub_x_log2 > 0 || picture->format.sub_y_log2 > 0)
        return image_tiff_chunks_read(tiff, level, window, ret_reader, err);
    return image_tiff_rows_read(tiff, level, window, ret_reader, err);
}

static void tiff_close(struct image_source *source)
{
    struct image_tiff_source *tiff = tiff_of(source);
    for (uint32_t i = 0; i < IMAGE_MAX_LEVELS; i++) {
        image_tiff_picture_done(&tiff->level[i]);
        free(atomic_load_explicit(&tiff->tiles[i], memory_order_acquire));
    }
    free(tiff);
}

static enum rc tiff_stored_tile(struct image_source *source, uint32_t level, uint32_t column, uint32_t row,
                                bool may_block, struct image_stored_tile *ret_tile, struct err *err)
{
    return image_tiff_stored_tile(tiff_of(source), level, column, row, may_block, ret_tile, err);
}

static enum rc tiff_want(struct image_source *source, uint32_t level, const struct image_region *window,
                         struct err *err)
{
    return image_tiff_want(tiff_of(source), level, window, err);
}

static enum rc tiff_metadata(struct image_source *source, struct image_metadata *ret_metadata,
                             struct err *err)
{
    const struct image_tiff_source *tiff = tiff_of(source);
    OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
    enum rc rc = image_tiff_ifd_read(&tiff->file, tiff->level[0].ifd_at, &ifd, err);
    return rc == RC_OK ? image_tiff_metadata_read(&tiff->file, &ifd, ret_metadata, err) : rc;
}

static void tiff_describe(const struct image_source *source, struct image_record *record)
{
    const struct image_tiff_source *tiff = (const struct image_tiff_source *)source;
    image_record_put(record,
                     (tiff->file.big_endian ? IS_BIG_ENDIAN : 0u) | (tiff->file.big_tiff ? IS_BIG_TIFF : 0u));
    for (uint32_t i = 0; i < source->pyramid.level_count; i++)
        image_tiff_record_put(&tiff->level[i], i == 0 ? NULL : &tiff->level[i - 1], record);
}

static const struct image_source_ops tiff_ops = {.kind = IMAGE_SOURCE_TIFF,
                                                 .stored_tile = tiff_stored_tile,
                                                 .read = tiff_read,
                                                 .want = tiff_want,
                                                 .metadata = tiff_metadata,
                                                 .describe = tiff_describe,
                                                 .close = tiff_close};

/* For a source that is not finished yet. */
static void tiff_discard(struct image_tiff_source **tiff)
{
    if (*tiff == NULL)
        return;
    image_metadata_done(&(*tiff)->source.metadata);
    tiff_close(&(*tiff)->source);
}

/* Full size over level size along the longer edge, if it is near enough to a whole number and fits both
 * edges; else 0. Levels are rounded at every step of their making, hence up to 2 px; larger ones may be off
 * by 1 %. */
static uint32_t tiff_scale_factor(struct image_size full, struct image_size level)
{
    uint32_t whole = full.width_px > full.height_px ? full.width_px : full.height_px;
    uint32_t part = full.width_px > full.height_px ? level.width_px : level.height_px;
    uint64_t factor = ((uint64_t)whole + part / 2) / part;
    if (level.width_px > full.width_px || level.height_px > full.height_px || factor < 2)
        return 0;
    const uint32_t edge[2][2] = {{full.width_px, level.width_px}, {full.height_px, level.height_px}};
    for (unsigned i = 0; i < 2; i++) {
        double ideal = (double)edge[i][0] / (double)factor, off = (double)edge[i][1] - ideal;
        double slack = ideal / 100 > 2 ? ideal / 100 : 2;
        if (off > slack || off < -slack)
            return 0;
    }
    return (uint32_t)factor;
}

/* Takes `picture` over as a level where it fits; levels stay in order of rising factors. */
static void tiff_add_level(struct image_tiff_source *tiff, struct image_tiff_picture *picture)
{
    struct image_pyramid *pyramid = &tiff->source.pyramid;
    uint32_t factor = pyramid->level_count == 0 ? 1 : tiff_scale_factor(tiff->level[0].size, picture->size);
    bool fits = factor != 0 && pyramid->level_count < IMAGE_MAX_LEVELS &&
                (pyramid->level_count == 0 || image_tiff_picture_alike(&tiff->level[0], picture));
    uint32_t at = pyramid->level_count;
    while (at > 0 && pyramid->level[at - 1].scale_factor >= factor)
        fits = (pyramid->level[--at].scale_factor != factor) && fits;
    if (!fits) {
        image_tiff_picture_done(picture);
        return;
    }
    for (uint32_t i = pyramid->level_count++; i > at; i--) {
        tiff->level[i] = tiff->level[i - 1];
        pyramid->level[i] = pyramid->level[i - 1];
    }
    tiff->level[at] = *picture;
    pyramid->level[at] = (struct image_level){.size = picture->size, .scale_factor = factor};
    if (picture->tiled)
        pyramid->level[at].tile = picture->chunk;
}

/* Whether a tile's or strip's shrunk pixels depend on that tile or strip alone. */
static bool tiff_can_shrink(const struct image_tiff_picture *picture)
{
    uint32_t x = (8u << picture->format.sub_x_log2) - 1, y = (8u << picture->format.sub_y_log2) - 1;
    return picture->compression == TIFF_JPEG &&
           (picture->chunks_across == 1 || (picture->chunk.width_px & x) == 0) &&
           (picture->chunks_down == 1 || (picture->chunk.height_px & y) == 0);
}

static enum rc tiff_read_main(struct image_tiff_source *tiff, uint64_t at, struct err *err)
{
    OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
    struct image_source *source = &tiff->source;
    struct image_tiff_picture picture;
    enum rc rc = image_tiff_ifd_read(&tiff->file, at, &ifd, err);
    if (rc == RC_OK)
        rc = image_tiff_picture_init(&picture, &tiff->file, &ifd, &source->limits, err);
    if (rc != RC_OK)
        return rc;
    tiff_add_level(tiff, &picture);
    source->format = picture.format;
    source->shrinks = tiff_can_shrink(&picture);
    source->pyramid.has_colour = picture.format.model != IMAGE_GRAY;
    source->pyramid.has_alpha = picture.format.alpha != IMAGE_ALPHA_NONE;
    uint64_t orientation = 1;
    if (image_tiff_number(&tiff->file, &ifd, TAG_ORIENTATION, 1, &orientation, NULL) != RC_OK ||
        orientation < 1 || orientation > 8)
        orientation = 1;
    source->pyramid.orientation = (uint8_t)orientation;
    return image_tiff_metadata_read(&tiff->file, &ifd, &source->metadata, err);
}

/* A candidate that is broken or of another kind is no level: the picture can be served without it. */
static enum rc tiff_read_candidate(struct image_tiff_source *tiff, uint64_t at, struct err *err)
{
    OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
    struct image_tiff_picture picture;
    enum rc rc = image_tiff_ifd_read(&tiff->file, at, &ifd, err);
    if (rc == RC_OK)
        rc = image_tiff_picture_init(&picture, &tiff->file, &ifd, &tiff->source.limits, err);
    if (rc == RC_IO || rc == RC_NO_MEMORY)
        return rc;
    if (rc != RC_OK)
        return RC_OK;
    if (tiff->source.shrinks && !tiff_can_shrink(&picture)) {
        image_tiff_picture_done(&picture);
        return RC_OK;
    }
    tiff_add_level(tiff, &picture);
    return RC_OK;
}

/* *ret_right: what the tags say about chroma is true, or was not relied on. */
static enum rc tiff_open(const struct image_source_input *input, bool trusts_tags,
                         struct image_source **ret_source, bool *ret_right, struct err *err)
{
    OWN(tiff_discard) struct image_tiff_source *tiff = calloc(1, sizeof *tiff);
    if (tiff == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a TIFF source");
    image_source_init(&tiff->source, &tiff_ops, input);
    struct image_tiff_page page = {0};
    bool right = true;
    enum rc rc = image_tiff_file_init(&tiff->file, input->blob, err);
    tiff->file.trusts_tags = trusts_tags;
    if (rc == RC_OK)
        rc = image_tiff_page_find(&tiff->file, input->page, &page, err);
    if (rc == RC_OK)
        rc = tiff_read_main(tiff, page.main_at, err);
    for (uint32_t i = 0; rc == RC_OK && i < page.candidate_count; i++)
        rc = tiff_read_candidate(tiff, page.candidate_at[i], err);
    if (rc == RC_OK && trusts_tags)
        rc = image_tiff_samples_confirm(&tiff->file, &tiff->level[tiff->source.pyramid.level_count - 1],
                                        &right, err);
    if (rc == RC_OK && right)
        rc = image_tiff_tiles_join(tiff, &tiff->source.pyramid.tiles_join, err);
    if (rc != RC_OK)
        return rc;
    tiff->source.pyramid.page_count = page.page_count;
    *ret_right = right;
    if (right)
        *ret_source = &TAKE_PTR(tiff)->source;
    return RC_OK;
}

/* The smallest level's first tile stands for all others, whose places lie far apart: in files made for
 * networks it is next to the directories. Where it proves the tags wrong, each level's own data is asked. */
enum rc image_tiff_source_open(const struct image_source_input *input, struct image_source **ret_source,
                               struct err *err)
{
    bool right = true;
    enum rc rc = tiff_open(input, true, ret_source, &right, err);
    return rc != RC_OK || right ? rc : tiff_open(input, false, ret_source, &right, err);
}

/* --- restoring ------------------------------------------------------------------------------------------------ */

static enum rc tiff_restore_levels(struct image_tiff_source *tiff, const struct image_pyramid *pyramid,
                                   struct image_record_reader *reader, struct err *err)
{
    struct image_tiff_record_state state = {.kind = *reader};
    for (uint32_t i = 0; i < pyramid->level_count; i++) {
        struct image_tiff_picture *level = &tiff->level[i];
        enum rc rc = image_tiff_record_get(reader, &state, &tiff->file, &pyramid->level[i],
                                           &tiff->source.limits, i == 0 ? NULL : level - 1, level, err);
        if (rc != RC_OK)
            return rc;
        if (i == 0)
            tiff->source.shrinks = tiff_can_shrink(level);
        if (!image_tiff_picture_alike(&tiff->level[0], level) ||
            (tiff->source.shrinks && !tiff_can_shrink(level)))
            return err_set(err, RC_CORRUPT, "the levels in the TIFF's record are not of one kind");
    }
    return RC_OK;
}

enum rc image_tiff_source_restore(const struct image_source_input *input, const struct image_pyramid *pyramid,
                                  struct image_record_reader *reader, struct image_source **ret_source,
                                  struct err *err)
{
    OWN(tiff_discard) struct image_tiff_source *tiff = calloc(1, sizeof *tiff);
    if (tiff == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a TIFF source");
    image_source_init(&tiff->source, &tiff_ops, input);
    uint64_t flags = image_record_get(reader, IS_BIG_ENDIAN | IS_BIG_TIFF);
    tiff->file = (struct image_tiff_file){.blob = input->blob,
                                          .file_bytes = input->blob->size_bytes,
                                          .big_endian = (flags & IS_BIG_ENDIAN) != 0,
                                          .big_tiff = (flags & IS_BIG_TIFF) != 0};
    enum rc rc = tiff_restore_levels(tiff, pyramid, reader, err);
    if (rc != RC_OK)
        return rc;
    tiff->source.format = tiff->level[0].format;
    *ret_source = &TAKE_PTR(tiff)->source;
    return RC_OK;
}
