#include "worker/ingest/tiff_file.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/tiff_picture.h"
#include "worker/image/tiff_tags.h"
#include "worker/ingest/tiff_directory.h"

#include <string.h>

#define CLASSIC_MAX_BYTES ((uint64_t)1 << 31) /* beyond, some readers take offsets for negative */

enum { /* tags and values that only a writer needs */
       TAG_PREDICTOR = 317,
       TAG_YCBCR_COEFFICIENTS = 529,
       TAG_YCBCR_POSITIONING = 531,
       POSITION_CENTRED = 1,
       DIFFERENCES = 2,
       REDUCED = 1,
       INK_CMYK = 1,
       TIFF_LITTLE_ENDIAN = 0x4949,
       TAG_TRANSFER_FUNCTION = 301,
       TAG_PHOTOSHOP = 34377,
       TAG_GDAL_METADATA = 42112,
};

/* ---- what a level's directory says ---- */

static uint16_t compression_tag(enum image_tile_coding coding)
{
    static const uint16_t tag[] = {[IMAGE_TILE_JPEG] = TIFF_JPEG,
                                   [IMAGE_TILE_WEBP] = TIFF_WEBP,
                                   [IMAGE_TILE_ZSTD] = TIFF_ZSTD,
                                   [IMAGE_TILE_DEFLATE] = TIFF_DEFLATE,
                                   [IMAGE_TILE_LZW] = TIFF_LZW};
    return tag[coding];
}

static uint16_t photometric_tag(enum image_model model)
{
    static const uint16_t tag[] = {[IMAGE_GRAY] = BLACK_IS_ZERO,
                                   [IMAGE_RGB] = PHOTOMETRIC_RGB,
                                   [IMAGE_YCBCR] = PHOTOMETRIC_YCBCR,
                                   [IMAGE_CMYK] = PHOTOMETRIC_CMYK,
                                   [IMAGE_LAB] = PHOTOMETRIC_CIELAB};
    return tag[model];
}

static void add_chroma(struct ingest_tiff_directory *d, const struct image_format *format)
{
    static const uint32_t full_range[] = {0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1};
    const uint32_t sub[] = {1u << format->sub_x_log2, 1u << format->sub_y_log2};

    ingest_tiff_add_numbers(d, TAG_SUBSAMPLING, TIFF_TYPE_SHORT, 2, sub);
    ingest_tiff_add_short(d, TAG_YCBCR_POSITIONING, POSITION_CENTRED);
    uint8_t *to = ingest_tiff_add(d, TAG_REFERENCE_BLACK_WHITE, TIFF_TYPE_RATIONAL, 6, sizeof full_range);
    for (unsigned i = 0; to != NULL && i < 12; i++)
        ingest_tiff_put(to + i * 4, 4, full_range[i]);
}

static void add_structure(struct ingest_tiff_directory *d, const struct ingest_tiff_file *file,
                          uint32_t level, const struct bytes *jpeg_tables)
{
    const struct image_format *format = &file->tiles.format;
    const struct image_size *size = &file->levels->size[level];
    uint32_t samples = image_format_planes(format), bits[IMAGE_MAX_PLANES];

    for (uint32_t i = 0; i < samples; i++)
        bits[i] = format->depth_bits;
    ingest_tiff_add_long(d, TAG_NEW_SUBFILE_TYPE, level == 0 ? 0 : REDUCED);
    ingest_tiff_add_long(d, TAG_WIDTH, size->width_px);
    ingest_tiff_add_long(d, TAG_LENGTH, size->height_px);
    ingest_tiff_add_numbers(d, TAG_BITS, TIFF_TYPE_SHORT, samples, bits);
    ingest_tiff_add_short(d, TAG_COMPRESSION, compression_tag(file->tiles.coding));
    ingest_tiff_add_short(d, TAG_PHOTOMETRIC, photometric_tag(format->model));
    ingest_tiff_add_short(d, TAG_ORIENTATION, 1);
    ingest_tiff_add_short(d, TAG_SAMPLES, samples);
    ingest_tiff_add_short(d, TAG_PLANAR, 1);
    if (file->tiles.coding >= IMAGE_TILE_ZSTD)
        ingest_tiff_add_short(d, TAG_PREDICTOR, DIFFERENCES);
    ingest_tiff_add_long(d, TAG_TILE_WIDTH, file->tiles.tile_px);
    ingest_tiff_add_long(d, TAG_TILE_LENGTH, file->tiles.tile_px);
    if (format->alpha != IMAGE_ALPHA_NONE)
        ingest_tiff_add_short(d, TAG_EXTRA_SAMPLES, format->alpha == IMAGE_ALPHA_PREMULTIPLIED ? 1 : 2);
    if (format->model == IMAGE_CMYK)
        ingest_tiff_add_short(d, TAG_INK_SET, INK_CMYK);
    if (format->model == IMAGE_YCBCR)
        add_chroma(d, format);
    ingest_tiff_add_bytes(d, TAG_JPEG_TABLES, TIFF_TYPE_UNDEFINED, jpeg_tables->data, jpeg_tables->length);
}

