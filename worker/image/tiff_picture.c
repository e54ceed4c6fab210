#include "worker/image/tiff_picture.h"

#include "worker/image/source_kinds.h"
#include "worker/image/tiff_reading.h"
#include "worker/image/tiff_tags.h"

/* The first number of `tag`, `preset` without such an entry. RC_CORRUPT above `most`. */
static enum rc read_number(const struct image_tiff_reading *r, uint16_t tag, uint64_t preset, uint64_t most,
                           uint64_t *ret_number)
{
    uint64_t number = 0;
    enum rc rc = image_tiff_number(r->file, r->ifd, tag, preset, &number, r->err);
    if (rc != RC_OK)
        return rc;
    if (number > most)
        return err_set(r->err, RC_CORRUPT, "TIFF tag %u is %llu", tag, (unsigned long long)number);
    *ret_number = number;
    return RC_OK;
}

static enum rc read_number16(const struct image_tiff_reading *r, uint16_t tag, uint16_t preset,
                             uint16_t *ret_number)
{
    uint64_t number = 0;
    enum rc rc = read_number(r, tag, preset, UINT16_MAX, &number);
    if (rc == RC_OK)
        *ret_number = (uint16_t)number;
    return rc;
}

/* A number that every sample has one of: all must be the same. */
enum rc image_tiff_reading_per_sample(const struct image_tiff_reading *r, uint16_t tag, uint16_t preset,
                                      uint16_t *ret_number)
{
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, tag);
    uint64_t number[IMAGE_TIFF_MAX_SAMPLES] = {preset};
    uint32_t count = field == NULL                        ? 0
                     : field->count < r->picture->samples ? (uint32_t)field->count
                                                          : r->picture->samples;
    if (count > 0) {
        enum rc rc = image_tiff_numbers(r->file, field, 0, count, number, r->err);
        if (rc != RC_OK)
            return rc;
    }
    for (uint32_t i = 1; i < count; i++)
        if (number[i] != number[0])
            return err_set(r->err, RC_UNSUPPORTED, "the samples of the TIFF differ in TIFF tag %u", tag);
    if (number[0] > UINT16_MAX)
        return err_set(r->err, RC_CORRUPT, "TIFF tag %u is %llu", tag, (unsigned long long)number[0]);
    *ret_number = (uint16_t)number[0];
    return RC_OK;
}

/* --- shape ---------------------------------------------------------------------------------------------------- */

static enum rc tiff_read_size(const struct image_tiff_reading *r)
{
    uint64_t width = 0, height = 0;
    enum rc rc = read_number(r, TAG_WIDTH, 0, UINT32_MAX, &width);
    if (rc == RC_OK)
        rc = read_number(r, TAG_LENGTH, 0, UINT32_MAX, &height);
    r->picture->size = (struct image_size){(uint32_t)width, (uint32_t)height};
    return rc;
}

static enum rc tiff_read_chunk_size(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    picture->tiled = image_tiff_ifd_find(r->ifd, TAG_TILE_WIDTH) != NULL;
    uint64_t width = picture->size.width_px, height = 0;
    enum rc rc = RC_OK;
    if (picture->tiled)
        rc = read_number(r, TAG_TILE_WIDTH, 0, INT32_MAX, &width);
    if (rc == RC_OK)
        rc = picture->tiled ? read_number(r, TAG_TILE_LENGTH, 0, INT32_MAX, &height)
                            : read_number(r, TAG_ROWS_PER_STRIP, UINT32_MAX, UINT64_MAX, &height);
    if (rc != RC_OK)
        return rc;
    if (!picture->tiled && height > picture->size.height_px)
        height = picture->size.height_px;
    picture->chunk = (struct image_size){(uint32_t)width, (uint32_t)height};
    return image_tiff_reading_count_chunks(r);
}

enum rc image_tiff_reading_count_chunks(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    if (picture->chunk.width_px == 0 || picture->chunk.height_px == 0)
        return err_set(r->err, RC_CORRUPT, "the TIFF has tiles or strips of %u x %u pixels",
                       picture->chunk.width_px, picture->chunk.height_px);
    picture->chunks_across = (picture->size.width_px - 1) / picture->chunk.width_px + 1;
    picture->chunks_down = (picture->size.height_px - 1) / picture->chunk.height_px + 1;
    return RC_OK;
}

