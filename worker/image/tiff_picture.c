#include "worker/image/tiff_picture.h"

#include "base/own.h"
#include "worker/image/jpeg_decode.h"
#include "worker/image/source_kinds.h"

#include <stdio.h>
#include <string.h>

enum {
    TAG_WIDTH = 256,
    TAG_LENGTH = 257,
    TAG_BITS = 258,
    TAG_COMPRESSION = 259,
    TAG_PHOTOMETRIC = 262,
    TAG_FILL_ORDER = 266,
    TAG_STRIP_OFFSETS = 273,
    TAG_SAMPLES = 277,
    TAG_ROWS_PER_STRIP = 278,
    TAG_STRIP_BYTES = 279,
    TAG_PLANAR = 284,
    TAG_COLOUR_MAP = 320,
    TAG_TILE_WIDTH = 322,
    TAG_TILE_LENGTH = 323,
    TAG_TILE_OFFSETS = 324,
    TAG_TILE_BYTES = 325,
    TAG_INK_SET = 332,
    TAG_EXTRA_SAMPLES = 338,
    TAG_SAMPLE_FORMAT = 339,
    TAG_JPEG_TABLES = 347,
    TAG_SUBSAMPLING = 530,
    TAG_REFERENCE_BLACK_WHITE = 532,
};

enum {
    WHITE_IS_ZERO = 0,
    BLACK_IS_ZERO = 1,
    PHOTOMETRIC_RGB = 2,
    PHOTOMETRIC_PALETTE = 3,
    PHOTOMETRIC_MASK = 4,
    PHOTOMETRIC_CMYK = 5,
    PHOTOMETRIC_YCBCR = 6,
    PHOTOMETRIC_CIELAB = 8,
    PHOTOMETRIC_ICCLAB = 9,
};

#define MAX_SAMPLES          64u
#define MAX_JPEG_TABLE_BYTES 65536u
#define MAX_CHUNKS_LOOKED_AT 64u

/* A directory being understood. */
struct tiff_reading {
    const struct image_tiff_file *file;
    const struct image_tiff_ifd *ifd;
    const struct image_source_limits *limits;
    struct image_tiff_picture *picture;
    struct err *err;
    unsigned colours; /* samples that `photometric` needs */
};