static uint64_t level_tiles(const struct ingest_tiff_file *file, uint32_t level)
{
    const struct image_size *size = &file->levels->size[level];
    return (uint64_t)ingest_levels_tiles(size->width_px, file->tiles.tile_px) *
           ingest_levels_tiles(size->height_px, file->tiles.tile_px);
}

static void add_tiles(struct ingest_tiff_directory *d, const struct ingest_tiff_file *file, uint32_t level,
                      uint64_t at)
{
    uint64_t count = level_tiles(file, level);
    unsigned wide = d->big ? 8 : 4;
    uint8_t *to = ingest_tiff_add(d, TAG_TILE_OFFSETS, d->big ? TIFF_TYPE_LONG8 : TIFF_TYPE_LONG, count,
                                  (size_t)count * wide);

    for (uint64_t i = 0; to != NULL && i < count; i++) {
        ingest_tiff_put(to + i * wide, wide, at);
        at += file->tile_bytes[level][i];
    }
    to = ingest_tiff_add(d, TAG_TILE_BYTES, TIFF_TYPE_LONG, count, (size_t)count * 4);
    for (uint64_t i = 0; to != NULL && i < count; i++)
        ingest_tiff_put(to + i * 4, 4, file->tile_bytes[level][i]);
}

/* ---- metadata ---- */

/* Fields of EXIF's first directory that speak of how the master was stored, or that TIFF has a place of its
 * own for. */
static bool is_structure(uint16_t tag)
{
    if (tag >= TAG_NEW_SUBFILE_TYPE && tag <= TAG_PHOTOMETRIC)
        return true;
    if (tag >= TAG_COLOUR_MAP && tag <= TAG_INK_SET + 3)
        return true;
    if (tag >= 512 && tag <= 521) /* JPEG in TIFF 6.0's own way, and EXIF's thumbnails */
        return true;
    switch (tag) {
    case TAG_FILL_ORDER:
    case TAG_STRIP_OFFSETS:
    case TAG_ORIENTATION:
    case TAG_SAMPLES:
    case TAG_ROWS_PER_STRIP:
    case TAG_STRIP_BYTES:
    case TAG_PLANAR:
    case TAG_TRANSFER_FUNCTION:
    case TAG_PREDICTOR:
    case TAG_EXTRA_SAMPLES:
    case TAG_SAMPLE_FORMAT:
    case TAG_JPEG_TABLES:
    case TAG_YCBCR_COEFFICIENTS:
    case TAG_SUBSAMPLING:
    case TAG_YCBCR_POSITIONING:
    case TAG_REFERENCE_BLACK_WHITE:
    case TAG_XMP:
    case TAG_IPTC:
    case TAG_ICC:
    case TAG_PHOTOSHOP:
    case TAG_GDAL_METADATA:
        return true;
    default:
        return false;
    }
}

