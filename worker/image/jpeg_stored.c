#include "worker/image/jpeg_stored.h"

#include "worker/image/jpeg_head.h"

#include <string.h>

static const uint8_t jfif[] = {0xff, IMAGE_JPEG_APP0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0,
                               0};
static const uint8_t adobe_rgb[] = {
    0xff, IMAGE_JPEG_APP14, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};

/* The segments of a tables-only stream lie between its SOI and EOI. */
static size_t tables_bytes(const struct bytes *tables)
{
    return tables->length < 4 ? 0 : tables->length - 4;
}

/* The head ends where the tile's own SOI does, which it replaces: in the usual case (JFIF added) nothing has
 * to move. */
size_t image_jpeg_stored_offset(const struct image_stored_tile *tile)
{
    return sizeof jfif + tables_bytes(tile->tables);
}

bool image_jpeg_stored_marker(const struct image_jpeg_head *head, enum image_model model, bool keep_own,
                              struct image_jpeg_table *ret_marker)
{
    bool own = head->has_adobe || head->has_jfif;
    if (head->components != (model == IMAGE_GRAY ? 1 : 3))
        return false;
    if (head->has_adobe ? head->adobe_transform != (model == IMAGE_YCBCR)
                        : head->has_jfif && model == IMAGE_RGB)
        return false;
    *ret_marker = model == IMAGE_RGB ? (struct image_jpeg_table){adobe_rgb, sizeof adobe_rgb}
                                     : (struct image_jpeg_table){jfif, sizeof jfif};
    if (own && keep_own)
        *ret_marker = (struct image_jpeg_table){NULL, 0};
    return true;
}

static enum rc check(const struct image_stored_tile *tile, const struct image_jpeg_head *head,
                     struct err *err)
{
    if (head->process > 2)
        return err_set(err, RC_UNSUPPORTED, "the tile's coding (SOF %u) is one that browsers do not know",
                       head->process);
    if (head->depth_bits != 8 || head->size.width_px != tile->size.width_px ||
        head->size.height_px != tile->size.height_px)
        return err_set(err, RC_UNSUPPORTED, "the tile holds %u x %u pixels of %u bits", head->size.width_px,
                       head->size.height_px, head->depth_bits);
    return RC_OK;
}

enum rc image_jpeg_stored_finish(const struct image_stored_tile *tile, enum image_model model,
                                 struct bytes *out, struct err *err)
{
    const size_t offset = image_jpeg_stored_offset(tile), tables_length = tables_bytes(tile->tables);
    struct image_jpeg_head head;
    struct image_jpeg_table marker;
    enum rc rc = image_jpeg_head_read(tile->tables, out->data + offset, tile->length_bytes, &head, err);
    if (rc == RC_OK)
        rc = check(tile, &head, err);
    if (rc != RC_OK)
        return rc;
    if (!image_jpeg_stored_marker(&head, model, true, &marker))
        return err_set(err, RC_UNSUPPORTED, "the tile's components mean something else than the TIFF says");

    size_t head_bytes = 2u + marker.length_bytes + tables_length;
    if (head_bytes < offset + 2)
        memmove(out->data + head_bytes, out->data + offset + 2, tile->length_bytes - 2);
    out->data[0] = 0xff;
    out->data[1] = IMAGE_JPEG_SOI;
    if (marker.length_bytes > 0)
        memcpy(out->data + 2, marker.data, marker.length_bytes);
    if (tables_length > 0)
        memcpy(out->data + 2 + marker.length_bytes, tile->tables->data + 2, tables_length);
    out->length = head_bytes + tile->length_bytes - 2;
    return RC_OK;
}
