#include "worker/render/passthrough.h"

#include "worker/image/jpeg_stored.h"
#include "worker/image/webp_stored.h"
#include "worker/render/stitch.h"

bool render_passthrough_applies(const struct picture *picture, const struct iiif_plan *plan,
                                const struct render_options *options)
{
    return options->passthrough && plan->exact && plan->quality == IIIF_DEFAULT && !plan->mirror &&
           plan->rotation_deg == 0.0 && picture->source->pyramid.orientation == 1 &&
           image_colour_is_untouched(picture->colour);
}

/* Whether the plan's answer is a tile of its level's grid, whole, as it lies there. */
static bool find_tile(const struct picture *picture, const struct iiif_plan *plan,
                      const struct render_options *options, uint32_t *ret_column, uint32_t *ret_row)
{
    const struct image_pyramid *pyramid = &picture->source->pyramid;
    const struct image_size tile = pyramid->level[plan->level].tile;
    if ((plan->format != IIIF_JPG && plan->format != IIIF_WEBP) ||
        !render_passthrough_applies(picture, plan, options) ||
        render_carries_metadata(picture, plan, options))
        return false;
    if (plan->size.width_px != tile.width_px || plan->size.height_px != tile.height_px)
        return false;
    const struct image_size level = pyramid->level[plan->level].size;
    uint64_t x = (uint64_t)plan->window_x_px, y = (uint64_t)plan->window_y_px;
    if (x % tile.width_px != 0 || y % tile.height_px != 0 || x + tile.width_px > level.width_px ||
        y + tile.height_px > level.height_px)
        return false;
    *ret_column = (uint32_t)(x / tile.width_px);
    *ret_row = (uint32_t)(y / tile.height_px);
    return true;
}

static enum rc read_tile(struct image_source *source, const struct image_stored_tile *tile, bool may_block,
                         uint8_t *to, struct err *err)
{
    return may_block ? image_blob_read(source->blob, to, tile->length_bytes, tile->offset, err)
                     : image_blob_read_resident(source->blob, to, tile->length_bytes, tile->offset, err);
}

static enum rc pass_tile(struct image_source *source, const struct image_stored_tile *tile, bool may_block,
                         struct bytes *out, struct err *err)
{
    bool is_jpeg = tile->coding == IMAGE_STORED_JPEG;
    size_t offset = is_jpeg ? image_jpeg_stored_offset(tile) : 0;
    enum rc rc = bytes_reserve(out, offset + tile->length_bytes, err);
    if (rc == RC_OK)
        rc = read_tile(source, tile, may_block, out->data + offset, err);
    if (rc != RC_OK)
        return rc;
    if (is_jpeg)
        return image_jpeg_stored_finish(tile, source->format.model, out, err);
    rc = image_webp_stored_check(out->data, tile->length_bytes, tile->size, source->pyramid.has_alpha, err);
    if (rc == RC_OK)
        out->length = tile->length_bytes;
    return rc;
}

enum rc render_passthrough(const struct picture *picture, const struct iiif_plan *plan,
                           const struct render_options *options, bool may_block, struct bytes *out,
                           struct err *err)
{
    uint32_t column, row;
    struct image_stored_tile tile;
    if (!find_tile(picture, plan, options, &column, &row)) {
        /* A render thread finds out beneath render_picture(), where it has the means for large answers. */
        return may_block ? err_set(err, RC_UNSUPPORTED, "the request is not for a stored tile")
                         : render_stitch_resident(picture, plan, options, out, err);
    }
    enum rc rc = image_source_stored_tile(picture->source, plan->level, column, row, may_block, &tile, err);
    if (rc == RC_OK && (tile.coding == IMAGE_STORED_JPEG) != (plan->format == IIIF_JPG))
        rc = err_set(err, RC_UNSUPPORTED, "the stored tile is of another format");
    return rc == RC_OK ? pass_tile(picture->source, &tile, may_block, out, err) : rc;
}
