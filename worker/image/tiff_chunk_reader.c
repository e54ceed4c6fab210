/* Reads pictures whose tiles (or, for subsampled YCbCr, strips) libtiff decodes as a whole: one row of them
 * within the window is one band. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/image/tiff_decoder.h"
#include "worker/image/tiff_unpack.h"

struct tiff_chunk_reader {
    struct image_reader reader;
    const struct image_tiff_source *tiff;
    const struct image_tiff_picture *picture;
    struct image_region window;
    uint32_t next_y_px; /* of the level */
    struct image_tiff_decoder *decoder;
    uint8_t *chunk; /* one, decoded */
    uint8_t *buffer;
    struct image_band band;
};

static struct tiff_chunk_reader *reader_of(struct image_reader *reader)
{
    return (struct tiff_chunk_reader *)reader;
}

static bool tiff_in_units(const struct image_tiff_picture *picture)
{
    return picture->format.sub_x_log2 > 0 || picture->format.sub_y_log2 > 0;
}

/* The last strip is lower than the others; tiles are all the same. */
static size_t tiff_chunk_bytes(const struct image_tiff_picture *picture, uint32_t row)
{
    uint32_t rows = picture->chunk.height_px, left = picture->size.height_px - row * picture->chunk.height_px;
    if (!picture->tiled && left < rows)
        rows = left;
    return tiff_in_units(picture) ? image_tiff_unit_chunk_bytes(picture, rows)
                                  : image_tiff_row_bytes(picture, picture->chunk.width_px) * rows;
}

static void tiff_unpack_chunk(struct tiff_chunk_reader *r, unsigned sample,
                              const struct image_tiff_part *part)
{
    const struct image_tiff_picture *picture = r->picture;
    unsigned planes = image_format_planes(&r->reader.format);
    size_t row_bytes = image_tiff_row_bytes(picture, picture->chunk.width_px),
           depth_bytes = r->reader.format.depth_bits / 8u;
    uint8_t *plane[IMAGE_MAX_PLANES] = {0};
    for (unsigned p = 0; p < planes; p++)
        plane[p] = image_planes_row(&r->band, p, 0);
    if (tiff_in_units(picture)) {
        image_tiff_unpack_units(picture, r->chunk, part, plane, r->band.stride_bytes);
        return;
    }
    for (unsigned p = 0; p < planes; p++) {
        if (picture->separate && picture->plane[p].sample != sample)
            continue;
        for (uint32_t y = part->top_px; y < part->bottom_px; y++)
            image_tiff_unpack_row(
                picture, p, r->chunk + y * row_bytes, part->left_px, part->right_px - part->left_px,
                plane[p] + (y - part->top_px) * r->band.stride_bytes[p] + part->to_x_px * depth_bytes);
    }
}

static bool tiff_needs_sample(const struct tiff_chunk_reader *r, unsigned sample)
{
    unsigned planes = image_format_planes(&r->reader.format);
    for (unsigned p = 0; p < planes; p++)
        if (r->picture->plane[p].sample == sample)
            return true;
    return false;
}

static enum rc tiff_chunk_reader_read(struct image_reader *reader, struct image_band *ret_band,
                                      struct err *err)
{
    struct tiff_chunk_reader *r = reader_of(reader);
    const struct image_tiff_picture *picture = r->picture;
    uint32_t row = r->next_y_px / picture->chunk.height_px;
    uint32_t first = r->window.x_px / picture->chunk.width_px;
    uint32_t last = (r->window.x_px + r->window.width_px - 1) / picture->chunk.width_px;
    struct image_tiff_part part = {0};
    for (unsigned sample = 0; sample < (picture->separate ? picture->samples : 1u); sample++) {
        if (picture->separate && !tiff_needs_sample(r, sample))
            continue;
        for (uint32_t column = first; column <= last; column++) {
            uint64_t number = ((uint64_t)sample * picture->chunks_down + row) * picture->chunks_across +
                              column;
            enum rc rc = image_tiff_decoder_chunk(r->decoder, number, r->chunk,
                                                  tiff_chunk_bytes(picture, row), err);
            if (rc != RC_OK)
                return rc;
            part = image_tiff_part_of(&r->window, picture->chunk, column, row);
            tiff_unpack_chunk(r, sample, &part);
        }
    }
    r->band.y_px = r->next_y_px - r->window.y_px;
    r->band.height_px = part.bottom_px - part.top_px;
    r->next_y_px += r->band.height_px;
    *ret_band = r->band;
    return RC_OK;
}

static void tiff_chunk_reader_free(struct tiff_chunk_reader **slot)
{
    struct tiff_chunk_reader *r = *slot;
    if (r == NULL)
        return;
    image_tiff_decoder_close(&r->decoder);
    free(r->chunk);
    free(r->buffer);
    free(r);
}

static void tiff_chunk_reader_close(struct image_reader *reader)
{
    struct tiff_chunk_reader *r = reader_of(reader);
    tiff_chunk_reader_free(&r);
}

static const struct image_reader_ops tiff_chunk_reader_ops = {.read = tiff_chunk_reader_read,
                                                              .close = tiff_chunk_reader_close};

enum rc image_tiff_chunks_read(const struct image_tiff_source *tiff, uint32_t level,
                               const struct image_region *window, struct image_reader **ret_reader,
                               struct err *err)
{
    OWN(tiff_chunk_reader_free) struct tiff_chunk_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    const struct image_tiff_picture *picture = &tiff->level[level];
    r->tiff = tiff;
    r->picture = picture;
    r->window = *window;
    r->next_y_px = window->y_px;
    r->reader = (struct image_reader){.ops = &tiff_chunk_reader_ops,
                                      .format = picture->format,
                                      .size = {window->width_px, window->height_px}};
    uint64_t most = tiff->source.limits.max_decode_bytes, chunk_bytes = tiff_chunk_bytes(picture, 0);
    if (chunk_bytes == 0 || chunk_bytes > most)
        return err_set(err, RC_TOO_LARGE, "a tile or strip of the TIFF takes more than %llu bytes of memory",
                       (unsigned long long)most);
    uint32_t rows = picture->chunk.height_px < window->height_px ? picture->chunk.height_px
                                                                 : window->height_px;
    enum rc rc = image_planes_alloc(&r->reader.format, (struct image_size){window->width_px, rows}, most,
                                    &r->buffer, &r->band, err);
    if (rc != RC_OK)
        return rc;
    r->chunk = malloc((size_t)chunk_bytes);
    if (r->chunk == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a tile of %llu bytes",
                       (unsigned long long)chunk_bytes);
    rc = image_tiff_decoder_open(&tiff->file, picture, most, &r->decoder, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}
