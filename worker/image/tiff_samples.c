#include "worker/image/tiff_reading.h"

#include "base/own.h"
#include "worker/image/jpeg_decode.h"
#include "worker/image/tiff_tags.h"

#include <string.h>

#define MAX_JPEG_TABLE_BYTES 65536u

static enum rc tiff_check_bits(const struct image_tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    bool packed = picture->bits == 1 || picture->bits == 2 || picture->bits == 4;
    bool good = picture->bits == 8 || (packed && picture->samples == 1 && r->colours == 1) ||
                (picture->bits == 16 && picture->photometric != PHOTOMETRIC_PALETTE &&
                 picture->photometric != PHOTOMETRIC_YCBCR);
    return good ? RC_OK
                : err_set(r->err, RC_UNSUPPORTED,
                          "TIFFs of %u samples with %u bits and photometric %u are not supported",
                          picture->samples, picture->bits, picture->photometric);
}

static enum rc tiff_check_depth(const struct image_tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    uint16_t sample_format = 1;
    enum rc rc = image_tiff_reading_per_sample(r, TAG_SAMPLE_FORMAT, 1, &sample_format);
    if (rc != RC_OK)
        return rc;
    bool lab = picture->photometric == PHOTOMETRIC_CIELAB || picture->photometric == PHOTOMETRIC_ICCLAB;
    if (sample_format != 1 && sample_format != 4 && !(lab && sample_format == 2))
        return err_set(r->err, RC_UNSUPPORTED, "TIFFs of %s samples are not supported",
                       sample_format == 2   ? "signed"
                       : sample_format == 3 ? "floating point"
                                            : "complex");
    return tiff_check_bits(r);
}

static enum rc tiff_model(struct image_tiff_reading *r)
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

/* The first extra sample that is declared to be alpha, where the model has room for it; others are
 * dropped. */
static enum rc tiff_find_alpha(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_EXTRA_SAMPLES);
    unsigned extra = picture->samples - r->colours;
    bool room = picture->photometric <= PHOTOMETRIC_RGB;
    if (field == NULL || extra == 0 || !room)
        return RC_OK;
    uint64_t meaning[IMAGE_TIFF_MAX_SAMPLES] = {0};
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

static enum rc tiff_map_palette(const struct image_tiff_reading *r)
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
static enum rc tiff_map_ycbcr(const struct image_tiff_reading *r)
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

/* What follows from the photometric interpretation alone. */
static void tiff_map_known(struct image_tiff_picture *picture, unsigned colours)
{
    bool is_palette = picture->photometric == PHOTOMETRIC_PALETTE;
    for (unsigned i = 0; i < colours && !is_palette; i++)
        picture->plane[i].sample = (uint8_t)i;
    if (picture->photometric == WHITE_IS_ZERO || picture->photometric == BLACK_IS_ZERO)
        tiff_map_gray(picture);
    else if (picture->photometric == PHOTOMETRIC_CIELAB || picture->photometric == PHOTOMETRIC_ICCLAB)
        tiff_map_lab(picture);
}

static enum rc tiff_map_samples(const struct image_tiff_reading *r)
{
    tiff_map_known(r->picture, r->colours);
    if (r->picture->photometric == PHOTOMETRIC_PALETTE)
        return tiff_map_palette(r);
    return r->picture->photometric == PHOTOMETRIC_YCBCR ? tiff_map_ycbcr(r) : RC_OK;
}
/* Of a tile of JPEG data: its tables, if it has its own, and its frame. */
#define MOST_HEAD_BYTES 16384u

/* --- chroma --------------------------------------------------------------------------------------------------- */

static enum rc tiff_read_subsampling(const struct image_tiff_reading *r)
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

