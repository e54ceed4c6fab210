#include "worker/image/tiff_metadata.h"

#include "base/own.h"
#include "worker/image/tiff_tags.h"

#include <string.h>

#define MAX_EXIF_BYTES (1u << 20)
#define MAX_DEPTH      3

/* Tags of the page's own directory that speak of the picture and not of the file. */
static bool tiff_describes_picture(uint16_t tag)
{
    switch (tag) {
    case 269:   /* DocumentName */
    case 270:   /* ImageDescription */
    case 271:   /* Make */
    case 272:   /* Model */
    case 282:   /* XResolution */
    case 283:   /* YResolution */
    case 285:   /* PageName */
    case 296:   /* ResolutionUnit */
    case 305:   /* Software */
    case 306:   /* DateTime */
    case 315:   /* Artist */
    case 316:   /* HostComputer */
    case 18246: /* Rating */
    case 18249: /* RatingPercent */
    case 33432: /* Copyright */
    case 40091: /* XPTitle … XPSubject */
    case 40092:
    case 40093:
    case 40094:
    case 40095:
        return true;
    default:
        return false;
    }
}

static bool tiff_is_link(uint16_t tag)
{
    return tag == TAG_EXIF_IFD || tag == TAG_GPS_IFD || tag == TAG_INTEROPERABILITY_IFD;
}

/* Whether the entry goes into the EXIF stream's directory number `depth` (0: the page's own). */
static bool tiff_is_exif(const struct image_tiff_field *field, unsigned depth)
{
    if (field->type > TIFF_TYPE_DOUBLE && !tiff_is_link(field->tag))
        return false; /* types that EXIF does not know */
    if (depth == 0)
        return tiff_describes_picture(field->tag) || field->tag == TAG_EXIF_IFD || field->tag == TAG_GPS_IFD;
    return field->tag != TAG_MAKER_NOTE && field->tag != TAG_EXIF_IFD && field->tag != TAG_GPS_IFD;
}

static void exif_put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void exif_put32(uint8_t *p, uint32_t value)
{
    exif_put16(p, value);
    exif_put16(p + 2, value >> 16);
}

/* The unit in which values of this type change byte order. */
static unsigned exif_swap_unit(unsigned type)
{
    return type == TIFF_TYPE_RATIONAL || type == TIFF_TYPE_SRATIONAL ? 4 : image_tiff_type_bytes(type);
}

static void exif_to_little_endian(uint8_t *data, size_t length, unsigned unit)
{
    for (size_t at = 0; at + unit <= length; at += unit)
        for (unsigned i = 0; i < unit / 2; i++) {
            uint8_t byte = data[at + i];
            data[at + i] = data[at + unit - 1 - i];
            data[at + unit - 1 - i] = byte;
        }
}

/* Writes the values of `field` to the end of the stream, or into the entry at `entry` when they fit. */
static enum rc exif_add_values(const struct image_tiff_file *file, const struct image_tiff_field *field,
                               struct bytes *exif, size_t entry, struct err *err)
{
    size_t start = exif->length;
    enum rc rc = image_tiff_payload(file, field, MAX_EXIF_BYTES, exif, err);
    if (rc != RC_OK)
        return rc;
    size_t length = exif->length - start;
    if (file->big_endian)
        exif_to_little_endian(exif->data + start, length, exif_swap_unit(field->type));
    uint8_t *p = exif->data + entry;
    exif_put16(p, field->tag);
    exif_put16(p + 2, field->type);
    exif_put32(p + 4, (uint32_t)field->count);
    if (length <= 4) {
        memcpy(p + 8, exif->data + start, length);
        exif->length = start;
        return RC_OK;
    }
    exif_put32(p + 8, (uint32_t)start);
    return length % 2 == 0 ? RC_OK : bytes_append(exif, "", 1, err);
}

static enum rc exif_add_ifd(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                            unsigned depth, struct bytes *exif, struct err *err);