static enum rc tiff_find_chunks(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *at = image_tiff_ifd_find(r->ifd, picture->tiled ? TAG_TILE_OFFSETS
                                                                                   : TAG_STRIP_OFFSETS);
    const struct image_tiff_field *bytes = image_tiff_ifd_find(r->ifd, picture->tiled ? TAG_TILE_BYTES
                                                                                      : TAG_STRIP_BYTES);
    /* Some writers used the strip tags for tiles. */
    if (at == NULL && picture->tiled) {
        at = image_tiff_ifd_find(r->ifd, TAG_STRIP_OFFSETS);
        bytes = image_tiff_ifd_find(r->ifd, TAG_STRIP_BYTES);
    }
    uint64_t needed = (uint64_t)picture->chunks_across * picture->chunks_down;
    uint64_t each = picture->separate ? picture->samples : 1;
    if (at == NULL || at->count / each < needed || (bytes != NULL && bytes->count / each < needed))
        return err_set(r->err, RC_CORRUPT, "the TIFF lists too few of its %llu tiles or strips",
                       (unsigned long long)(needed * each));
    picture->chunk_at = *at;
    picture->chunk_bytes = bytes != NULL ? *bytes : (struct image_tiff_field){.tag = TAG_STRIP_BYTES};
    return RC_OK;
}

static const char *tiff_compression_name(uint16_t compression)
{
    switch (compression) {
    case TIFF_OLD_JPEG:
        return "old-style JPEG";
    case 34712:
    case 33003:
    case 33005:
        return "JPEG 2000";
    case 34661:
        return "JBIG";
    case 34887:
        return "LERC";
    case 34925:
        return "LZMA";
    case 50002:
        return "JPEG XL";
    default:
        return NULL;
    }
}

