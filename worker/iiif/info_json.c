#include "worker/iiif/info_json.h"

#include "base/own.h"
#include "worker/iiif/media_range.h"

#include <assert.h>
#include <jansson.h>

#define VIRTUAL_TILE_PX 512u

/* Lists of names end with NULL. Level 2 of both versions implies jpg and png. */
static const char *const extra_formats[] = {"webp", "tif", "gif", "avif", NULL};
static const char *const preferred_formats[] = {"jpg", "webp", NULL};
static const char *const colour_qualities[] = {"color", "gray", "bitonal", NULL};
static const char *const gray_qualities[] = {"gray", "bitonal", NULL};
static const char *const features_2[] = {"canonicalLinkHeader", "mirroring",         "profileLinkHeader",
                                         "regionSquare",        "rotationArbitrary", NULL};
static const char *const features_3[] = {"canonicalLinkHeader", "mirroring", "profileLinkHeader",
                                         "rotationArbitrary", NULL};

static void own_json(json_t **slot)
{
    json_decref(*slot);
}

/* Adding to an object or array takes the new value over, also when it fails; a NULL value makes it fail. */
static bool add(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static bool add_text(json_t *object, const char *name, const char *text)
{
    return add(object, name, json_string(text));
}

static bool add_number(json_t *object, const char *name, uint64_t value)
{
    return add(object, name, json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX));
}

/* A list of names with one more at the end, if `last` is not NULL. */
static bool add_names(json_t *object, const char *name, const char *const *names, const char *last)
{
    json_t *list = json_array();
    bool ok = add(object, name, list);
    for (; ok && *names != NULL; names++)
        ok = json_array_append_new(list, json_string(*names)) == 0;
    return ok && (last == NULL || json_array_append_new(list, json_string(last)) == 0);
}

static bool add_limits(json_t *object, const struct iiif_limits *limits)
{
    return add_number(object, "maxWidth", limits->max_width_px) &&
           add_number(object, "maxHeight", limits->max_height_px) &&
           add_number(object, "maxArea", limits->max_area_px);
}

static bool add_size(json_t *object, struct image_size size)
{
    return add_number(object, "width", size.width_px) && add_number(object, "height", size.height_px);
}

/* ---- sizes ---- */

static bool same_size(struct image_size a, struct image_size b)
{
    return a.width_px == b.width_px && a.height_px == b.height_px;
}

/* The levels, smallest first: each works as `full/w,h` (and `full/w,` for all but one-pixel strips). */
static bool add_sizes(json_t *info, const struct image_pyramid *pyramid, const struct iiif_limits *limits)
{
    OWN(own_json) json_t *sizes = json_array();
    struct image_size before = {0, 0};
    for (uint32_t i = pyramid->level_count; i-- > 0;) {
        struct image_size size = image_size_upright(pyramid->level[i].size, pyramid->orientation);
        if (!iiif_size_within(size, limits) || same_size(size, before))
            continue;
        json_t *entry = json_object();
        if (json_array_append_new(sizes, entry) != 0 || !add_size(entry, size))
            return false;
        before = size;
    }
    if (sizes == NULL)
        return false;
    return json_array_size(sizes) == 0 || json_object_set(info, "sizes", sizes) == 0;
}

/* ---- tiles ---- */

static bool is_tiled(const struct image_level *level)
{
    return level->tile.width_px > 0 && level->tile.height_px > 0;
}

/* The tile grid of a level. One without (a pyramid's last level often is a single strip) goes along with the
 * first level that has one, so that no factor is missing; 0 x 0 when none has. */
static struct image_size grid_of(const struct image_pyramid *pyramid, uint32_t level)
{
    if (is_tiled(&pyramid->level[level]))
        return pyramid->level[level].tile;
    for (uint32_t i = 0; i < pyramid->level_count; i++)
        if (is_tiled(&pyramid->level[i]))
            return pyramid->level[i].tile;
    return (struct image_size){0, 0};
}

/* A new entry of `tiles`; returns its scaleFactors, or NULL. */
static json_t *add_tile(json_t *tiles, struct image_size tile)
{
    json_t *entry = json_object(), *factors = json_array();
    bool ok = json_array_append_new(tiles, entry) == 0;
    ok = ok && add_size(entry, tile);
    if (!ok) {
        json_decref(factors);
        return NULL;
    }
    return add(entry, "scaleFactors", factors) ? factors : NULL;
}

