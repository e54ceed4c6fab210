/* Tiles that are sent as they lie in the file. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/jpeg_head.h"

#include <string.h>

/* 16 MiB of places: a level of a 65-gigapixel picture. Beyond, each look-up reads the file. */
#define MOST_TILES    ((uint64_t)1 << 20)
#define TILES_AT_ONCE 4096u
/* Decoding reads a whole table only up to here: half a megabyte. */
#define MOST_TILES_TO_DECODE 65536u
#define JOINED_TILE_PX       256u
#define HEAD_BYTES           2048u /* a tile's head; with tables of its own it takes some 600 */

static bool is_storable(const struct image_tiff_picture *picture)
{
    const struct image_format *format = &picture->format;
    bool plain = picture->tiled && !picture->separate && picture->samples == image_format_planes(format);
    if (picture->compression == TIFF_JPEG)
        plain = plain && format->alpha == IMAGE_ALPHA_NONE &&
                (format->model == IMAGE_GRAY || format->model == IMAGE_RGB || format->model == IMAGE_YCBCR);
    else
        plain = plain && picture->compression == TIFF_WEBP && format->model == IMAGE_RGB &&
                format->alpha != IMAGE_ALPHA_PREMULTIPLIED;
    for (uint32_t i = 0; plain && i < picture->samples;
         i++) /* polarity and the like exist in the TIFF only */
        plain = !picture->plane[i].mapped && picture->plane[i].sample == i;
    return plain;
}

/* A tile that is missing or lies outside the file gets length 0: the decoding way says what is wrong with
 * it. */
