/* Joins tiles by bytes: restart intervals in their new order, their markers numbered anew. Where the window
 * ends within its only column's intervals, each is copied up to its last wanted MCU. */
#include "worker/image/jpeg_stitching.h"

#include "base/own.h"

/* A column of tiles while a row of them is copied. */
struct copy_lane {
    const uint8_t *at, *end; /* the next interval begins at `at` */
    uint32_t next, count;    /* its number, and how many there are */
};

static enum rc copy_start(const struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tile,
                          struct copy_lane *lane, struct err *err)
{
    struct image_jpeg_head head;
    enum rc rc = image_jpeg_head_read(stitch->grid.tables, tile->data, tile->length, &head, err);
    if (rc != RC_OK)
        return rc;
    uint32_t mcus = stitch->tile_mcus.width_px * stitch->tile_mcus.height_px,
             each = stitch->first.restart_mcus;
    *lane = (struct copy_lane){
        .at = tile->data + head.scan_at, .end = tile->data + tile->length, .count = (mcus + each - 1) / each};
    return RC_OK;
}

/* The bytes of the next interval, up to the marker that must follow; moves behind it. NULL: it is another
 * one. */
static const uint8_t *next_interval(struct copy_lane *lane, size_t *ret_length)
{
    const uint8_t *start = lane->at, *p = start;
    uint8_t marker = lane->next + 1 < lane->count ? IMAGE_JPEG_RST0 + (lane->next & 7) : IMAGE_JPEG_EOI;
    while (p < lane->end && (p = memchr(p, 0xff, (size_t)(lane->end - p))) != NULL && lane->end - p >= 2) {
        if (p[1] == 0) {
            p += 2;
            continue;
        }
        if (p[1] != marker || lane->next >= lane->count)
            return NULL;
        lane->at = p + 2;
        lane->next++;
        *ret_length = (size_t)(p - start);
        return start;
    }
    return NULL;
}

/* Ones in the place of the low bits of the byte before `at`, as behind the last code of every interval. */
static uint8_t *end_cut(uint8_t *at, uint32_t bits)
{
    at[-1] |= (uint8_t)((1u << bits) - 1);
    if (bits > 0 && at[-1] == 0xff)
        *at++ = 0;
    return at;
}

/* The part of one row of MCUs that lies in this column. */
static bool copy_part(struct image_jpeg_stitch *stitch, struct copy_lane *lane, uint32_t row,
                      struct image_jpeg_range part, struct bytes *out)
{
    uint32_t each = stitch->first.restart_mcus, per_row = stitch->tile_mcus.width_px / each;
    uint32_t from = row * per_row + part.from / each, to = row * per_row + (part.to + each - 1) / each;
    uint8_t *at = out->data + out->length;
    while (lane->next < to) {
        size_t length = 0;
        bool wanted = lane->next >= from;
        const uint8_t *interval = next_interval(lane, &length);
        if (interval == NULL)
            return false;
        if (!wanted)
            continue;
        if (stitch->intervals > 0) {
            *at++ = 0xff;
            *at++ = (uint8_t)(IMAGE_JPEG_RST0 + ((stitch->intervals - 1) & 7));
        }
        if (part.to % each != 0)
            length = image_jpeg_recode_reach(stitch, interval, length, part.to % each);
        if (length == 0)
            return false;
        memcpy(at, interval, length);
        at += length;
        if (part.to % each != 0)
            at = end_cut(at, stitch->cut_bits);
        stitch->intervals++;
    }
    out->length = (size_t)(at - out->data);
    return true;
}

static enum rc start_all(const struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles,
                         struct copy_lane *lane, struct bytes *out, struct err *err)
{
    size_t most_bytes = 0; /* no interval is copied twice, and each has a marker behind it */
    for (uint32_t i = 0; i < stitch->columns; i++) {
        enum rc rc = copy_start(stitch, &tiles[i], &lane[i], err);
        if (rc != RC_OK)
            return rc;
        most_bytes += tiles[i].length + stitch->tile_mcus.height_px; /* ending a cut may take a byte more */
    }
    return bytes_reserve(out, most_bytes, err);
}

static bool copy_all(struct image_jpeg_stitch *stitch, struct copy_lane *lane, struct bytes *out)
{
    const struct image_size tile = stitch->tile_mcus;
    const struct image_jpeg_range rows = image_jpeg_range_in(stitch->down, tile.height_px, stitch->next_row);
    for (uint32_t row = rows.from; row < rows.to; row++)
        for (uint32_t i = 0; i < stitch->columns; i++)
            if (!copy_part(stitch, &lane[i], row, image_jpeg_range_in(stitch->across, tile.width_px, i), out))
                return false;
    return true;
}

enum rc image_jpeg_copy_row(struct image_jpeg_stitch *stitch, const struct image_jpeg_tile *tiles,
                            struct bytes *out, struct err *err)
{
    OWN_FREE struct copy_lane *lane = calloc(stitch->columns, sizeof *lane);
    if (lane == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to join %u tiles", stitch->columns);
    enum rc rc = start_all(stitch, tiles, lane, out, err);
    if (rc == RC_OK && !copy_all(stitch, lane, out))
        rc = err_set(err, RC_UNSUPPORTED, "the tile does not restart where it says");
    return rc;
}
