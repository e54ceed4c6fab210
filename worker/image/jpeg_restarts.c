#include "worker/image/jpeg_restarts.h"

#include "base/own.h"
#include "worker/image/jpeg_stitching.h"

/* What stands before the coded data, but for the segment that announces intervals. */
static enum rc append_head(const struct image_jpeg_tile *tile, size_t scan_at, struct bytes *out,
                           struct err *err)
{
    enum rc rc = bytes_append(out, tile->data, 2, err);
    for (size_t at = 2, length; rc == RC_OK && at < scan_at; at += 2 + length) {
        length = bytes_be16(tile->data + at + 2);
        if (tile->data[at + 1] != IMAGE_JPEG_DRI)
            rc = bytes_append(out, tile->data + at, 2 + length, err);
    }
    return rc;
}

enum rc image_jpeg_restarts_remove(const struct bytes *tables, enum image_model model, struct image_size size,
                                   const struct image_jpeg_tile *tile, struct bytes *out, struct err *err)
{
    static const uint8_t end[2] = {0xff, IMAGE_JPEG_EOI};
    const struct image_jpeg_grid grid = {
        .tile = size, .window = {0, 0, size.width_px, size.height_px}, .model = model, .tables = tables};
    OWN(image_jpeg_stitch_free) struct image_jpeg_stitch *stitch = NULL;
    enum rc rc = image_jpeg_stitch_new(&grid, &stitch, err);
    if (rc == RC_OK)
        rc = image_jpeg_stitch_look(stitch, tile, err);
    if (rc == RC_OK)
        rc = image_jpeg_recode_prepare(stitch, err);
    if (rc == RC_OK && stitch->translates)
        rc = err_set(err, RC_UNSUPPORTED, "the tile's tables lack codes");
    if (rc == RC_OK)
        rc = append_head(tile, stitch->first_start.length, out, err);
    if (rc == RC_OK)
        rc = image_jpeg_recode_row(stitch, tile, out, err);
    if (rc == RC_OK)
        rc = image_jpeg_recode_end(stitch, out, err);
    return rc == RC_OK ? bytes_append(out, end, sizeof end, err) : rc;
}
