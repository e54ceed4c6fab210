#include "worker/render/stitch.h"

#include "base/own.h"
#include "worker/image/jpeg_metadata.h"
#include "worker/image/jpeg_stitch.h"
#include "worker/render/passthrough.h"

#define EVENT_BYTES (192u << 10) /* of tiles that are copied on the event thread; at 256 px some sixteen */
/* Of tiles whose codes are moved there: 0.1 ms, less than handing them to a thread. */
#define EVENT_CODES_BYTES    (24u << 10)
#define EVENT_METADATA_BYTES (32u << 10)
#define EVENT_TILES          16u
#define HELD_BYTES           (2u << 20) /* of tiles that are all held at once; beyond, one row of them at a time */
#define HEAD_BYTES           2048u
#define COALESCE_GAP         64u /* read along rather than read around: writers align tiles */

/* One answer in the making. */
struct joining {
    struct image_source *source;
    enum image_blob_patience patience;
    uint32_t level, column, row; /* the first tile */
    uint32_t columns, rows;
    struct image_jpeg_grid grid;
    struct image_stored_tile *stored; /* columns x rows */
    uint64_t stored_bytes;
    struct image_jpeg_tile *tile; /* as many as are held; behind them in the same memory */
    struct bytes held;
    struct image_jpeg_stitch *stitch;
};

static void joining_done(struct joining *j)
{
    image_jpeg_stitch_free(&j->stitch);
    bytes_done(&j->held);
    free(j->stored);
}

/* ---- which tiles ---- */

/* Whether the plan's window is one of whole pixels of a tiled level that begins at an MCU. */
static bool find_window(const struct picture *picture, const struct iiif_plan *plan,
                        const struct render_options *options, struct joining *j)
{
    const struct image_source *source = picture->source;
    const struct image_level *level = &source->pyramid.level[plan->level];
    const struct image_size tile = level->tile;
    if (plan->format != IIIF_JPG || tile.width_px == 0 || !render_passthrough_applies(picture, plan, options))
        return false;
    uint64_t x = (uint64_t)plan->window_x_px, y = (uint64_t)plan->window_y_px;
    uint32_t width = plan->size.width_px, height = plan->size.height_px;
    uint32_t edge_px = width > height ? width : height;
    if (x % (8u << source->format.sub_x_log2) != 0 || y % (8u << source->format.sub_y_log2) != 0 ||
        x + width > level->size.width_px || y + height > level->size.height_px ||
        edge_px > image_encode_max_edge_px(IMAGE_JPEG))
        return false;
    *j = (struct joining){.source = picture->source,
                          .level = plan->level,
                          .column = (uint32_t)x / tile.width_px,
                          .row = (uint32_t)y / tile.height_px};
    j->grid = (struct image_jpeg_grid){
        .tile = tile,
        .window = {(uint32_t)x % tile.width_px, (uint32_t)y % tile.height_px, width, height},
        .model = source->format.model};
    j->columns = image_jpeg_grid_columns(&j->grid);
    j->rows = image_jpeg_grid_rows(&j->grid);
    return true;
}