static enum rc tiff_number(const struct tiff_reading *r, uint16_t tag, uint64_t preset, uint64_t most,
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

static enum rc tiff_number16(const struct tiff_reading *r, uint16_t tag, uint16_t preset,
                             uint16_t *ret_number)
{
    uint64_t number = 0;
    enum rc rc = tiff_number(r, tag, preset, UINT16_MAX, &number);
    if (rc == RC_OK)
        *ret_number = (uint16_t)number;
    return rc;
}

/* A number that every sample has one of: all must be the same. */
static enum rc tiff_number_per_sample(const struct tiff_reading *r, uint16_t tag, uint16_t preset,
                                      uint16_t *ret_number)
{
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, tag);
    uint64_t number[MAX_SAMPLES] = {preset};
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

static enum rc tiff_read_size(const struct tiff_reading *r)
{
    uint64_t width = 0, height = 0;
    enum rc rc = tiff_number(r, TAG_WIDTH, 0, UINT32_MAX, &width);
    if (rc == RC_OK)
        rc = tiff_number(r, TAG_LENGTH, 0, UINT32_MAX, &height);
    r->picture->size = (struct image_size){(uint32_t)width, (uint32_t)height};
    return rc;
}

static enum rc tiff_read_chunk_size(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    picture->tiled = image_tiff_ifd_find(r->ifd, TAG_TILE_WIDTH) != NULL;
    uint64_t width = picture->size.width_px, height = 0;
    enum rc rc = RC_OK;
    if (picture->tiled)
        rc = tiff_number(r, TAG_TILE_WIDTH, 0, INT32_MAX, &width);
    if (rc == RC_OK)
        rc = picture->tiled ? tiff_number(r, TAG_TILE_LENGTH, 0, INT32_MAX, &height)
                            : tiff_number(r, TAG_ROWS_PER_STRIP, UINT32_MAX, UINT64_MAX, &height);
    if (rc != RC_OK)
        return rc;
    if (width == 0 || height == 0)
        return err_set(r->err, RC_CORRUPT, "the TIFF has tiles or strips of %llu x %llu pixels",
                       (unsigned long long)width, (unsigned long long)height);
    if (!picture->tiled && height > picture->size.height_px)
        height = picture->size.height_px;
    picture->chunk = (struct image_size){(uint32_t)width, (uint32_t)height};
    picture->chunks_across = (picture->size.width_px - 1) / picture->chunk.width_px + 1;
    picture->chunks_down = (picture->size.height_px - 1) / picture->chunk.height_px + 1;
    return RC_OK;
}

static enum rc tiff_find_chunks(const struct tiff_reading *r)
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

/* --- meaning of the samples ----------------------------------------------------------------------------------- */

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

static enum rc tiff_check_compression(const struct tiff_reading *r)
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

static enum rc tiff_check_depth(const struct tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    uint16_t sample_format = 1;
    enum rc rc = tiff_number_per_sample(r, TAG_SAMPLE_FORMAT, 1, &sample_format);
    if (rc != RC_OK)
        return rc;
    bool lab = picture->photometric == PHOTOMETRIC_CIELAB || picture->photometric == PHOTOMETRIC_ICCLAB;
    if (sample_format != 1 && sample_format != 4 && !(lab && sample_format == 2))
        return err_set(r->err, RC_UNSUPPORTED, "TIFFs of %s samples are not supported",
                       sample_format == 2   ? "signed"
                       : sample_format == 3 ? "floating point"
                                            : "complex");
    bool packed = picture->bits == 1 || picture->bits == 2 || picture->bits == 4;
    bool good = picture->bits == 8 || (packed && picture->samples == 1 && r->colours == 1) ||
                (picture->bits == 16 && picture->photometric != PHOTOMETRIC_PALETTE &&
                 picture->photometric != PHOTOMETRIC_YCBCR);
    return good ? RC_OK
                : err_set(r->err, RC_UNSUPPORTED,
                          "TIFFs of %u samples with %u bits and photometric %u are not supported",
                          picture->samples, picture->bits, picture->photometric);
}

static enum rc tiff_model(struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    switch (picture->photometric) {
    case WHITE_IS_ZERO:
    case BLACK_IS_ZERO:
        picture->format.model = IMAGE_GRAY;
        r->colours = 1;
        break;
    case PHOTOMETRIC_RGB:
        picture->format.model = IMAGE_RGB;
        r->colours = 3;
        break;
    case PHOTOMETRIC_PALETTE:
        picture->format.model = IMAGE_RGB;
        r->colours = 1;
        break;
    case PHOTOMETRIC_CMYK:
        picture->format.model = IMAGE_CMYK;
        r->colours = 4;
        break;
    case PHOTOMETRIC_YCBCR:
        picture->format.model = IMAGE_YCBCR;
        r->colours = 3;
        break;
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
        picture->format.model = IMAGE_LAB;
        r->colours = 3;
        break;
    default:
        return err_set(r->err, RC_UNSUPPORTED, "TIFFs with photometric interpretation %u are not supported",
                       picture->photometric);
    }
    if (picture->samples < r->colours)
        return err_set(r->err, RC_CORRUPT, "the TIFF has %u samples per pixel where %u are needed",
                       picture->samples, r->colours);
    picture->format.depth_bits = picture->bits == 16 ? 16 : 8;
    return RC_OK;
}

/* The first extra sample that is declared to be alpha, where the model has room for it; others are dropped. */
static enum rc tiff_find_alpha(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_EXTRA_SAMPLES);
    unsigned extra = picture->samples - r->colours;
    bool room = picture->photometric <= PHOTOMETRIC_RGB;
    if (field == NULL || extra == 0 || !room)
        return RC_OK;
    uint64_t meaning[MAX_SAMPLES] = {0};
    uint32_t count = field->count < extra ? (uint32_t)field->count : extra;
    enum rc rc = image_tiff_numbers(r->file, field, 0, count, meaning, r->err);
    if (rc != RC_OK)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        if (meaning[i] != 1 && meaning[i] != 2)
            continue;
        picture->format.alpha = meaning[i] == 1 ? IMAGE_ALPHA_PREMULTIPLIED : IMAGE_ALPHA_STRAIGHT;
        picture->plane[r->colours].sample = (uint8_t)(r->colours + i);
        break;
    }
    return RC_OK;
}