/* Powers of two above 1 until the picture fits in one tile: of a tiled file without smaller levels a viewer
 * would otherwise have to fetch every tile to show anything. */
static bool add_further_factors(json_t *factors, struct image_size tile, struct image_size full)
{
    uint64_t factor = 1;
    while (tile.width_px * factor < full.width_px || tile.height_px * factor < full.height_px) {
        factor *= 2;
        if (json_array_append_new(factors, json_integer((json_int_t)factor)) != 0)
            return false;
    }
    return true;
}

/* One entry per distinct stored grid, in the order of the levels. Grids beyond the limits are left out. */
static bool add_stored_tiles(json_t *tiles, const struct image_pyramid *pyramid,
                             const struct iiif_limits *limits)
{
    struct image_size grid[IMAGE_MAX_LEVELS];
    json_t *factors[IMAGE_MAX_LEVELS];
    size_t grids = 0;
    for (uint32_t i = 0; i < pyramid->level_count; i++) {
        struct image_size own = image_size_upright(grid_of(pyramid, i), pyramid->orientation);
        if (own.width_px == 0 || !iiif_size_within(own, limits))
            continue;
        size_t g = 0;
        while (g < grids && !same_size(grid[g], own))
            g++;
        if (g == grids) {
            grid[g] = own;
            factors[g] = add_tile(tiles, own);
            grids++;
        }
        if (factors[g] == NULL ||
            json_array_append_new(factors[g], json_integer(pyramid->level[i].scale_factor)) != 0)
            return false;
    }
    if (grids == 0 || pyramid->level_count > 1)
        return true;
    return add_further_factors(factors[0], grid[0],
                               image_size_upright(pyramid->level[0].size, pyramid->orientation));
}

/* A grid that nothing is stored in: 512 px, less where the limits ask for it, and every power of two until
 * the picture fits in one tile. */
static bool add_virtual_tiles(json_t *tiles, struct image_size full, const struct iiif_limits *limits)
{
    struct image_size tile = {VIRTUAL_TILE_PX, VIRTUAL_TILE_PX};
    while (tile.width_px > 1 && !iiif_size_within(tile, limits))
        tile.width_px = tile.height_px = tile.width_px / 2;
    json_t *factors = add_tile(tiles, tile);
    uint64_t longer = full.width_px > full.height_px ? full.width_px : full.height_px;
    for (uint64_t factor = 1;; factor *= 2) {
        if (factors == NULL || json_array_append_new(factors, json_integer((json_int_t)factor)) != 0)
            return false;
        if (tile.width_px * factor >= longer)
            return true;
    }
}

/* Larger tiles, which cost no more than the bytes of the stored ones. Factors are those of the stored grid,
 * so that a viewer may take either. Of several sizes with one factor OpenSeadragon takes the last, hence the
 * order: 512 px suit most screens. */
static bool add_joined_tiles(json_t *tiles, const struct image_pyramid *pyramid,
                             const struct iiif_limits *limits)
{
    static const uint32_t edge_px[] = {1024, 512};
    for (size_t i = 0; i < sizeof edge_px / sizeof edge_px[0]; i++) {
        struct image_size tile = {edge_px[i], edge_px[i]};
        if (!iiif_size_within(tile, limits))
            continue;
        json_t *factors = add_tile(tiles, tile);
        for (uint32_t level = 0; level < pyramid->level_count; level++)
            if (factors == NULL ||
                json_array_append_new(factors, json_integer(pyramid->level[level].scale_factor)) != 0)
                return false;
    }
    return true;
}

static bool add_tiles(json_t *info, const struct image_pyramid *pyramid, struct image_size full,
                      const struct iiif_limits *limits)
{
    json_t *tiles = json_array();
    if (!add(info, "tiles", tiles) || !add_stored_tiles(tiles, pyramid, limits))
        return false;
    if (json_array_size(tiles) == 0)
        return add_virtual_tiles(tiles, full, limits);
    return !pyramid->tiles_join || !limits->join_tiles || add_joined_tiles(tiles, pyramid, limits);
}

