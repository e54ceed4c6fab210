#include "worker/render/passthrough.h"

#include "base/fdio.h"
#include "worker/image/jpeg_stored.h"

#include <errno.h>
#include <sys/uio.h>

/* Whether the plan's answer is a tile of its level's grid, whole, as it lies there. */
static bool find_tile(const struct picture *picture, const struct iiif_plan *plan, const struct render_options *options,
                      uint32_t *ret_column, uint32_t *ret_row)
{
    const struct image_pyramid *pyramid = &picture->source->pyramid;
    const struct image_size tile = pyramid->level[plan->level].tile;
    bool as_stored = plan->exact && plan->format == IIIF_JPG && plan->quality == IIIF_DEFAULT && !plan->mirror &&
                     plan->rotation_deg == 0.0 && pyramid->orientation == 1 &&
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

/* From the page cache, or not at all. */
static enum rc read_resident(int fd, uint8_t *to, size_t length, uint64_t offset, struct err *err)
{
    struct iovec part = {.iov_base = to, .iov_len = length};
    ssize_t count = preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT);
    if (count == (ssize_t)length)
        return RC_OK;
    /* Also where the file system does not know the flag: a thread that may block reads again and sees what is wrong. */
    return err_set_errno(err, RC_BUSY, count < 0 ? errno : EAGAIN, "the tile is not in memory");
}

enum rc render_passthrough(const struct picture *picture, const struct iiif_plan *plan,
                           const struct render_options *options, bool may_block, struct bytes *out, struct err *err)
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
    rc = may_block ? fdio_pread_exact(source->fd, to, tile.length_bytes, tile.offset, err)
                   : read_resident(source->fd, to, tile.length_bytes, tile.offset, err);
    if (rc != RC_OK)
        return rc;
    return image_jpeg_stored_finish(&tile, source->format.model, out, err);
}
