/* Reads JPEG-compressed tiles and strips with libjpeg itself, so that chroma stays subsampled, blocks can be
 * decoded shrunk, and no tile that the window does not touch is looked at. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/image/jpeg_decode.h"
#include "worker/image/tiff_unpack.h"

#include <stdio.h>

/* A higher strip or tile column is delivered MCU row by MCU row instead of as one band. */
#define MAX_BAND_ROWS 1024u

/* Chunks are decoded straight into `rows`, each at its place in the row of chunks, so that this begins left
 * of the window and above it, at a row of MCUs. The last column's blocks may stand out to the right. */
#define MCU_ROWS    IMAGE_JPEG_MOST_ROWS_AT_ONCE
#define OVERHANG_PX 64u

struct tiff_jpeg_reader {
    struct image_reader reader;
    struct image_tiff_source *tiff;
    const struct image_tiff_picture *picture;
    uint32_t level;
    unsigned shrink_log2;
    struct image_region window; /* in shrunk pixels, as all below */
    struct image_size chunk;
    uint32_t first_column, columns;
    uint32_t next_y_px; /* of the level */
    bool streams;       /* one chunk at a time, a row of MCUs per band */
    bool chunk_open;    /* if it streams: the decoder is inside the chunk that holds next_y_px */
    struct image_jpeg *jpeg;
    uint64_t *chunk_at, *chunk_bytes; /* of one row of chunks within the window */
    uint8_t *buffer;
    struct image_band rows; /* laid out over `buffer` */
};