enum rc image_tiff_reading_check_compression(const struct image_tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    const char *name = tiff_compression_name(picture->compression);
    bool bilevel = picture->bits == 1 && picture->samples == 1;
    switch (picture->compression) {
    case TIFF_NONE:
    case TIFF_LZW:
    case TIFF_DEFLATE:
    case TIFF_OLD_DEFLATE:
    case TIFF_PACKBITS:
    case TIFF_ZSTD:
        return RC_OK;
    case TIFF_CCITT_RLE:
    case TIFF_CCITT_RLEW:
    case TIFF_CCITT_G3:
    case TIFF_CCITT_G4:
        return bilevel ? RC_OK
                       : err_set(r->err, RC_CORRUPT, "the TIFF has CCITT compression but is not bilevel");
    case TIFF_JPEG:
    case TIFF_WEBP:
        return picture->bits == 8
                   ? RC_OK
                   : err_set(r->err, RC_UNSUPPORTED,
                             "JPEG or WebP compressed TIFFs of %u bits are not supported", picture->bits);
    default:
        if (name != NULL)
            return err_set(r->err, RC_UNSUPPORTED, "TIFFs with %s compression are not supported", name);
        return err_set(r->err, RC_UNSUPPORTED, "TIFFs with compression %u are not supported",
                       picture->compression);
    }
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

static enum rc tiff_read_basics(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    uint16_t planar = 1, guess = 0;
    enum rc rc = read_number16(r, TAG_SAMPLES, 1, &picture->samples);
    if (rc == RC_OK && (picture->samples == 0 || picture->samples > IMAGE_TIFF_MAX_SAMPLES))
        rc = err_set(r->err, RC_UNSUPPORTED, "TIFFs of %u samples per pixel are not supported",
                     picture->samples);
    if (rc == RC_OK)
        rc = image_tiff_reading_per_sample(r, TAG_BITS, 1, &picture->bits);
    if (rc == RC_OK)
        rc = read_number16(r, TAG_COMPRESSION, TIFF_NONE, &picture->compression);
    if (rc != RC_OK)
        return rc;
    /* Fax files often leave the photometric interpretation out. */
    bool fax = picture->compression == TIFF_CCITT_RLE || picture->compression == TIFF_CCITT_G3 ||
               picture->compression == TIFF_CCITT_G4;
    guess = picture->samples >= 3 ? PHOTOMETRIC_RGB : fax ? WHITE_IS_ZERO : BLACK_IS_ZERO;
    rc = read_number16(r, TAG_PHOTOMETRIC, guess, &picture->photometric);
    if (rc == RC_OK)
        rc = read_number16(r, TAG_PLANAR, 1, &planar);
    picture->separate = planar == 2 && picture->samples > 1;
    return rc;
}

static enum rc tiff_check_inks_and_order(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    uint16_t inks = 1, fill_order = 1;
    enum rc rc = read_number16(r, TAG_INK_SET, 1, &inks);
    if (rc == RC_OK)
        rc = read_number16(r, TAG_FILL_ORDER, 1, &fill_order);
    if (rc != RC_OK)
        return rc;
    if (picture->photometric == PHOTOMETRIC_CMYK && inks != 1)
        return err_set(r->err, RC_UNSUPPORTED, "TIFFs with inks other than CMYK are not supported");
    picture->plain_rows = picture->compression == TIFF_NONE && !picture->tiled && picture->bits >= 8 &&
                          fill_order == 1 && picture->format.sub_x_log2 == 0 &&
                          picture->format.sub_y_log2 == 0;
    return RC_OK;
}

/* What a reader has to hold at the very least: a tile, or a row. */
enum rc image_tiff_reading_check_memory(const struct image_tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    uint64_t rows = picture->tiled || picture->compression == TIFF_JPEG ? picture->chunk.height_px : 1;
    uint64_t row_bytes = ((uint64_t)picture->chunk.width_px * picture->samples * picture->bits + 7) / 8;
    if (row_bytes > r->limits->max_decode_bytes / rows && picture->compression != TIFF_JPEG)
        return err_set(r->err, RC_TOO_LARGE, "the TIFF's tiles or rows take more than %llu bytes of memory",
                       (unsigned long long)r->limits->max_decode_bytes);
    return RC_OK;
}

enum rc image_tiff_picture_init(struct image_tiff_picture *picture, const struct image_tiff_file *file,
                                const struct image_tiff_ifd *ifd, const struct image_source_limits *limits,
                                struct err *err)
{
    struct image_tiff_reading r = {
        .file = file, .ifd = ifd, .limits = limits, .picture = picture, .err = err};
    *picture = (struct image_tiff_picture){.ifd_at = ifd->at};
    enum rc rc = tiff_read_size(&r);
    if (rc == RC_OK)
        rc = image_source_check_size(limits, picture->size, err);
    if (rc == RC_OK)
        rc = tiff_read_basics(&r);
    if (rc == RC_OK)
        rc = image_tiff_reading_check_compression(&r);
    if (rc == RC_OK)
        rc = image_tiff_samples_read(&r);
    if (rc == RC_OK)
        rc = tiff_read_chunk_size(&r);
    if (rc == RC_OK)
        rc = tiff_find_chunks(&r);
    if (rc == RC_OK)
        rc = image_tiff_reading_check_memory(&r);
    if (rc == RC_OK)
        rc = image_tiff_samples_read_chroma(&r);
    if (rc == RC_OK)
        rc = tiff_check_inks_and_order(&r);
    if (rc != RC_OK)
        image_tiff_picture_done(picture);
    return rc;
}

void image_tiff_picture_done(struct image_tiff_picture *picture)
{
    bytes_done(&picture->jpeg_tables);
}

bool image_tiff_picture_alike(const struct image_tiff_picture *one, const struct image_tiff_picture *other)
{
    const struct image_format *a = &one->format, *b = &other->format;
    return one->photometric == other->photometric &&
           (one->compression == TIFF_JPEG) == (other->compression == TIFF_JPEG) && a->model == b->model &&
           a->alpha == b->alpha && a->depth_bits == b->depth_bits && a->sub_x_log2 == b->sub_x_log2 &&
           a->sub_y_log2 == b->sub_y_log2;
}

enum rc image_tiff_picture_chunks(const struct image_tiff_picture *picture,
                                  const struct image_tiff_file *file, uint64_t first, uint32_t count,
                                  uint64_t *ret_at, uint64_t *ret_bytes, struct err *err)
{
    if (picture->chunk_bytes.count == 0)
        return err_set(err, RC_CORRUPT, "the TIFF does not say how long its tiles or strips are");
    enum rc rc = image_tiff_numbers(file, &picture->chunk_at, first, count, ret_at, err);
    if (rc == RC_OK)
        rc = image_tiff_numbers(file, &picture->chunk_bytes, first, count, ret_bytes, err);
    for (uint32_t i = 0; rc == RC_OK && i < count; i++) {
        const char *what = picture->tiled ? "tile" : "strip";
        if (ret_bytes[i] == 0 || ret_at[i] == 0)
            rc = err_set(err, RC_CORRUPT, "%s %llu of the TIFF is empty", what,
                         (unsigned long long)(first + i));
        else if (ret_at[i] > file->file_bytes || ret_bytes[i] > file->file_bytes - ret_at[i])
            rc = err_set(err, RC_CORRUPT, "%s %llu of the TIFF lies beyond the end of the file", what,
                         (unsigned long long)(first + i));
    }
    return rc;
}