static enum rc tiff_map_palette(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_COLOUR_MAP);
    uint32_t entries = 1u << picture->bits;
    uint64_t value[3 * 256] = {0};
    if (field == NULL)
        return err_set(r->err, RC_CORRUPT, "the TIFF has palette colours but no palette");
    enum rc rc = image_tiff_numbers(r->file, field, 0, 3 * entries, value, r->err);
    if (rc != RC_OK)
        return rc;
    /* TIFF 6.0 wants 16 bits; old writers put 8 into them, which shows when no value is larger. */
    uint64_t most = 0;
    for (uint32_t i = 0; i < 3 * entries; i++)
        most = value[i] > most ? value[i] : most;
    for (unsigned p = 0; p < 3; p++) {
        picture->plane[p].sample = 0;
        picture->plane[p].mapped = true;
        for (uint32_t i = 0; i < entries; i++)
            picture->plane[p].map[i] = (uint8_t)(most < 256 ? value[p * entries + i]
                                                            : value[p * entries + i] >> 8);
    }
    return RC_OK;
}

static void tiff_map_gray(struct image_tiff_picture *picture)
{
    struct image_tiff_plane *plane = &picture->plane[0];
    bool invert = picture->photometric == WHITE_IS_ZERO;
    plane->flip = invert ? 0xffff : 0;
    plane->mapped = picture->bits < 8 || (picture->bits == 8 && invert);
    unsigned most = (1u << (picture->bits < 8 ? picture->bits : 8)) - 1;
    for (unsigned i = 0; i <= most; i++)
        plane->map[i] = (uint8_t)((invert ? most - i : i) * 255 / most);
}

/* CIELab has a and b as signed numbers, ICCLab offset by half; their 16-bit L differ as well. */
static void tiff_map_lab(struct image_tiff_picture *picture)
{
    bool is_signed = picture->photometric == PHOTOMETRIC_CIELAB;
    picture->plane[0].is_icc_lightness = !is_signed && picture->bits == 16;
    for (unsigned p = 1; p < 3 && is_signed; p++) {
        picture->plane[p].flip = 0x8000;
        picture->plane[p].mapped = picture->bits == 8;
        for (unsigned i = 0; i < 256; i++)
            picture->plane[p].map[i] = (uint8_t)(i ^ 0x80);
    }
}

/* Uncompressed YCbCr may say which codes are black, white and no colour; ours is always full range. */
static enum rc tiff_map_ycbcr(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_REFERENCE_BLACK_WHITE);
    if (field == NULL || field->type != TIFF_TYPE_RATIONAL || field->count != 6 ||
        picture->compression == TIFF_JPEG)
        return RC_OK;
    OWN(bytes_done) struct bytes raw = {0};
    enum rc rc = image_tiff_payload(r->file, field, 48, &raw, r->err);
    if (rc != RC_OK)
        return rc;
    double value[6];
    for (unsigned i = 0; i < 6; i++) {
        uint32_t over = image_tiff_get32(r->file, raw.data + i * 8),
                 under = image_tiff_get32(r->file, raw.data + i * 8 + 4);
        value[i] = under == 0 ? 0 : (double)over / under;
    }
    for (unsigned p = 0; p < 3; p++) {
        double black = value[2 * p], span = value[2 * p + 1] - black;
        double top = p == 0 ? 255 : 127, start = p == 0 ? 0 : 128;
        if (span < 1)
            return err_set(r->err, RC_CORRUPT, "the TIFF's reference black and white are the same");
        picture->plane[p].mapped = black != start || span != top;
        for (unsigned i = 0; i < 256; i++) {
            double v = start + ((double)i - black) * top / span;
            picture->plane[p].map[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
        }
    }
    return RC_OK;
}