static struct tiff_jpeg_reader *reader_of(struct image_reader *reader)
{
    return (struct tiff_jpeg_reader *)reader;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Opens the stream at `at` and checks that it is the chunk it should be. */
static enum rc tiff_begin_chunk(struct tiff_jpeg_reader *r, uint64_t number, uint64_t at, uint64_t bytes,
                                uint32_t row, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    struct image_jpeg_input input = {
        .blob = r->tiff->file.blob, .offset = at, .length = bytes, .is_wanted_whole = true};
    const char *what = picture->tiled ? "tile" : "strip";
    snprintf(input.subject, sizeof input.subject, "%s %llu of level %u", what, (unsigned long long)number,
             r->level);
    struct image_jpeg_frame frame = {0};
    enum rc rc = image_jpeg_begin(r->jpeg, &picture->jpeg_tables, &input, &frame, err);
    if (rc != RC_OK)
        return rc;
    uint32_t above = row * picture->chunk.height_px;
    uint32_t rows = least(picture->chunk.height_px, picture->size.height_px - above);
    if (frame.size.width_px != picture->chunk.width_px || frame.size.height_px < rows ||
        frame.components != (picture->separate ? 1 : picture->samples))
        return err_set(err, RC_CORRUPT, "%s holds a JPEG of %u x %u pixels and %u components", input.subject,
                       frame.size.width_px, frame.size.height_px, frame.components);
    if (!frame.planes || frame.sub_x_log2 != picture->format.sub_x_log2 ||
        frame.sub_y_log2 != picture->format.sub_y_log2)
        return err_set(err, RC_UNSUPPORTED, "%s has other chroma subsampling than the first", input.subject);
    uint8_t sub_x = 0, sub_y = 0;
    return image_jpeg_start(r->jpeg, IMAGE_JPEG_PLANES, r->shrink_log2,
                            r->tiff->source.limits.max_decode_bytes, &sub_x, &sub_y, err);
}

static unsigned tiff_sub_y(const struct tiff_jpeg_reader *r, unsigned p)
{
    return r->reader.format.model == IMAGE_YCBCR && (p == 1 || p == 2) ? r->reader.format.sub_y_log2 : 0;
}

static unsigned tiff_sub_x(const struct tiff_jpeg_reader *r, unsigned p)
{
    return r->reader.format.model == IMAGE_YCBCR && (p == 1 || p == 2) ? r->reader.format.sub_x_log2 : 0;
}

/* Where the planes that come of a chunk (all of them, or the one of `sample`) have row `y_px` of `rows` and
 * the chunk's first column. */
static struct image_jpeg_place tiff_place(const struct tiff_jpeg_reader *r, unsigned sample, uint32_t column,
                                          uint32_t y_px)
{
    struct image_jpeg_place place = {.plane = {NULL}};
    for (unsigned p = 0; p < image_format_planes(&r->reader.format); p++) {
        unsigned of = r->picture->plane[p].sample;
        if (r->picture->separate && of != sample)
            continue;
        unsigned component = r->picture->separate ? 0 : of;
        place.plane[component] = image_planes_row(&r->rows, p, y_px >> tiff_sub_y(r, p)) +
                                 ((size_t)column * r->chunk.width_px >> tiff_sub_x(r, p));
        place.stride_bytes[component] = r->rows.stride_bytes[p];
    }
    return place;
}

/* The chunk's row that row 0 of `rows` stands for. */
static uint32_t tiff_first_row(const struct image_tiff_part *part)
{
    return part->top_px / MCU_ROWS * MCU_ROWS;
}

/* Decodes one chunk of one sample, or of all. */
static enum rc tiff_decode_chunk(struct tiff_jpeg_reader *r, unsigned sample, uint32_t column,
                                 const struct image_tiff_part *part, struct err *err)
{
    uint32_t step = image_jpeg_rows_at_once(r->jpeg), first = tiff_first_row(part);
    enum rc rc = image_jpeg_skip_rows(r->jpeg, part->top_px, err);
    for (uint32_t y = part->top_px / step * step; rc == RC_OK && y < part->bottom_px; y += step) {
        const struct image_jpeg_place place = tiff_place(r, sample, column, y - first);
        rc = image_jpeg_rows_to(r->jpeg, &place, err);
    }
    return rc;
}

/* Turns values around where the file counts them the other way. */
static void tiff_map_rows(const struct tiff_jpeg_reader *r, uint32_t from, uint32_t until)
{
    for (unsigned p = 0; p < image_format_planes(&r->reader.format); p++) {
        const struct image_tiff_plane *plane = &r->picture->plane[p];
        unsigned sub = tiff_sub_y(r, p);
        for (uint32_t y = from >> sub; plane->mapped && y < ((until - 1) >> sub) + 1; y++) {
            uint8_t *row = image_planes_row(&r->rows, p, y);
            for (size_t x = 0; x < r->rows.stride_bytes[p]; x++)
                row[x] = plane->map[row[x]];
        }
    }
}

/* The band that begins at row `y_px` of `rows`. */
static struct image_band tiff_band(const struct tiff_jpeg_reader *r, uint32_t y_px, uint32_t height_px)
{
    struct image_band band = {.y_px = r->next_y_px - r->window.y_px, .height_px = height_px};
    uint32_t x_px = r->window.x_px - r->first_column * r->chunk.width_px;
    for (unsigned p = 0; p < image_format_planes(&r->reader.format); p++) {
        band.plane[p] = image_planes_row(&r->rows, p, y_px >> tiff_sub_y(r, p)) + (x_px >> tiff_sub_x(r, p));
        band.stride_bytes[p] = r->rows.stride_bytes[p];
    }
    return band;
}

static enum rc tiff_find_row(struct tiff_jpeg_reader *r, unsigned sample, uint32_t row, uint64_t *ret_first,
                             struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    uint64_t first = ((uint64_t)sample * picture->chunks_down + row) * picture->chunks_across +
                     r->first_column;
    *ret_first = first;
    return image_tiff_chunks(r->tiff, r->level, first, r->columns, r->chunk_at, r->chunk_bytes, err);
}

static bool tiff_needs_sample(const struct tiff_jpeg_reader *r, unsigned sample)
{
    unsigned planes = image_format_planes(&r->reader.format);
    for (unsigned p = 0; p < planes; p++)
        if (r->picture->plane[p].sample == sample)
            return true;
    return false;
}

/* A whole row of chunks as one band. */
static enum rc tiff_read_chunk_row(struct tiff_jpeg_reader *r, struct image_band *ret_band, struct err *err)
{
    uint32_t row = r->next_y_px / r->chunk.height_px;
    unsigned passes = r->picture->separate ? r->picture->samples : 1;
    struct image_tiff_part part = {0};
    for (unsigned sample = 0; sample < passes; sample++) {
        uint64_t first = 0;
        if (r->picture->separate && !tiff_needs_sample(r, sample))
            continue;
        enum rc rc = tiff_find_row(r, sample, row, &first, err);
        for (uint32_t i = 0; rc == RC_OK && i < r->columns; i++) {
            part = image_tiff_part_of(&r->window, r->chunk, r->first_column + i, row);
            rc = tiff_begin_chunk(r, first + i, r->chunk_at[i], r->chunk_bytes[i], row, err);
            if (rc == RC_OK)
                rc = tiff_decode_chunk(r, sample, i, &part, err);
        }
        if (rc != RC_OK)
            return rc;
    }
    uint32_t top = part.top_px - tiff_first_row(&part), height = part.bottom_px - part.top_px;
    tiff_map_rows(r, top, top + height);
    *ret_band = tiff_band(r, top, height);
    return RC_OK;
}

/* The next row of MCUs that touches the window. */
static enum rc tiff_read_mcu_row(struct tiff_jpeg_reader *r, struct image_band *ret_band, struct err *err)
{
    uint32_t row = r->next_y_px / r->chunk.height_px;
    struct image_tiff_part part = image_tiff_part_of(&r->window, r->chunk, r->first_column, row);
    uint32_t top = r->next_y_px - row * r->chunk.height_px;
    if (!r->chunk_open) {
        uint64_t first = 0;
        enum rc rc = tiff_find_row(r, 0, row, &first, err);
        if (rc == RC_OK)
            rc = tiff_begin_chunk(r, first, r->chunk_at[0], r->chunk_bytes[0], row, err);
        if (rc != RC_OK)
            return rc;
        r->chunk_open = true;
    }
    uint32_t step = image_jpeg_rows_at_once(r->jpeg);
    const struct image_jpeg_place place = tiff_place(r, 0, 0, 0);
    enum rc rc = image_jpeg_skip_rows(r->jpeg, top, err);
    if (rc == RC_OK)
        rc = image_jpeg_rows_to(r->jpeg, &place, err);
    if (rc != RC_OK)
        return rc;
    uint32_t from = top % step, bottom = least(top - from + step, part.bottom_px);
    r->chunk_open = bottom < part.bottom_px;
    tiff_map_rows(r, from, from + bottom - top);
    *ret_band = tiff_band(r, from, bottom - top);
    return RC_OK;
}

static enum rc tiff_jpeg_reader_read(struct image_reader *reader, struct image_band *ret_band,
                                     struct err *err)
{
    struct tiff_jpeg_reader *r = reader_of(reader);
    struct image_band band;
    enum rc rc = r->streams ? tiff_read_mcu_row(r, &band, err) : tiff_read_chunk_row(r, &band, err);
    if (rc != RC_OK)
        return rc;
    r->next_y_px += band.height_px;
    *ret_band = band;
    return RC_OK;
}

static void tiff_jpeg_reader_free(struct tiff_jpeg_reader **slot)
{
    struct tiff_jpeg_reader *r = *slot;
    if (r == NULL)
        return;
    image_jpeg_free(&r->jpeg);
    free(r->chunk_at);
    free(r->chunk_bytes);
    free(r->buffer);
    free(r);
}

static void tiff_jpeg_reader_close(struct image_reader *reader)
{
    struct tiff_jpeg_reader *r = reader_of(reader);
    tiff_jpeg_reader_free(&r);
}

static const struct image_reader_ops tiff_jpeg_reader_ops = {.read = tiff_jpeg_reader_read,
                                                             .close = tiff_jpeg_reader_close};

static enum rc tiff_alloc_rows(struct tiff_jpeg_reader *r, struct err *err)
{
    /* A row of MCUs may stand out at either end of what is wanted. */
    uint32_t rows = r->streams ? MCU_ROWS : least(r->chunk.height_px, r->window.height_px) + 2 * MCU_ROWS;
    uint64_t width_px = (uint64_t)r->columns * r->chunk.width_px + OVERHANG_PX;
    r->chunk_at = calloc(r->columns, sizeof *r->chunk_at);
    r->chunk_bytes = calloc(r->columns, sizeof *r->chunk_bytes);
    if (r->chunk_at == NULL || r->chunk_bytes == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the places of %u tiles", r->columns);
    if (width_px > UINT32_MAX)
        return err_set(err, RC_TOO_LARGE, "a row of %u tiles is too wide", r->columns);
    return image_planes_alloc(&r->reader.format, (struct image_size){(uint32_t)width_px, rows},
                              r->tiff->source.limits.max_decode_bytes, &r->buffer, &r->rows, err);
}

enum rc image_tiff_jpeg_read(struct image_tiff_source *tiff, uint32_t level, uint32_t shrink_log2,
                             const struct image_region *window, struct image_reader **ret_reader,
                             struct err *err)
{
    OWN(tiff_jpeg_reader_free) struct tiff_jpeg_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    const struct image_tiff_picture *picture = &tiff->level[level];
    r->reader = (struct image_reader){.ops = &tiff_jpeg_reader_ops,
                                      .format = picture->format,
                                      .size = {window->width_px, window->height_px}};
    image_jpeg_shrunk_subsampling(shrink_log2, &r->reader.format.sub_x_log2, &r->reader.format.sub_y_log2);
    r->tiff = tiff;
    r->picture = picture;
    r->level = level;
    r->shrink_log2 = shrink_log2;
    r->window = *window;
    r->chunk = image_source_shrunk_size(picture->chunk, shrink_log2);
    r->first_column = window->x_px / r->chunk.width_px;
    r->columns = (window->x_px + window->width_px - 1) / r->chunk.width_px - r->first_column + 1;
    r->next_y_px = window->y_px;
    r->streams = r->columns == 1 && !picture->separate && r->chunk.height_px > MAX_BAND_ROWS;
    enum rc rc = image_jpeg_new(&r->jpeg, err);
    if (rc == RC_OK)
        rc = tiff_alloc_rows(r, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}