/* ---- versions ---- */

static const char *const *qualities_of(const struct image_pyramid *pyramid)
{
    return pyramid->has_colour ? colour_qualities : gray_qualities;
}

static bool build_3(json_t *info, const char *id, const struct image_pyramid *pyramid, struct image_size full,
                    const struct iiif_limits *limits)
{
    return add_text(info, "@context", "http://iiif.io/api/image/3/context.json") &&
           add_text(info, "id", id) && add_text(info, "type", "ImageService3") &&
           add_text(info, "protocol", "http://iiif.io/api/image") && add_text(info, "profile", "level2") &&
           add_size(info, full) && add_limits(info, limits) && add_sizes(info, pyramid, limits) &&
           add_tiles(info, pyramid, full, limits) &&
           add_names(info, "preferredFormats", preferred_formats, NULL) &&
           add_names(info, "extraQualities", qualities_of(pyramid), NULL) &&
           add_names(info, "extraFormats", extra_formats, NULL) &&
           add_names(info, "extraFeatures", features_3, limits->allow_upscaling ? "sizeUpscaling" : NULL);
}

static bool add_profile_2(json_t *info, const struct image_pyramid *pyramid, const struct iiif_limits *limits)
{
    json_t *profile = json_array(), *described = NULL;
    return add(info, "profile", profile) &&
           json_array_append_new(profile, json_string("http://iiif.io/api/image/2/level2.json")) == 0 &&
           json_array_append_new(profile, described = json_object()) == 0 &&
           add_names(described, "formats", extra_formats, NULL) &&
           add_names(described, "qualities", qualities_of(pyramid), NULL) && add_limits(described, limits) &&
           add_names(described, "supports", features_2, limits->allow_upscaling ? "sizeAboveFull" : NULL);
}

static bool build_2(json_t *info, const char *id, const struct image_pyramid *pyramid, struct image_size full,
                    const struct iiif_limits *limits)
{
    return add_text(info, "@context", "http://iiif.io/api/image/2/context.json") &&
           add_text(info, "@id", id) && add_text(info, "@type", "iiif:Image") &&
           add_text(info, "protocol", "http://iiif.io/api/image") && add_size(info, full) &&
           add_sizes(info, pyramid, limits) && add_tiles(info, pyramid, full, limits) &&
           add_profile_2(info, pyramid, limits);
}

static int append_text(const char *text, size_t length, void *data)
{
    return bytes_append(data, text, length, NULL) == RC_OK ? 0 : -1;
}

enum rc iiif_info_json(enum iiif_version version, const char *id, const struct image_pyramid *pyramid,
                       const struct iiif_limits *limits, struct bytes *out, struct err *err)
{
    assert(pyramid->level_count >= 1 && pyramid->level_count <= IMAGE_MAX_LEVELS);
    struct image_size full = image_size_upright(pyramid->level[0].size, pyramid->orientation);
    size_t length_before = out->length;
    /* JSON is UTF-8. A browser percent-encodes everything else, so this meets only clients that write URLs by
     * hand. */
    OWN(own_json) json_t *probe = json_string(id);
    OWN(own_json) json_t *info = json_object();
    if (probe == NULL && json_is_object(info))
        return err_set(err, RC_BAD_REQUEST,
                       "the identifier is not UTF-8; such bytes have to be percent-encoded");
    bool built = version == IIIF_3 ? build_3(info, id, pyramid, full, limits)
                                   : build_2(info, id, pyramid, full, limits);
    if (!built || json_dump_callback(info, append_text, out, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0) {
        out->length = length_before;
        return err_set(err, RC_NO_MEMORY, "no memory for info.json");
    }
    return RC_OK;
}

const char *iiif_info_media_type(enum iiif_version version, const char *accept)
{
    const char *linked = version == IIIF_3
                             ? "application/ld+json;profile=\"http://iiif.io/api/image/3/context.json\""
                             : "application/ld+json";
    bool linked_is_default = version == IIIF_3;
    int order = accept == NULL ? 0
                               : iiif_media_range_compare(accept, "application/ld+json", "application/json");
    bool give_linked = order == 0 ? linked_is_default : order > 0;
    return give_linked ? linked : "application/json";
}
