#include "worker/render/passthrough.h"

#include "worker/image/jpeg_stored.h"

/* Whether the plan's answer is a tile of its level's grid, whole, as it lies there. */
static bool find_tile(const struct picture *picture, const struct iiif_plan *plan,
                      const struct render_options *options, uint32_t *ret_column, uint32_t *ret_row)
{
    const struct image_pyramid *pyramid = &picture->source->pyramid;
    const struct image_size tile = pyramid->level[plan->level].tile;
    bool as_stored = plan->exact && plan->format == IIIF_JPG && plan->quality == IIIF_DEFAULT &&
                     !plan->mirror && plan->rotation_deg == 0.0 && pyramid->orientation == 1 &&
                     image_colour_is_untouched(picture->colour);
    if (!options->passthrough || !as_stored || render_carries_metadata(picture, plan, options))
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

enum rc render_passthrough(const struct picture *picture, const struct iiif_plan *plan,
                           const struct render_options *options, bool may_block, struct bytes *out,
                           struct err *err)
{
    uint32_t column, row;
    if (!find_tile(picture, plan, options, &column, &row))
        return err_set(err, RC_UNSUPPORTED, "the request is not for a stored tile");
    struct image_source *source = picture->source;
    struct image_stored_tile tile;
    enum rc rc = image_source_stored_tile(source, plan->level, column, row, may_block, &tile, err);
    if (rc != RC_OK)
        return rc;
    size_t offset = image_jpeg_stored_offset(&tile);
    rc = bytes_reserve(out, offset + tile.length_bytes, err);
    if (rc != RC_OK)
        return rc;
    uint8_t *to = out->data + offset;
    rc = may_block ? image_blob_read(source->blob, to, tile.length_bytes, tile.offset, err)
                   : image_blob_read_resident(source->blob, to, tile.length_bytes, tile.offset, err);
    if (rc != RC_OK)
        return rc;
    return image_jpeg_stored_finish(&tile, source->format.model, out, err);
}