static enum rc add_field(void *context, const struct image_exif_field *field, struct err *err)
{
    struct ingest_tiff_directory *d = context;
    (void)err;
    uint8_t *to = ingest_tiff_add(d, field->tag, field->type, field->count, field->length);
    if (to != NULL)
        memcpy(to, field->values, field->length);
    return d->rc;
}

static enum rc add_description(void *context, const struct image_exif_field *field, struct err *err)
{
    return is_structure(field->tag) ? RC_OK : add_field(context, field, err);
}

/* Appends one of EXIF's directories to `out`, which lies at `at` of the file. *ret_at 0: there is none. */
static enum rc write_exif_part(const struct ingest_tiff_file *file, enum image_exif_part part, bool big,
                               uint64_t at, uint64_t interoperability_at, struct bytes *out, uint64_t *ret_at,
                               struct err *err)
{
    OWN(ingest_tiff_directory_done) struct ingest_tiff_directory d = {.big = big, .err = err};
    enum rc rc = image_exif_visit(&file->metadata->exif, part, add_field, &d, err);
    if (interoperability_at != 0)
        ingest_tiff_add_link(&d, TAG_INTEROPERABILITY_IFD, interoperability_at);
    *ret_at = 0;
    if (rc != RC_OK || d.count == 0)
        return rc;
    *ret_at = at + out->length;
    return ingest_tiff_directory_write(&d, *ret_at, 0, out, err);
}

/* EXIF's own directories go to `out`, behind the main one; links to them and all else into the main one. */
static enum rc add_metadata(struct ingest_tiff_directory *d, const struct ingest_tiff_file *file, uint64_t at,
                            struct bytes *out, struct err *err)
{
    const struct image_metadata *m = file->metadata;
    uint64_t interoperability, camera, gps;
    enum rc rc = write_exif_part(file, IMAGE_EXIF_INTEROPERABILITY, d->big, at, 0, out, &interoperability,
                                 err);
    if (rc == RC_OK)
        rc = write_exif_part(file, IMAGE_EXIF_CAMERA, d->big, at, interoperability, out, &camera, err);
    if (rc == RC_OK)
        rc = write_exif_part(file, IMAGE_EXIF_GPS, d->big, at, 0, out, &gps, err);
    if (rc == RC_OK)
        rc = image_exif_visit(&m->exif, IMAGE_EXIF_MAIN, add_description, d, err);
    if (rc != RC_OK)
        return rc;
    if (camera != 0)
        ingest_tiff_add_link(d, TAG_EXIF_IFD, camera);
    if (gps != 0)
        ingest_tiff_add_link(d, TAG_GPS_IFD, gps);
    ingest_tiff_add_bytes(d, TAG_XMP, TIFF_TYPE_BYTE, m->xmp.data, m->xmp.length);
    ingest_tiff_add_bytes(d, TAG_IPTC, TIFF_TYPE_UNDEFINED, m->iptc.data, m->iptc.length);
    ingest_tiff_add_bytes(d, TAG_ICC, TIFF_TYPE_UNDEFINED, m->icc.data, m->icc.length);
    return d->rc;
}

/* ---- the head ---- */

static uint64_t level_bytes(const struct ingest_tiff_file *file, uint32_t level)
{
    uint64_t bytes = 0, count = level_tiles(file, level);

    for (uint64_t i = 0; i < count; i++)
        bytes += file->tile_bytes[level][i];
    return bytes;
}

static enum rc write_header(bool big, const char *record, struct bytes *out, struct err *err)
{
    static const uint8_t zeros[8];
    uint8_t header[16];
    size_t length = big ? 16 : 8, record_bytes = record != NULL ? strlen(record) + 1 : 0;
    size_t first = (length + record_bytes + 7) / 8 * 8;

