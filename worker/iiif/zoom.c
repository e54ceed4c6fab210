#include "worker/iiif/zoom.h"

#include "worker/iiif/quote.h"

#include <inttypes.h>
#include <string.h>

#define USUAL_TILE_PX 256u
#define MAX_LEVEL     32u /* of a picture of 2^32 pixels along an edge */

/* Bytes of a path that are still to be read. */
struct rest {
    const char *data;
    size_t length;
};

static bool ends_with(struct rest rest, const char *end)
{
    size_t length = strlen(end);
    return rest.length > length && memcmp(rest.data + rest.length - length, end, length) == 0;
}

static bool take_word(struct rest *rest, const char *word)
{
    size_t length = strlen(word);
    if (rest->length < length || memcmp(rest->data, word, length) != 0)
        return false;
    *rest = (struct rest){rest->data + length, rest->length - length};
    return true;
}

/* Digits; false when there are none or too many for any tile. */
static bool take_number(struct rest *rest, uint32_t *ret_number)
{
    uint64_t number = 0;
    size_t digits = 0;
    for (; digits < rest->length && rest->data[digits] >= '0' && rest->data[digits] <= '9'; digits++) {
        number = number * 10 + (uint64_t)(rest->data[digits] - '0');
        if (number > UINT32_MAX)
            return false;
    }
    *rest = (struct rest){rest->data + digits, rest->length - digits};
    *ret_number = (uint32_t)number;
    return digits > 0;
}

/* "{level}{after level}{column}{after column}{row}.{format}" */
static enum rc read_tile(struct rest rest, const char *after_level, const char *after_column,
                         struct iiif_request *request, struct err *err)
{
    struct iiif_quote quote = iiif_quote_make(rest.data, rest.length);
    if (!take_number(&rest, &request->zoom_level) || !take_word(&rest, after_level) ||
        !take_number(&rest, &request->zoom_column) || !take_word(&rest, after_column) ||
        !take_number(&rest, &request->zoom_row) || !take_word(&rest, "."))
        return err_set(err, RC_BAD_REQUEST, "'%s' is no tile: it is written level%scolumn%srow.format",
                       quote.text, after_level, after_column);
    if (!iiif_request_format(rest.data, rest.length, &request->format))
        return err_set(err, RC_BAD_REQUEST, "format '%s' is none of jpg, png, webp, tif, gif and avif",
                       iiif_quote_make(rest.data, rest.length).text);
    request->what = IIIF_IMAGE;
    return RC_OK;
}

static enum rc parse_deepzoom(struct rest segment, struct rest rest, struct iiif_request *request,
                              struct err *err)
{
    static const char descriptor[] = ".dzi", files[] = "_files";
    enum rc rc = RC_OK;
    if (rest.length == 0 && ends_with(segment, descriptor)) {
        request->what = IIIF_ZOOM_DESCRIPTOR;
        segment.length -= sizeof descriptor - 1;
    } else if (take_word(&rest, "/") && ends_with(segment, files)) {
        segment.length -= sizeof files - 1;
        rc = read_tile(rest, "/", "_", request, err);
    } else {
        rc = err_set(err, RC_NOT_FOUND,
                     "the path is neither {identifier}.dzi nor "
                     "{identifier}_files/{level}/{column}_{row}.{format}");
    }
    return rc == RC_OK ? iiif_request_identifier(segment.data, segment.length, request, err) : rc;
}

static enum rc parse_zoomify(struct rest segment, struct rest rest, struct iiif_request *request,
                             struct err *err)
{
    uint32_t ignored; /* which group a tile is in follows from its place */
    enum rc rc = RC_OK;
    struct rest tile = rest;
    if (take_word(&rest, "/ImageProperties.xml") && rest.length == 0)
        request->what = IIIF_ZOOM_DESCRIPTOR;
    else if (take_word(&tile, "/TileGroup") && take_number(&tile, &ignored) && take_word(&tile, "/"))
        rc = read_tile(tile, "-", "-", request, err);
    else
        rc = err_set(err, RC_NOT_FOUND,
                     "the path is neither {identifier}/ImageProperties.xml nor "
                     "{identifier}/TileGroup{n}/{tier}-{column}-{row}.{format}");
    return rc == RC_OK ? iiif_request_identifier(segment.data, segment.length, request, err) : rc;
}

enum rc iiif_zoom_parse(enum iiif_zoom_protocol protocol, const char *path, size_t length,
                        struct iiif_request *ret_request, struct err *err)
{
    const char *slash = memchr(path, '/', length);
    size_t first = slash == NULL ? length : (size_t)(slash - path);
    struct rest segment = {path, first}, rest = {path + first, length - first};
    struct iiif_request request = {.version = IIIF_3, .zoom = protocol};
    enum rc rc = protocol == IIIF_ZOOM_DEEPZOOM ? parse_deepzoom(segment, rest, &request, err)
                                                : parse_zoomify(segment, rest, &request, err);
    if (rc == RC_OK)
        *ret_request = request;
    return rc;
}