/* What the header of the first tile or strip says. */
static enum rc tiff_first_frame(const struct image_tiff_file *file, const struct image_tiff_picture *picture,
                                struct image_jpeg_frame *ret_frame, struct err *err)
{
    struct image_jpeg_input input = {.blob = file->blob, .subject = "the TIFF's first tile or strip"};
    enum rc rc = image_tiff_picture_chunks(picture, file, 0, 1, &input.offset, &input.length, err);
    if (rc != RC_OK)
        return rc;
    struct image_jpeg *jpeg __attribute__((cleanup(image_jpeg_free))) = NULL;
    struct image_jpeg_frame frame = {0};
    if (picture->tiled && input.length > MOST_HEAD_BYTES)
        input.length = MOST_HEAD_BYTES;
    rc = image_jpeg_new(&jpeg, err);
    if (rc == RC_OK)
        rc = image_jpeg_begin(jpeg, &picture->jpeg_tables, &input, &frame, err);
    if (rc != RC_OK)
        return rc;
    if (frame.components != (picture->separate ? 1 : picture->samples))
        return err_set(err, RC_CORRUPT, "the TIFF has %u samples per pixel but its JPEG data has %u",
                       picture->samples, frame.components);
    bool subsampled = frame.sub_x_log2 > 0 || frame.sub_y_log2 > 0;
    if (!frame.planes || (subsampled && picture->format.model != IMAGE_YCBCR))
        return err_set(err, RC_UNSUPPORTED,
                       "the TIFF's JPEG data is subsampled in a way that is not supported");
    *ret_frame = frame;
    return RC_OK;
}

/* The tag is often missing or wrong in JPEG-compressed files, whose streams know better. */
static enum rc tiff_look_into_jpeg(const struct image_tiff_reading *r)
{
    struct image_tiff_picture *picture = r->picture;
    const struct image_tiff_field *field = image_tiff_ifd_find(r->ifd, TAG_JPEG_TABLES);
    if (field != NULL) {
        enum rc rc = image_tiff_payload(r->file, field, MAX_JPEG_TABLE_BYTES, &picture->jpeg_tables, r->err);
        if (rc != RC_OK)
            return rc;
    }
    if (picture->separate && picture->format.model == IMAGE_YCBCR) {
        uint64_t sub[2] = {2, 2};
        field = image_tiff_ifd_find(r->ifd, TAG_SUBSAMPLING);
        enum rc rc = field == NULL ? RC_OK : image_tiff_numbers(r->file, field, 0, 2, sub, r->err);
        if (rc != RC_OK)
            return rc;
        if (sub[0] != 1 || sub[1] != 1)
            return err_set(r->err, RC_UNSUPPORTED,
                           "TIFFs with subsampled chroma in separate planes are not supported");
    }
    /* Where there is no tag it says its default, 2 x 2: so do the files of libvips. */
    bool says = picture->format.model != IMAGE_YCBCR || picture->samples == 3;
    if (r->file->trusts_tags && says && picture->tiled && !picture->separate)
        return picture->format.model == IMAGE_YCBCR ? tiff_read_subsampling(r) : RC_OK;
    struct image_jpeg_frame frame = {0};
    enum rc rc = tiff_first_frame(r->file, picture, &frame, r->err);
    if (rc != RC_OK)
        return rc;
    picture->format.sub_x_log2 = frame.sub_x_log2;
    picture->format.sub_y_log2 = frame.sub_y_log2;
    return RC_OK;
}

enum rc image_tiff_samples_confirm(const struct image_tiff_file *file,
                                   const struct image_tiff_picture *picture, bool *ret_right, struct err *err)
{
    struct image_jpeg_frame frame = {0};
    enum rc rc = picture->compression == TIFF_JPEG ? tiff_first_frame(file, picture, &frame, err) : RC_OK;
    *ret_right = picture->compression != TIFF_JPEG ||
                 (rc == RC_OK && frame.sub_x_log2 == picture->format.sub_x_log2 &&
                  frame.sub_y_log2 == picture->format.sub_y_log2);
    return rc == RC_CORRUPT || rc == RC_UNSUPPORTED ? RC_OK : rc;
}

static enum rc tiff_check_chroma(const struct image_tiff_reading *r)
{
    const struct image_tiff_picture *picture = r->picture;
    unsigned x = (1u << picture->format.sub_x_log2) - 1, y = (1u << picture->format.sub_y_log2) - 1;
    bool whole = (picture->chunks_across == 1 || (picture->chunk.width_px & x) == 0) &&
                 (picture->chunks_down == 1 || (picture->chunk.height_px & y) == 0);
    if (!whole || (picture->separate && (x | y) != 0))
        return err_set(r->err, RC_UNSUPPORTED, "the TIFF's chroma does not fit its %u x %u tiles or strips",
                       picture->chunk.width_px, picture->chunk.height_px);
    return RC_OK;
}

enum rc image_tiff_samples_read_chroma(const struct image_tiff_reading *r)
{
    enum rc rc = RC_OK;
    if (r->picture->compression == TIFF_JPEG)
        rc = tiff_look_into_jpeg(r);
    else if (r->picture->photometric == PHOTOMETRIC_YCBCR)
        rc = tiff_read_subsampling(r);
    return rc == RC_OK ? tiff_check_chroma(r) : rc;
}