    ingest_tiff_put(header, 2, TIFF_LITTLE_ENDIAN);
    ingest_tiff_put(header + 2, 2, big ? 43 : 42);
    ingest_tiff_put(
        header + 4, 4,
        big ? 8 : first); /* BigTIFF: the width of its offsets; classic: where the first directory is */
    ingest_tiff_put(header + 8, 8, first);
    enum rc rc = bytes_append(out, header, length, err);
    if (rc == RC_OK)
        rc = bytes_append(out, record, record_bytes, err);
    return rc == RC_OK ? bytes_append(out, zeros, first - length - record_bytes, err) : rc;
}

/* Fills in a level's directory; what it links to goes to `linked`, which will lie at `linked_at`. */
static enum rc fill_level(const struct ingest_tiff_file *file, uint32_t level,
                          const struct bytes *jpeg_tables, uint64_t tiles_at, uint64_t linked_at,
                          struct ingest_tiff_directory *d, struct bytes *linked, struct err *err)
{
    linked->length = 0;
    add_structure(d, file, level, jpeg_tables);
    add_tiles(d, file, level, tiles_at);
    return level == 0 ? add_metadata(d, file, linked_at, linked, err) : d->rc;
}

/* Writes the level's directory and what that links to. The size of it all does not depend on `tiles_at`. */
static enum rc write_level(const struct ingest_tiff_file *file, uint32_t level,
                           const struct bytes *jpeg_tables, bool big, uint64_t tiles_at, struct bytes *out,
                           struct err *err)
{
    OWN(ingest_tiff_directory_done)
    struct ingest_tiff_directory trial = {.big = big, .err = err}, d = {.big = big, .err = err};
    OWN(bytes_done) struct bytes linked = {0};
    uint64_t at = out->length;

    /* Where the linked directories go is known only once the main one is filled in: first as if they went
     * here. */
    enum rc rc = fill_level(file, level, jpeg_tables, tiles_at, at, &trial, &linked, err);
    uint64_t linked_at = at + ingest_tiff_directory_bytes(&trial);
    if (rc == RC_OK)
        rc = fill_level(file, level, jpeg_tables, tiles_at, linked_at, &d, &linked, err);
    if (rc == RC_OK)
        rc = ingest_tiff_directory_write(
            &d, at, level + 1 < file->levels->count ? linked_at + linked.length : 0, out, err);
    return rc == RC_OK ? bytes_append(out, linked.data, linked.length, err) : rc;
}

/* Everything, with the tiles where `layout` says. */
static enum rc write_head(const struct ingest_tiff_file *file, const struct bytes *jpeg_tables,
                          const struct ingest_tiff_layout *layout, struct bytes *out, struct err *err)
{
    enum rc rc = write_header(layout->big, file->record, out, err);

    for (uint32_t level = 0; rc == RC_OK && level < file->levels->count; level++)
        rc = write_level(file, level, jpeg_tables, layout->big, layout->level_at[level], out, err);
    return rc;
}

enum rc ingest_tiff_file_head(const struct ingest_tiff_file *file, struct bytes *out,
                              struct ingest_tiff_layout *ret_layout, struct err *err)
{
    OWN(bytes_done) struct bytes jpeg_tables = {0};
    struct ingest_tiff_layout layout = {.big = file->always_big};
    enum rc rc = file->tiles.coding == IMAGE_TILE_JPEG
                     ? image_tile_jpeg_tables(&file->tiles, &jpeg_tables, err)
                     : RC_OK;

    for (unsigned attempt = 0; rc == RC_OK && attempt < 3; attempt++) {
        out->length = 0;
        rc = write_head(file, &jpeg_tables, &layout, out, err);
        if (layout.length_bytes > 0 && rc == RC_OK)
            break;
        uint64_t at = out->length;
        for (uint32_t level = file->levels->count; level-- > 0; at += level_bytes(file, level))
            layout.level_at[level] = at;
        if (at > CLASSIC_MAX_BYTES && !layout.big)
            layout.big = true; /* once more: offsets become longer */
        else
            layout.length_bytes = at;
    }
    if (rc == RC_OK)
        *ret_layout = layout;
    return rc;
}