/* Adds the directory that `field` links to. *ret_added: there was one. */
static enum rc exif_add_link(const struct image_tiff_file *file, const struct image_tiff_field *field,
                             unsigned depth, struct bytes *exif, size_t entry, bool *ret_added,
                             struct err *err)
{
    OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
    uint64_t at = 0;
    enum rc rc = depth == MAX_DEPTH ? RC_CORRUPT : image_tiff_numbers(file, field, 0, 1, &at, err);
    if (rc == RC_OK)
        rc = image_tiff_ifd_read(file, at, &ifd, err);
    *ret_added = false;
    if (rc == RC_CORRUPT)
        return RC_OK;
    size_t start = exif->length;
    if (rc == RC_OK)
        rc = exif_add_ifd(file, &ifd, depth + 1, exif, err);
    if (rc != RC_OK || exif->length == start)
        return rc;
    uint8_t *p = exif->data + entry;
    exif_put16(p, field->tag);
    exif_put16(p + 2, TIFF_TYPE_LONG);
    exif_put32(p + 4, 1);
    exif_put32(p + 8, (uint32_t)start);
    *ret_added = true;
    return RC_OK;
}

/* Appends a directory and everything it leads to. Entries keep their order, so ascending tags stay ascending.
 * Appends nothing when no entry is worth it. */
static enum rc exif_add_ifd(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                            unsigned depth, struct bytes *exif, struct err *err)
{
    size_t start = exif->length;
    uint32_t wanted = 0, entries = 0;
    for (uint32_t i = 0; i < ifd->field_count; i++)
        wanted += tiff_is_exif(&ifd->field[i], depth);
    size_t room = 2 + (size_t)wanted * 12 + 4;
    enum rc rc = bytes_reserve(exif, room, err);
    if (rc != RC_OK)
        return rc;
    memset(exif->data + start, 0, room);
    exif->length += room;

    for (uint32_t i = 0; i < ifd->field_count; i++) {
        const struct image_tiff_field *field = &ifd->field[i];
        size_t entry = start + 2 + (size_t)entries * 12;
        uint64_t length = field->count * image_tiff_type_bytes(field->type);
        bool added = false;
        bool again = image_tiff_ifd_find(ifd, field->tag) != field; /* or links could multiply without end */
        if (again || !tiff_is_exif(field, depth) || length > MAX_EXIF_BYTES || exif->length > MAX_EXIF_BYTES)
            continue;
        if (tiff_is_link(field->tag)) {
            rc = exif_add_link(file, field, depth, exif, entry, &added, err);
        } else {
            rc = exif_add_values(file, field, exif, entry, err);
            added = true;
        }
        if (rc != RC_OK)
            return rc;
        entries += added;
    }
    /* Unused room between the entries and the values does no harm; the link to a next directory stays 0. */
    exif_put16(exif->data + start, entries);
    if (entries == 0)
        exif->length = start;
    return RC_OK;
}

static enum rc tiff_build_exif(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                               struct bytes *exif, struct err *err)
{
    enum rc rc = bytes_append(exif, "II*\0\10\0\0\0", 8, err);
    if (rc == RC_OK)
        rc = exif_add_ifd(file, ifd, 0, exif, err);
    if (rc == RC_OK && exif->length == 8)
        exif->length = 0;
    return rc;
}

/* IPTC records are bytes, but are often said to be LONGs; libtiff then swaps them for a file of the other
 * byte order, other writers do not. The first byte of a record tells. */
static void tiff_repair_iptc(const struct image_tiff_field *field, struct bytes *iptc)
{
    if (field->type == TIFF_TYPE_LONG && iptc->length >= 4 && iptc->data[0] != 0x1c && iptc->data[3] == 0x1c)
        exif_to_little_endian(iptc->data, iptc->length, 4);
}

enum rc image_tiff_metadata_read(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                                 struct image_metadata *metadata, struct err *err)
{
    const struct image_tiff_field *icc = image_tiff_ifd_find(ifd, TAG_ICC);
    const struct image_tiff_field *xmp = image_tiff_ifd_find(ifd, TAG_XMP);
    const struct image_tiff_field *iptc = image_tiff_ifd_find(ifd, TAG_IPTC);
    enum rc rc = RC_OK;
    if (icc != NULL)
        rc = image_tiff_payload(file, icc, IMAGE_METADATA_MAX_BYTES, &metadata->icc, err);
    if (rc == RC_OK && xmp != NULL)
        rc = image_tiff_payload(file, xmp, IMAGE_METADATA_MAX_BYTES, &metadata->xmp, err);
    if (rc == RC_OK && iptc != NULL) {
        rc = image_tiff_payload(file, iptc, IMAGE_METADATA_MAX_BYTES, &metadata->iptc, err);
        tiff_repair_iptc(iptc, &metadata->iptc);
    }
    if (rc == RC_OK)
        rc = tiff_build_exif(file, ifd, &metadata->exif, err);
    return rc;
}