enum rc image_tiff_samples_read(struct image_tiff_reading *r)
{
    enum rc rc = tiff_model(r);
    if (rc == RC_OK)
        rc = tiff_check_depth(r);
    if (rc == RC_OK)
        rc = tiff_map_samples(r);
    if (rc == RC_OK)
        rc = tiff_find_alpha(r);
    return rc;
}

/* --- records -------------------------------------------------------------------------------------------------- */

static bool tiff_has_own_maps(const struct image_tiff_picture *picture)
{
    return picture->photometric == PHOTOMETRIC_PALETTE ||
           (picture->photometric == PHOTOMETRIC_YCBCR &&
            (picture->plane[0].mapped || picture->plane[1].mapped || picture->plane[2].mapped));
}

void image_tiff_samples_describe(const struct image_tiff_picture *picture, struct image_record *record)
{
    const struct image_format *format = &picture->format;
    struct bytes maps = {.data = NULL};
    unsigned mapped = 0;
    image_record_put(record, format->sub_x_log2);
    image_record_put(record, format->sub_y_log2);
    image_record_put(record, format->alpha);
    if (format->alpha != IMAGE_ALPHA_NONE)
        image_record_put(record, picture->plane[image_format_planes(format) - 1].sample);
    for (unsigned p = 0; p < 3 && tiff_has_own_maps(picture); p++)
        mapped |= (unsigned)picture->plane[p].mapped << p;
    image_record_put(record, mapped);
    for (unsigned p = 0; p < 3; p++) {
        maps.data =
            (uint8_t *)(uintptr_t)picture->plane[p].map; /* only read, until the record is done with */
        maps.length = (mapped >> p & 1) != 0 ? sizeof picture->plane[p].map : 0;
        if (maps.length > 0)
            image_record_put_part(record, &maps);
    }
}

static enum rc tiff_restore_maps(struct image_tiff_picture *picture, struct image_record_reader *reader)
{
    uint64_t mapped = image_record_get(reader, 7);
    for (unsigned p = 0; p < 3; p++) {
        OWN(bytes_done) struct bytes map = {0};
        if ((mapped >> p & 1) == 0)
            continue;
        image_record_get_part(reader, &map);
        if (map.length != sizeof picture->plane[p].map)
            return RC_CORRUPT;
        picture->plane[p].mapped = true;
        memcpy(picture->plane[p].map, map.data, map.length);
    }
    bool is_palette = picture->photometric == PHOTOMETRIC_PALETTE;
    return mapped == (is_palette ? 7 : 0) || picture->photometric == PHOTOMETRIC_YCBCR ? RC_OK : RC_CORRUPT;
}

enum rc image_tiff_samples_restore(struct image_tiff_reading *r, struct image_record_reader *reader)
{
    struct image_tiff_picture *picture = r->picture;
    enum rc rc = tiff_model(r);
    if (rc == RC_OK)
        rc = tiff_check_bits(r);
    if (rc != RC_OK)
        return rc;
    struct image_format *format = &picture->format;
    tiff_map_known(picture, r->colours);
    format->sub_x_log2 = (uint8_t)image_record_get(reader, 2);
    format->sub_y_log2 = (uint8_t)image_record_get(reader, 2);
    format->alpha = (enum image_alpha)image_record_get(reader, IMAGE_ALPHA_PREMULTIPLIED);
    bool has_alpha = format->alpha != IMAGE_ALPHA_NONE;
    unsigned alpha = has_alpha ? (unsigned)image_record_get(reader, IMAGE_TIFF_MAX_SAMPLES) : 0;
    rc = tiff_restore_maps(picture, reader);
    bool subsampled = format->sub_x_log2 > 0 || format->sub_y_log2 > 0;
    if (rc != RC_OK || (subsampled && format->model != IMAGE_YCBCR) ||
        (format->model == IMAGE_YCBCR && picture->compression != TIFF_JPEG && picture->samples != 3) ||
        (has_alpha &&
         (alpha < r->colours || alpha >= picture->samples || picture->photometric > PHOTOMETRIC_RGB)))
        return err_set(r->err, RC_CORRUPT, "the record of the TIFF contradicts itself");
    if (has_alpha)
        picture->plane[r->colours].sample = (uint8_t)alpha;
    return tiff_check_chroma(r);
}
