/* Reads striped pictures row by row, so that a strip as high as the picture needs no more memory than a low
 * one. Uncompressed rows come straight from the file, only the window's columns of them; all others through
 * libtiff, which has to begin at the start of the window's first strip. */
#include "worker/image/tiff_source.h"

#include "base/own.h"
#include "worker/image/planes.h"
#include "worker/image/tiff_decoder.h"
#include "worker/image/tiff_unpack.h"

#define BAND_BYTES    (1u << 20)
#define MIN_BAND_ROWS 8u
#define MAX_BAND_ROWS 256u

struct tiff_row_reader {
    struct image_reader reader;
    const struct image_tiff_source *tiff;
    const struct image_tiff_picture *picture;
    struct image_region window;
    uint32_t next_y_px; /* of the level */
    struct image_tiff_decoder
        *decoder[IMAGE_MAX_PLANES];          /* one per plane if separate, else the first; none if plain */
    uint32_t decoder_y_px[IMAGE_MAX_PLANES]; /* the row each yields next */
    uint8_t *row;
    uint8_t *buffer;
    uint32_t band_rows;
    struct image_band band;
};

static struct tiff_row_reader *reader_of(struct image_reader *reader)
{
    return (struct tiff_row_reader *)reader;
}

static void tiff_swap16(uint8_t *data, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2) {
        uint8_t high = data[i];
        data[i] = data[i + 1];
        data[i + 1] = high;
    }
}

/* The window's part of a row that lies in the file as it is. */
static enum rc tiff_fetch_plain(struct tiff_row_reader *r, uint32_t y_px, unsigned sample, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    uint32_t strip = y_px / picture->chunk.height_px;
    uint64_t number = (uint64_t)sample * picture->chunks_down + strip, at = 0;
    enum rc rc = image_tiff_numbers(&r->tiff->file, &picture->chunk_at, number, 1, &at, err);
    if (rc != RC_OK)
        return rc;
    size_t row_bytes = image_tiff_row_bytes(picture, picture->size.width_px);
    size_t skip = image_tiff_row_bytes(picture, r->window.x_px),
           length = image_tiff_row_bytes(picture, r->window.width_px);
    uint64_t offset = (uint64_t)(y_px - strip * picture->chunk.height_px) * row_bytes + skip;
    if (at == 0 || at > r->tiff->file.file_bytes || offset + length > r->tiff->file.file_bytes - at)
        return err_set(err, RC_CORRUPT, "strip %llu of the TIFF lies beyond the end of the file",
                       (unsigned long long)number);
    rc = image_blob_read(r->tiff->file.blob, r->row, length, at + offset, err);
    const uint16_t one = 1;
    bool host_is_big = *(const uint8_t *)&one == 0;
    if (rc == RC_OK && picture->bits == 16 && r->tiff->file.big_endian != host_is_big)
        tiff_swap16(r->row, length);
    return rc;
}

/* A whole row by libtiff; those above it in its strip have to be decoded on the way. */
static enum rc tiff_fetch_decoded(struct tiff_row_reader *r, uint32_t y_px, unsigned slot, unsigned sample,
                                  struct err *err)
{
    enum rc rc = RC_OK;
    while (rc == RC_OK && r->decoder_y_px[slot] <= y_px)
        rc = image_tiff_decoder_row(r->decoder[slot], r->decoder_y_px[slot]++, sample, r->row, err);
    return rc;
}

static enum rc tiff_read_row(struct tiff_row_reader *r, uint32_t y_px, uint32_t to_row, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    unsigned planes = image_format_planes(&r->reader.format);
    for (unsigned p = 0; p < planes; p++) {
        unsigned sample = picture->separate ? picture->plane[p].sample : 0;
        enum rc rc = RC_OK;
        if (p == 0 || picture->separate)
            rc = picture->plain_rows ? tiff_fetch_plain(r, y_px, sample, err)
                                     : tiff_fetch_decoded(r, y_px, p, sample, err);
        if (rc != RC_OK)
            return rc;
        uint8_t *to = image_planes_row(&r->band, p, to_row);
        image_tiff_unpack_row(picture, p, r->row, picture->plain_rows ? 0 : r->window.x_px,
                              r->window.width_px, to);
    }
    return RC_OK;
}