static enum rc find_tiles(struct joining *j, struct err *err)
{
    size_t count = (size_t)j->columns * j->rows;
    j->stored = malloc(count * (sizeof *j->stored + sizeof *j->tile));
    if (j->stored == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the places of %zu tiles", count);
    j->tile = (struct image_jpeg_tile *)(j->stored + count);
    for (size_t i = 0; i < count; i++) {
        enum rc rc = image_source_stored_tile(j->source, j->level, j->column + (uint32_t)(i % j->columns),
                                              j->row + (uint32_t)(i / j->columns),
                                              j->patience == IMAGE_BLOB_MAY_BLOCK, &j->stored[i], err);
        if (rc != RC_OK)
            return rc;
        j->stored_bytes += j->stored[i].length_bytes;
    }
    if (j->stored[0].coding != IMAGE_STORED_JPEG)
        return err_set(err, RC_UNSUPPORTED, "the level has no JPEG tiles");
    j->grid.tables = j->stored[0].tables;
    return image_jpeg_stitch_new(&j->grid, &j->stitch, err);
}

/* ---- reading them ---- */

/* How many of the tiles lie one behind the other in the file, and their length with what is between them. */
static size_t run_of(const struct image_stored_tile *tile, size_t count, uint64_t *ret_length)
{
    uint64_t end = tile[0].offset + tile[0].length_bytes;
    size_t run = 1;
    while (run < count && tile[run].offset >= end && tile[run].offset - end <= COALESCE_GAP) {
        end = tile[run].offset + tile[run].length_bytes;
        run++;
    }
    *ret_length = end - tile[0].offset;
    return run;
}

/* Holds `count` tiles from number `first` on, instead of those held before. */
static enum rc hold(struct joining *j, size_t first, size_t count, struct err *err)
{
    const struct image_stored_tile *stored = j->stored + first;
    uint64_t length = 0, all = 0;
    for (size_t i = 0; i < count; all += length)
        i += run_of(stored + i, count - i, &length);
    j->held.length = 0;
    enum rc rc = bytes_reserve(&j->held, (size_t)all, err);
    for (size_t i = 0, run = 0; rc == RC_OK && i < count; i += run) {
        uint8_t *to = j->held.data + j->held.length;
        run = run_of(stored + i, count - i, &length);
        rc = j->patience == IMAGE_BLOB_MAY_BLOCK
                 ? image_blob_read(j->source->blob, to, (size_t)length, stored[i].offset, err)
                 : image_blob_read_resident(j->source->blob, to, (size_t)length, stored[i].offset, err);
        for (size_t n = i; n < i + run; n++)
            j->tile[n] = (struct image_jpeg_tile){to + (stored[n].offset - stored[i].offset),
                                                  stored[n].length_bytes};
        j->held.length += (size_t)length;
    }
    return rc;
}

static enum rc look_at_heads(struct joining *j, struct err *err)
{
    uint8_t start[HEAD_BYTES];
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < (size_t)j->columns * j->rows; i++) {
        size_t length = j->stored[i].length_bytes < sizeof start ? j->stored[i].length_bytes : sizeof start;
        rc = image_blob_read(j->source->blob, start, length, j->stored[i].offset, err);
        if (rc == RC_OK)
            rc = image_jpeg_stitch_look(j->stitch, &(struct image_jpeg_tile){start, length}, err);
    }
    return rc;
}

/* Sees to it that all tiles have been looked at; holds them all if they are few. */
static enum rc look(struct joining *j, bool *ret_holds_all, struct err *err)
{
    size_t count = (size_t)j->columns * j->rows;
    bool holds_all = j->stored_bytes <= HELD_BYTES;
    *ret_holds_all = holds_all;
    if (!holds_all)
        return look_at_heads(j, err);
    enum rc rc = hold(j, 0, count, err);
    for (size_t i = 0; rc == RC_OK && i < count; i++)
        rc = image_jpeg_stitch_look(j->stitch, &j->tile[i], err);
    return rc;
}

/* ---- joining them ---- */

/* All at once. */
static enum rc join_held(struct joining *j, const struct bytes *segments, struct bytes *out, struct err *err)
{
    enum rc rc = image_jpeg_stitch_begin(j->stitch, segments, out, err);
    for (uint32_t y = 0; rc == RC_OK && y < j->rows; y++)
        rc = image_jpeg_stitch_row(j->stitch, j->tile + (size_t)y * j->columns, out, err);
    return rc == RC_OK ? image_jpeg_stitch_end(j->stitch, out, err) : rc;
}

/* Row by row, each on its way before the next is read. What turns out broken after the first row has to break
 * the answer. */