static enum rc tiff_map_samples(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    for (unsigned i = 0; i < r->colours; i++)
        picture->plane[i].sample = (uint8_t)i;
    switch (picture->photometric) {
    case WHITE_IS_ZERO:
    case BLACK_IS_ZERO:
        tiff_map_gray(picture);
        return RC_OK;
    case PHOTOMETRIC_PALETTE:
        return tiff_map_palette(r);
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
        tiff_map_lab(picture);
        return RC_OK;
    case PHOTOMETRIC_YCBCR:
        return tiff_map_ycbcr(r);
    default:
        return RC_OK;
    }
}

/* --- chroma --------------------------------------------------------------------------------------------------- */

/* The tag is often missing or wrong in JPEG-compressed files, whose streams know better. */
static enum rc tiff_look_into_jpeg(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_JPEG_TABLES);
    if (field != NULL) {
        enum rc rc = image_tiff_payload(r->file, field, MAX_JPEG_TABLE_BYTES, &picture->jpeg_tables, r->err);
        if (rc != RC_OK)
            return rc;
    }
    struct image_jpeg_input input = {.fd = r->file->fd, .subject = "the TIFF's first tile or strip"};
    enum rc rc = image_tiff_picture_chunks(picture, r->file, 0, 1, &input.offset, &input.length, r->err);
    if (rc != RC_OK)
        return rc;
    struct image_jpeg *jpeg __attribute__((cleanup(image_jpeg_free))) = NULL;
    struct image_jpeg_frame frame = {0};
    rc = image_jpeg_new(&jpeg, r->err);
    if (rc == RC_OK)
        rc = image_jpeg_begin(jpeg, &picture->jpeg_tables, &input, &frame, r->err);
    if (rc != RC_OK)
        return rc;
    if (frame.components != (picture->separate ? 1 : picture->samples))
        return err_set(r->err, RC_CORRUPT, "the TIFF has %u samples per pixel but its JPEG data has %u",
                       picture->samples, frame.components);
    bool subsampled = frame.sub_x_log2 > 0 || frame.sub_y_log2 > 0;
    if (!frame.planes || (subsampled && picture->format.model != IMAGE_YCBCR))
        return err_set(r->err, RC_UNSUPPORTED,
                       "the TIFF's JPEG data is subsampled in a way that is not supported");
    picture->format.sub_x_log2 = frame.sub_x_log2;
    picture->format.sub_y_log2 = frame.sub_y_log2;
    return RC_OK;
}

static enum rc tiff_read_subsampling(const struct tiff_reading *r)
{
    static const uint8_t log2_of[] = {[1] = 0, [2] = 1, [4] = 2};
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_SUBSAMPLING);
    uint64_t value[2] = {2, 2};
    if (field != NULL) {
        enum rc rc = image_tiff_numbers(r->file, field, 0, 2, value, r->err);
        if (rc != RC_OK)
            return rc;
    }
    for (unsigned i = 0; i < 2; i++)
        if (value[i] != 1 && value[i] != 2 && value[i] != 4)
            return err_set(r->err, RC_UNSUPPORTED, "the TIFF's chroma is subsampled by %llu",
                           (unsigned long long)value[i]);
    picture->format.sub_x_log2 = log2_of[value[0]];
    picture->format.sub_y_log2 = log2_of[value[1]];
    if (picture->samples != 3)
        return err_set(r->err, RC_UNSUPPORTED,
                       "uncompressed YCbCr TIFFs with extra samples are not supported");
    return RC_OK;
}