static enum rc tiff_row_reader_read(struct image_reader *reader, struct image_band *ret_band, struct err *err)
{
    struct tiff_row_reader *r = reader_of(reader);
    uint32_t done = r->next_y_px - r->window.y_px, left = r->window.height_px - done;
    uint32_t rows = left < r->band_rows ? left : r->band_rows;
    for (uint32_t i = 0; i < rows; i++) {
        enum rc rc = tiff_read_row(r, r->next_y_px + i, i, err);
        if (rc != RC_OK)
            return rc;
    }
    r->band.y_px = done;
    r->band.height_px = rows;
    r->next_y_px += rows;
    *ret_band = r->band;
    return RC_OK;
}

static void tiff_row_reader_free(struct tiff_row_reader **slot)
{
    struct tiff_row_reader *r = *slot;
    if (r == NULL)
        return;
    for (unsigned i = 0; i < IMAGE_MAX_PLANES; i++)
        image_tiff_decoder_close(&r->decoder[i]);
    free(r->row);
    free(r->buffer);
    free(r);
}

static void tiff_row_reader_close(struct image_reader *reader)
{
    struct tiff_row_reader *r = reader_of(reader);
    tiff_row_reader_free(&r);
}

static const struct image_reader_ops tiff_row_reader_ops = {.read = tiff_row_reader_read,
                                                            .close = tiff_row_reader_close};

static enum rc tiff_open_decoders(struct tiff_row_reader *r, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    unsigned count = picture->separate ? image_format_planes(&r->reader.format) : 1;
    uint32_t first_y_px = r->window.y_px / picture->chunk.height_px * picture->chunk.height_px;
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < count; i++) {
        r->decoder_y_px[i] = first_y_px;
        rc = image_tiff_decoder_open(&r->tiff->file, picture, r->tiff->source.limits.max_decode_bytes,
                                     &r->decoder[i], err);
    }
    return rc;
}

static enum rc tiff_alloc_rows(struct tiff_row_reader *r, struct err *err)
{
    const struct image_tiff_picture *picture = r->picture;
    const struct image_format *format = &r->reader.format;
    size_t row_bytes = image_tiff_row_bytes(picture, picture->plain_rows ? r->window.width_px
                                                                         : picture->size.width_px);
    uint64_t pixel_row_bytes = (uint64_t)r->window.width_px * image_format_planes(format) *
                               (format->depth_bits / 8u);
    uint64_t rows = BAND_BYTES / pixel_row_bytes;
    rows = rows < MIN_BAND_ROWS ? MIN_BAND_ROWS : rows > MAX_BAND_ROWS ? MAX_BAND_ROWS : rows;
    r->band_rows = rows < r->window.height_px ? (uint32_t)rows : r->window.height_px;
    if (row_bytes == 0)
        return err_set(err, RC_TOO_LARGE, "a row of the TIFF takes more than 4 GiB");
    r->row = malloc(row_bytes);
    if (r->row == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a row of %zu bytes", row_bytes);
    return image_planes_alloc(format, (struct image_size){r->window.width_px, r->band_rows},
                              r->tiff->source.limits.max_decode_bytes, &r->buffer, &r->band, err);
}

enum rc image_tiff_rows_read(const struct image_tiff_source *tiff, uint32_t level,
                             const struct image_region *window, struct image_reader **ret_reader,
                             struct err *err)
{
    OWN(tiff_row_reader_free) struct tiff_row_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a reader");
    r->tiff = tiff;
    r->picture = &tiff->level[level];
    r->window = *window;
    r->next_y_px = window->y_px;
    r->reader = (struct image_reader){.ops = &tiff_row_reader_ops,
                                      .format = r->picture->format,
                                      .size = {window->width_px, window->height_px}};
    enum rc rc = tiff_alloc_rows(r, err);
    if (rc == RC_OK && !r->picture->plain_rows)
        rc = tiff_open_decoders(r, err);
    if (rc != RC_OK)
        return rc;
    *ret_reader = &TAKE_PTR(r)->reader;
    return RC_OK;
}