/* ---- the grid ---- */

static struct image_size upright_size(const struct image_pyramid *pyramid)
{
    return image_size_upright(pyramid->level[0].size, pyramid->orientation);
}

static uint32_t tile_edge_px(const struct image_pyramid *pyramid)
{
    struct image_size tile = pyramid->level[0].tile;
    return tile.width_px > 0 && tile.width_px == tile.height_px ? tile.width_px : USUAL_TILE_PX;
}

static uint64_t longer_px(struct image_size size)
{
    return size.width_px > size.height_px ? size.width_px : size.height_px;
}

/* The level of full resolution. Deep Zoom's level 0 is one pixel, and each further one twice as large. */
static uint32_t deepzoom_top(struct image_size full)
{
    uint32_t top = 0;
    while (top < MAX_LEVEL && (UINT64_C(1) << top) < longer_px(full))
        top++;
    return top;
}

/* Zoomify's tier 0 is the first that fits one tile; halves are rounded down in finding it. */
static uint32_t zoomify_top(struct image_size full, uint32_t tile_px)
{
    uint32_t top = 0;
    for (uint64_t edge_px = longer_px(full); edge_px > tile_px; edge_px /= 2)
        top++;
    return top;
}

enum rc iiif_zoom_resolve(struct iiif_request *request, const struct image_pyramid *pyramid, struct err *err)
{
    struct image_size full = upright_size(pyramid);
    uint32_t tile_px = tile_edge_px(pyramid);
    uint32_t top = request->zoom == IIIF_ZOOM_DEEPZOOM ? deepzoom_top(full) : zoomify_top(full, tile_px);
    if (request->zoom_level > top)
        return err_set(err, RC_NOT_FOUND, "there is no level %" PRIu32 ": the picture's last is %" PRIu32,
                       request->zoom_level, top);
    uint64_t scale = UINT64_C(1) << (top - request->zoom_level), step_px = tile_px * scale;
    uint64_t columns = (full.width_px + step_px - 1) / step_px,
             rows = (full.height_px + step_px - 1) / step_px;
    if (request->zoom_column >= columns || request->zoom_row >= rows)
        return err_set(err, RC_NOT_FOUND,
                       "level %" PRIu32 " has %" PRIu64 " columns and %" PRIu64 " rows of tiles, "
                       "there is no tile %" PRIu32 ", %" PRIu32,
                       request->zoom_level, columns, rows, request->zoom_column, request->zoom_row);
    uint64_t x_px = request->zoom_column * step_px, y_px = request->zoom_row * step_px;
    uint64_t width_px = full.width_px - x_px < step_px ? full.width_px - x_px : step_px;
    uint64_t height_px = full.height_px - y_px < step_px ? full.height_px - y_px : step_px;
    request->region_form = IIIF_REGION_PIXELS;
    request->region[0] = (double)x_px;
    request->region[1] = (double)y_px;
    request->region[2] = (double)width_px;
    request->region[3] = (double)height_px;
    request->size_form = IIIF_SIZE_EXACT;
    request->width_px = (uint32_t)((width_px + scale - 1) / scale);
    request->height_px = (uint32_t)((height_px + scale - 1) / scale);
    return RC_OK;
}

/* ---- descriptors ---- */

static uint64_t zoomify_tiles(struct image_size full, uint32_t tile_px)
{
    uint64_t tiles = 0;
    for (uint32_t tier = 0, top = zoomify_top(full, tile_px); tier <= top; tier++) {
        uint64_t step_px = (uint64_t)tile_px << tier;
        tiles += ((full.width_px + step_px - 1) / step_px) * ((full.height_px + step_px - 1) / step_px);
    }
    return tiles;
}

enum rc iiif_zoom_descriptor(enum iiif_zoom_protocol protocol, const struct image_pyramid *pyramid,
                             struct bytes *out, struct err *err)
{
    struct image_size full = upright_size(pyramid);
    uint32_t tile_px = tile_edge_px(pyramid);
    if (protocol == IIIF_ZOOM_ZOOMIFY)
        return bytes_format(out, err,
                            "<IMAGE_PROPERTIES WIDTH=\"%" PRIu32 "\" HEIGHT=\"%" PRIu32
                            "\" NUMTILES=\"%" PRIu64 "\" NUMIMAGES=\"1\" VERSION=\"1.8\" TILESIZE=\"%" PRIu32
                            "\" />\n",
                            full.width_px, full.height_px, zoomify_tiles(full, tile_px), tile_px);
    return bytes_format(out, err,
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                        "<Image xmlns=\"http://schemas.microsoft.com/deepzoom/2008\" TileSize=\"%" PRIu32
                        "\" Overlap=\"0\" Format=\"jpg\">\n"
                        "  <Size Width=\"%" PRIu32 "\" Height=\"%" PRIu32 "\"/>\n"
                        "</Image>\n",
                        tile_px, full.width_px, full.height_px);
}