static enum rc join_rows(struct joining *j, const struct bytes *segments, const struct render_output *output,
                         struct err *err)
{
    enum rc rc = image_jpeg_stitch_begin(j->stitch, segments, output->bytes, err);
    for (uint32_t y = 0; rc == RC_OK && y < j->rows; y++) {
        if (output->cancelled != NULL && output->cancelled(output->context))
            return err_set(err, RC_CANCELLED, "nobody waits for the picture any more");
        rc = hold(j, (size_t)y * j->columns, j->columns, err);
        if (rc == RC_OK)
            rc = image_jpeg_stitch_row(j->stitch, j->tile, output->bytes, err);
        if (rc == RC_UNSUPPORTED && y > 0)
            return err_set(err, RC_CORRUPT, "a tile in row %u of level %u is broken", j->row + y, j->level);
        if (rc == RC_OK && output->made != NULL)
            rc = output->made(output->context, err);
    }
    return rc == RC_OK ? image_jpeg_stitch_end(j->stitch, output->bytes, err) : rc;
}

static enum rc make_segments(const struct picture *picture, const struct iiif_plan *plan,
                             const struct render_options *options, struct bytes *out, struct err *err)
{
    struct image_encode_options encode = {.icc = NULL};
    enum rc rc = render_choose_metadata(picture, plan, options, picture->source->format.model == IMAGE_GRAY,
                                        &encode, err);
    return rc == RC_OK ? image_jpeg_metadata_write(&encode, plan->size, out, err) : rc;
}

/* Metadata that is to go along and would have to be read, or is long. */
static bool metadata_waits(const struct picture *picture, const struct iiif_plan *plan,
                           const struct render_options *options)
{
    struct image_source *source = picture->source;
    if (!render_carries_metadata(picture, plan, options))
        return false;
    if (atomic_load_explicit(&source->lacks_metadata, memory_order_acquire))
        return true;
    const struct image_metadata *metadata = &source->metadata;
    return metadata->icc.length + metadata->exif.length + metadata->xmp.length + metadata->iptc.length >
           EVENT_METADATA_BYTES;
}

enum rc render_stitch_resident(const struct picture *picture, const struct iiif_plan *plan,
                               const struct render_options *options, struct bytes *out, struct err *err)
{
    OWN(joining_done) struct joining j = {.source = NULL};
    OWN(bytes_done) struct bytes segments = {0};
    bool holds_all;
    if (!find_window(picture, plan, options, &j))
        return err_set(err, RC_UNSUPPORTED, "the request cannot be made of stored tiles");
    if (metadata_waits(picture, plan, options))
        return err_set(err, RC_BUSY, "the answer carries metadata");
    if ((uint64_t)j.columns * j.rows > EVENT_TILES)
        return err_set(err, RC_BUSY, "the request takes many tiles");
    j.patience = IMAGE_BLOB_NEVER_WAITS;
    enum rc rc = find_tiles(&j, err);
    if (rc == RC_OK && j.stored_bytes > EVENT_BYTES)
        rc = err_set(err, RC_BUSY, "the request takes long tiles");
    if (rc == RC_OK)
        rc = look(&j, &holds_all, err);
    if (rc == RC_OK && j.stored_bytes > EVENT_CODES_BYTES && !image_jpeg_stitch_is_copy(j.stitch))
        rc = err_set(err, RC_BUSY, "the tiles cannot be copied");
    if (rc == RC_OK)
        rc = make_segments(picture, plan, options, &segments, err);
    return rc == RC_OK ? join_held(&j, &segments, out, err) : rc;
}

enum rc render_stitch(const struct picture *picture, const struct iiif_plan *plan,
                      const struct render_options *options, const struct render_output *output,
                      struct err *err)
{
    OWN(joining_done) struct joining j = {.source = NULL};
    OWN(bytes_done) struct bytes segments = {0};
    bool holds_all = false;
    if (!find_window(picture, plan, options, &j))
        return err_set(err, RC_UNSUPPORTED, "the request cannot be made of stored tiles");
    j.patience = IMAGE_BLOB_MAY_BLOCK;
    enum rc rc = find_tiles(&j, err);
    if (rc == RC_OK)
        rc = look(&j, &holds_all, err);
    if (rc == RC_OK)
        rc = make_segments(picture, plan, options, &segments, err);
    if (rc != RC_OK)
        return rc;
    rc = holds_all ? join_held(&j, &segments, output->bytes, err) : join_rows(&j, &segments, output, err);
    if (rc == RC_UNSUPPORTED)
        output->bytes->length = 0;
    return rc;
}