static enum rc tiff_check_chroma(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    enum rc rc = RC_OK;
    if (picture->compression == TIFF_JPEG)
        rc = tiff_look_into_jpeg(r);
    else if (picture->photometric == PHOTOMETRIC_YCBCR)
        rc = tiff_read_subsampling(r);
    if (rc != RC_OK)
        return rc;
    unsigned x = (1u << picture->format.sub_x_log2) - 1, y = (1u << picture->format.sub_y_log2) - 1;
    bool whole = (picture->chunks_across == 1 || (picture->chunk.width_px & x) == 0) &&
                 (picture->chunks_down == 1 || (picture->chunk.height_px & y) == 0);
    if (!whole || (picture->separate && (x | y) != 0))
        return err_set(r->err, RC_UNSUPPORTED, "the TIFF's chroma does not fit its %u x %u tiles or strips",
                       picture->chunk.width_px, picture->chunk.height_px);
    return RC_OK;
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

static enum rc tiff_read_basics(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    uint16_t planar = 1, guess = 0;
    enum rc rc = tiff_number16(r, TAG_SAMPLES, 1, &picture->samples);
    if (rc == RC_OK && (picture->samples == 0 || picture->samples > MAX_SAMPLES))
        rc = err_set(r->err, RC_UNSUPPORTED, "TIFFs of %u samples per pixel are not supported",
                     picture->samples);
    if (rc == RC_OK)
        rc = tiff_number_per_sample(r, TAG_BITS, 1, &picture->bits);
    if (rc == RC_OK)
        rc = tiff_number16(r, TAG_COMPRESSION, TIFF_NONE, &picture->compression);
    if (rc != RC_OK)
        return rc;
    /* Fax files often leave the photometric interpretation out. */
    bool fax = picture->compression == TIFF_CCITT_RLE || picture->compression == TIFF_CCITT_G3 ||
               picture->compression == TIFF_CCITT_G4;
    guess = picture->samples >= 3 ? PHOTOMETRIC_RGB : fax ? WHITE_IS_ZERO : BLACK_IS_ZERO;
    rc = tiff_number16(r, TAG_PHOTOMETRIC, guess, &picture->photometric);
    if (rc == RC_OK)
        rc = tiff_number16(r, TAG_PLANAR, 1, &planar);
    picture->separate = planar == 2 && picture->samples > 1;
    return rc;
}

static enum rc tiff_check_inks_and_order(const struct tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    uint16_t inks = 1, fill_order = 1;
    enum rc rc = tiff_number16(r, TAG_INK_SET, 1, &inks);
    if (rc == RC_OK)
        rc = tiff_number16(r, TAG_FILL_ORDER, 1, &fill_order);
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
static enum rc tiff_check_memory(const struct tiff_reading *r)
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
    struct tiff_reading r = {.file = file, .ifd = ifd, .limits = limits, .picture = picture, .err = err};
    *picture = (struct image_tiff_picture){.ifd_at = ifd->at};
    enum rc rc = tiff_read_size(&r);
    if (rc == RC_OK)
        rc = image_source_check_size(limits, picture->size, err);
    if (rc == RC_OK)
        rc = tiff_read_basics(&r);
    if (rc == RC_OK)
        rc = tiff_check_compression(&r);
    if (rc == RC_OK)
        rc = tiff_model(&r);
    if (rc == RC_OK)
        rc = tiff_check_depth(&r);
    if (rc == RC_OK)
        rc = tiff_read_chunk_size(&r);
    if (rc == RC_OK)
        rc = tiff_find_chunks(&r);
    if (rc == RC_OK)
        rc = tiff_check_memory(&r);
    if (rc == RC_OK)
        rc = tiff_map_samples(&r);
    if (rc == RC_OK)
        rc = tiff_find_alpha(&r);
    if (rc == RC_OK)
        rc = tiff_check_chroma(&r);
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
