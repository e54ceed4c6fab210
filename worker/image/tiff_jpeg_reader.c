/* Reads JPEG-compressed tiles and strips with libjpeg itself, so that chroma stays subsampled, blocks can be decoded
 * shrunk, and no tile that the window does not touch is looked at. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/image/jpeg_decode.h"
#include "worker/image/tiff_unpack.h"

#include <stdio.h>
#include <string.h>

/* A higher strip or tile column is delivered MCU row by MCU row instead of as one band. */
#define MAX_BAND_ROWS 1024u
#define MAX_MCU_ROWS  32u

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
    struct image_band band;
};

static struct tiff_jpeg_reader *reader_of(struct image_reader *reader)
{
    return (struct tiff_jpeg_reader *)reader;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void tiff_copy_row(uint8_t *to, const uint8_t *from, size_t length,
                          const struct image_tiff_plane *plane)
{
    if (!plane->mapped) {
        memcpy(to, from, length);
        return;
    }
    for (size_t i = 0; i < length; i++)
        to[i] = plane->map[from[i]];
}

/* Copies what `rows` (of the chunk) and `part` have in common into plane `p` of the band, whose first row is
 * `band_top_px` of the chunk. */
static void tiff_copy_plane(struct tiff_jpeg_reader *r, const struct image_band *rows, unsigned component,
                            unsigned p, const struct image_tiff_part *part, uint32_t band_top_px)
{
    const struct image_format *format = &r->reader.format;
    bool chroma = format->model == IMAGE_YCBCR && (p == 1 || p == 2);
    unsigned sub_x = chroma ? format->sub_x_log2 : 0, sub_y = chroma ? format->sub_y_log2 : 0;
    uint32_t top = most(rows->y_px, part->top_px),
             bottom = least(rows->y_px + rows->height_px, part->bottom_px);
    if (top >= bottom)
        return;
    uint32_t count = ((bottom - top - 1) >> sub_y) + 1;
    size_t length = ((part->right_px - part->left_px - 1) >> sub_x) + 1;
    size_t stride = r->band.stride_bytes[p];
    const uint8_t *from = rows->plane[component] +
                          (size_t)((top - rows->y_px) >> sub_y) * rows->stride_bytes[component] +
                          (part->left_px >> sub_x);
    uint8_t *to = image_planes_row(&r->band, p, 0) + (size_t)((top - band_top_px) >> sub_y) * stride +
                  (part->to_x_px >> sub_x);
    for (uint32_t y = 0; y < count; y++)
        tiff_copy_row(to + y * stride, from + y * rows->stride_bytes[component], length,
                      &r->picture->plane[p]);
}

/* Opens the stream at `at` and checks that it is the chunk it should be. */
static enum rc tiff_begin_chunk(struct tiff_jpeg_reader *r, uint64_t number, uint64_t at, uint64_t bytes,
                                uint32_t row, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    struct image_jpeg_input input = {.blob = r->tiff->file.blob, .offset = at, .length = bytes};
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

/* Decodes one chunk of one sample, or of all, into the band. */
static enum rc tiff_decode_chunk(struct tiff_jpeg_reader *r, unsigned sample,
                                 const struct image_tiff_part *part, struct err *err)
{
    unsigned planes = image_format_planes(&r->reader.format);
    struct image_band rows = {0};
    do {
        enum rc rc = image_jpeg_rows(r->jpeg, &rows, err);
        if (rc != RC_OK)
            return rc;
        for (unsigned p = 0; p < planes; p++) {
            unsigned of = r->picture->plane[p].sample;
            if (!r->picture->separate)
                tiff_copy_plane(r, &rows, of, p, part, part->top_px);
            else if (of == sample)
                tiff_copy_plane(r, &rows, 0, p, part, part->top_px);
        }
    } while (rows.y_px + rows.height_px < part->bottom_px);
    return RC_OK;
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
static enum rc tiff_read_chunk_row(struct tiff_jpeg_reader *r, struct err *err)
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
                rc = tiff_decode_chunk(r, sample, &part, err);
        }
        if (rc != RC_OK)
            return rc;
    }
    r->band.height_px = part.bottom_px - part.top_px;
    return RC_OK;
}

/* The next row of MCUs that touches the window. */
static enum rc tiff_read_mcu_row(struct tiff_jpeg_reader *r, struct err *err)
{
    uint32_t row = r->next_y_px / r->chunk.height_px;
    struct image_tiff_part part = image_tiff_part_of(&r->window, r->chunk, r->first_column, row);
    uint32_t top = r->next_y_px - row * r->chunk.height_px;
    struct image_band rows = {0};
    if (!r->chunk_open) {
        uint64_t first = 0;
        enum rc rc = tiff_find_row(r, 0, row, &first, err);
        if (rc == RC_OK)
            rc = tiff_begin_chunk(r, first, r->chunk_at[0], r->chunk_bytes[0], row, err);
        if (rc != RC_OK)
            return rc;
        r->chunk_open = true;
    }
    do {
        enum rc rc = image_jpeg_rows(r->jpeg, &rows, err);
        if (rc != RC_OK)
            return rc;
    } while (rows.y_px + rows.height_px <= top);
    unsigned planes = image_format_planes(&r->reader.format);
    for (unsigned p = 0; p < planes; p++)
        tiff_copy_plane(r, &rows, r->picture->plane[p].sample, p, &part, top);
    uint32_t bottom = least(rows.y_px + rows.height_px, part.bottom_px);
    r->chunk_open = bottom < part.bottom_px;
    r->band.height_px = bottom - top;
    return RC_OK;
}

static enum rc tiff_jpeg_reader_read(struct image_reader *reader, struct image_band *ret_band,
                                     struct err *err)
{
    struct tiff_jpeg_reader *r = reader_of(reader);
    enum rc rc = r->streams ? tiff_read_mcu_row(r, err) : tiff_read_chunk_row(r, err);
    if (rc != RC_OK)
        return rc;
    r->band.y_px = r->next_y_px - r->window.y_px;
    r->next_y_px += r->band.height_px;
    *ret_band = r->band;
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

static enum rc tiff_alloc_band(struct tiff_jpeg_reader *r, struct err *err)
{
    uint32_t rows = r->streams ? MAX_MCU_ROWS : least(r->chunk.height_px, r->window.height_px);
    r->chunk_at = calloc(r->columns, sizeof *r->chunk_at);
    r->chunk_bytes = calloc(r->columns, sizeof *r->chunk_bytes);
    if (r->chunk_at == NULL || r->chunk_bytes == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the places of %u tiles", r->columns);
    return image_planes_alloc(&r->reader.format, (struct image_size){r->window.width_px, rows},
                              r->tiff->source.limits.max_decode_bytes, &r->buffer, &r->band, err);
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
        rc = tiff_alloc_band(r, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}
