#include "worker/image/jpeg_stored.h"

#include <string.h>

#define SOI  0xd8
#define EOI  0xd9
#define SOS  0xda
#define APP0 0xe0
#define APP14 0xee

static const uint8_t jfif[] = {0xff, APP0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
static const uint8_t adobe_rgb[] = {0xff, APP14, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0};

/* What the walk over a tile's segments has found. */
struct walk {
    bool has_frame, has_jfif, has_adobe;
    uint8_t components, adobe_transform;
};

static enum rc look_at_frame(const struct image_stored_tile *tile, const uint8_t *segment, size_t length,
                             struct walk *walk, struct err *err)
{
    if (length < 8 || walk->has_frame)
        return err_set(err, RC_UNSUPPORTED, "the tile's frame header is not one");
    uint32_t height = bytes_be16(segment + 3), width = bytes_be16(segment + 5);
    if (segment[2] != 8 || width != tile->size.width_px || height != tile->size.height_px)
        return err_set(err, RC_UNSUPPORTED, "the tile holds %u x %u pixels of %u bits", width, height, segment[2]);
    walk->components = segment[7];
    walk->has_frame = true;
    return RC_OK;
}

/* Up to the first scan. */
static enum rc walk_segments(const struct image_stored_tile *tile, const uint8_t *bytes, struct walk *walk,
                             struct err *err)
{
    size_t length = tile->length_bytes, at = 2;
    if (length < 4 || bytes[0] != 0xff || bytes[1] != SOI)
        return err_set(err, RC_UNSUPPORTED, "the tile does not begin like a JPEG stream");
    while (at + 4 <= length) {
        uint8_t marker = bytes[at + 1];
        size_t segment_bytes = bytes_be16(bytes + at + 2);
        if (bytes[at] != 0xff || segment_bytes < 2 || segment_bytes > length - at - 2)
            break;
        if (marker == SOS) {
            return walk->has_frame ? RC_OK : err_set(err, RC_UNSUPPORTED, "the tile has no frame header");
        }
        const uint8_t *body = bytes + at + 4;
        if (marker == APP0 && segment_bytes >= 7 && memcmp(body, "JFIF", 5) == 0)
            walk->has_jfif = true;
        if (marker == APP14 && segment_bytes >= 14 && memcmp(body, "Adobe", 5) == 0) {
            walk->has_adobe = true;
            walk->adobe_transform = body[11];
        }
        enum rc rc = RC_OK;
        if (marker >= 0xc0 && marker <= 0xc2)
            rc = look_at_frame(tile, bytes + at + 2, segment_bytes, walk, err);
        else if (marker >= 0xc3 && marker <= 0xcf && marker != 0xc4)
            rc = err_set(err, RC_UNSUPPORTED, "the tile's coding (SOF %u) is one that browsers do not know", marker & 15u);
        if (rc != RC_OK)
            return rc;
        at += 2 + segment_bytes;
    }
    return err_set(err, RC_UNSUPPORTED, "the tile has no scan");
}

/* The segments of a tables-only stream lie between its SOI and EOI. */
static size_t tables_bytes(const struct bytes *tables)
{
    return tables->length < 4 ? 0 : tables->length - 4;
}

static bool tables_are_sound(const struct bytes *tables)
{
    const uint8_t *data = tables->data;
    size_t length = tables->length;
    return length == 0 || (length >= 4 && data[0] == 0xff && data[1] == SOI && data[length - 2] == 0xff &&
                           data[length - 1] == EOI);
}

/* The head ends where the tile's own SOI does, which it replaces: in the usual case (JFIF added) nothing has to move. */
size_t image_jpeg_stored_offset(const struct image_stored_tile *tile)
{
    return sizeof jfif + tables_bytes(tile->tables);
}

/* The marker that tells viewers what the components mean: ours, or NULL with *ret_known where the tile has its own. False
 * when the tile says something else than the TIFF. */
static bool choose_marker(const struct walk *walk, enum image_model model, const uint8_t **ret_marker, size_t *ret_bytes)
{
    *ret_marker = NULL;
    *ret_bytes = 0;
    if (walk->has_adobe)
        return walk->adobe_transform == (model == IMAGE_YCBCR);
    if (walk->has_jfif)
        return model != IMAGE_RGB;
    *ret_marker = model == IMAGE_RGB ? adobe_rgb : jfif;
    *ret_bytes = model == IMAGE_RGB ? sizeof adobe_rgb : sizeof jfif;
    return true;
}

enum rc image_jpeg_stored_finish(const struct image_stored_tile *tile, enum image_model model, struct bytes *out,
                                 struct err *err)
{
    const size_t offset = image_jpeg_stored_offset(tile), tables_length = tables_bytes(tile->tables);
    struct walk walk = {0};
    enum rc rc = walk_segments(tile, out->data + offset, &walk, err);
    if (rc != RC_OK)
        return rc;
    const uint8_t *marker;
    size_t marker_bytes;
    if (walk.components != (model == IMAGE_GRAY ? 1 : 3) || !choose_marker(&walk, model, &marker, &marker_bytes))
        return err_set(err, RC_UNSUPPORTED, "the tile's components mean something else than the TIFF says");
    if (!tables_are_sound(tile->tables))
        return err_set(err, RC_UNSUPPORTED, "the JPEG tables are not a stream of tables");

    size_t head_bytes = 2 + marker_bytes + tables_length;
    if (head_bytes < offset + 2)
        memmove(out->data + head_bytes, out->data + offset + 2, tile->length_bytes - 2);
    out->data[0] = 0xff;
    out->data[1] = SOI;
    if (marker_bytes > 0)
        memcpy(out->data + 2, marker, marker_bytes);
    if (tables_length > 0)
        memcpy(out->data + 2 + marker_bytes, tile->tables->data + 2, tables_length);
    out->length = head_bytes + tile->length_bytes - 2;
    return RC_OK;
}