static enum rc read_places(const struct image_tiff_source *tiff, const struct image_tiff_picture *picture,
                           struct image_tiff_tiles *tiles, struct err *err)
{
    OWN_FREE uint64_t *number = malloc(2 * TILES_AT_ONCE * sizeof *number);
    if (number == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to look up tiles");
    uint64_t *at = number, *length = number + TILES_AT_ONCE;
    for (uint32_t first = 0; first < tiles->count; first += TILES_AT_ONCE) {
        uint32_t count = tiles->count - first < TILES_AT_ONCE ? tiles->count - first : TILES_AT_ONCE;
        enum rc rc = image_tiff_numbers(&tiff->file, &picture->chunk_at, first, count, at, err);
        if (rc == RC_OK)
            rc = image_tiff_numbers(&tiff->file, &picture->chunk_bytes, first, count, length, err);
        if (rc != RC_OK)
            return rc;
        for (uint32_t i = 0; i < count; i++)
            if (length[i] <= UINT32_MAX && at[i] <= tiff->file.file_bytes &&
                length[i] <= tiff->file.file_bytes - at[i])
                tiles->tile[first + i] = (struct image_record_place){at[i], (uint32_t)length[i]};
    }
    return RC_OK;
}

static bool load_places(const struct image_tiff_source *tiff, uint32_t level, struct image_tiff_tiles *tiles)
{
    OWN(bytes_done) struct bytes packed = {0};
    struct image_source_shelf *shelf = tiff->source.shelf;
    if (shelf == NULL || !shelf->load_tiles(shelf, level, &packed))
        return false;
    bool good = image_record_unpack_places(&packed, tiff->file.file_bytes, tiles->count, tiles->tile);
    if (!good)
        memset(tiles->tile, 0, tiles->count * sizeof tiles->tile[0]);
    return good;
}

/* That the shelf does not get it is nobody's loss. */
static void store_places(const struct image_tiff_source *tiff, uint32_t level,
                         const struct image_tiff_tiles *tiles)
{
    OWN(bytes_done) struct bytes packed = {0};
    struct image_source_shelf *shelf = tiff->source.shelf;
    if (shelf != NULL && image_record_pack_places(tiles->tile, tiles->count, &packed, NULL) == RC_OK)
        shelf->store_tiles(shelf, level, &packed);
}

/* The table of a level, read if need be. NULL with RC_OK: there are too many tiles for one. */
static enum rc find_tiles(struct image_tiff_source *tiff, uint32_t level, bool may_block,
                          struct image_tiff_tiles **ret_tiles, struct err *err)
{
    const struct image_tiff_picture *picture = &tiff->level[level];
    uint64_t count = (uint64_t)picture->chunks_across * picture->chunks_down;
    struct image_tiff_tiles *known = atomic_load_explicit(&tiff->tiles[level], memory_order_acquire);
    /* Of a remote file all of the table would have to be fetched for one tile. */
    bool is_remote = tiff->file.blob->ops->want != NULL;
    if (known != NULL || is_remote || (count > MOST_TILES && may_block)) {
        *ret_tiles = known;
        return RC_OK;
    }
    if (!may_block)
        return err_set(err, RC_BUSY, "where the tiles of level %u lie has to be read", level);
    OWN_FREE struct image_tiff_tiles *read = calloc(1, sizeof *read + (size_t)count * sizeof read->tile[0]);
    if (read == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the places of %llu tiles",
                       (unsigned long long)count);
    read->count = (uint32_t)count;
    if (!load_places(tiff, level, read)) {
        enum rc rc = read_places(tiff, picture, read, err);
        if (rc != RC_OK)
            return rc;
        store_places(tiff, level, read);
    }
    /* Another thread may have been as quick: the first one's stays. */
    if (atomic_compare_exchange_strong(&tiff->tiles[level], &known, read))
        known = TAKE_PTR(read);
    *ret_tiles = known;
    return RC_OK;
}

static bool is_there(const struct image_record_place *place)
{
    return place->at > 0 && place->length_bytes > 0;
}

/* What a table says of tiles that are not there is not enough for a sentence: then the directory is asked. */
enum rc image_tiff_chunks(struct image_tiff_source *tiff, uint32_t level, uint64_t first, uint32_t count,
                          uint64_t *ret_at, uint64_t *ret_bytes, struct err *err)
{
    const struct image_tiff_picture *picture = &tiff->level[level];
    struct image_tiff_tiles *tiles = NULL;
    uint64_t all = (uint64_t)picture->chunks_across * picture->chunks_down;
    uint32_t found = 0;
    if (picture->tiled && !picture->separate && picture->chunk_bytes.count > 0 &&
        all <= MOST_TILES_TO_DECODE) {
        enum rc rc = find_tiles(tiff, level, true, &tiles, err);
        if (rc != RC_OK && rc != RC_CORRUPT)
            return rc;
    }
    for (; tiles != NULL && found < count && is_there(&tiles->tile[first + found]); found++) {
        ret_at[found] = tiles->tile[first + found].at;
        ret_bytes[found] = tiles->tile[first + found].length_bytes;
    }
    return found == count
               ? RC_OK
               : image_tiff_picture_chunks(picture, &tiff->file, first, count, ret_at, ret_bytes, err);
}

enum rc image_tiff_stored_tile(struct image_tiff_source *tiff, uint32_t level, uint32_t column, uint32_t row,
                               bool may_block, struct image_stored_tile *ret_tile, struct err *err)
{
    const struct image_tiff_picture *picture = &tiff->level[level];
    if (!is_storable(picture) || column >= picture->chunks_across || row >= picture->chunks_down)
        return err_set(err, RC_UNSUPPORTED, "level %u has no JPEG or WebP tile %u, %u", level, column, row);
    uint64_t number = (uint64_t)row * picture->chunks_across + column;
    struct image_tiff_tiles *tiles = NULL;
    struct image_record_place place = {0};
    enum rc rc = find_tiles(tiff, level, may_block, &tiles, err);
    if (rc == RC_OK && tiles != NULL) {
        place = tiles->tile[number];
    } else if (rc == RC_OK) {
        uint64_t at = 0, length = 0;
        struct image_tiff_file file = tiff->file;
        file.never_waits = !may_block;
        rc = image_tiff_picture_chunks(picture, &file, number, 1, &at, &length, err);
        if (rc == RC_OK && length <= UINT32_MAX)
            place = (struct image_record_place){at, (uint32_t)length};
    }
    if (rc != RC_OK)
        return rc;
    if (place.length_bytes == 0)
        return err_set(err, RC_UNSUPPORTED, "tile %llu of level %u is not there", (unsigned long long)number,
                       level);
    *ret_tile = (struct image_stored_tile){.coding = picture->compression == TIFF_JPEG ? IMAGE_STORED_JPEG
                                                                                       : IMAGE_STORED_WEBP,
                                           .offset = place.at,
                                           .length_bytes = place.length_bytes,
                                           .size = picture->chunk,
                                           .tables = &picture->jpeg_tables};
    return RC_OK;
}

/* One interval per row of MCUs, as we write them; some write one per MCU in tiles that overhang the right
 * edge. */
static bool restarts_at_rows(const struct image_tiff_picture *picture, const struct image_jpeg_head *head)
{
    uint32_t row_mcus = picture->chunk.width_px / image_jpeg_head_mcu(head).width_px;
    bool overhangs = picture->size.width_px < picture->chunk.width_px;
    return head->process <= 1 && head->scan_is_whole &&
           (head->restart_mcus == row_mcus || (overhangs && head->restart_mcus == 1));
}

static bool may_join(const struct image_tiff_source *tiff)
{
    bool may = tiff->source.pyramid.orientation == 1;
    for (uint32_t i = 0; i < tiff->source.pyramid.level_count; i++)
        may = may && tiff->level[i].compression == TIFF_JPEG && is_storable(&tiff->level[i]) &&
              tiff->level[i].chunk.width_px == JOINED_TILE_PX &&
              tiff->level[i].chunk.height_px == JOINED_TILE_PX;
    return may;
}

enum rc image_tiff_tiles_join(const struct image_tiff_source *tiff, bool *ret_join, struct err *err)
{
    const struct image_tiff_picture *last = &tiff->level[tiff->source.pyramid.level_count - 1];
    uint64_t at = 0, length = 0;
    uint8_t start[HEAD_BYTES];
    struct image_jpeg_head head;
    *ret_join = false;
    if (!may_join(tiff))
        return RC_OK;
    enum rc rc = image_tiff_picture_chunks(last, &tiff->file, 0, 1, &at, &length, err);
    if (length > sizeof start)
        length = sizeof start;
    if (rc == RC_OK)
        rc = image_blob_read(tiff->file.blob, start, (size_t)length, at, err);
    if (rc == RC_OK)
        rc = image_jpeg_head_read(&last->jpeg_tables, start, (size_t)length, &head, err);
    *ret_join = rc == RC_OK && restarts_at_rows(last, &head);
    return rc == RC_CORRUPT || rc == RC_UNSUPPORTED ? RC_OK : rc;
}
