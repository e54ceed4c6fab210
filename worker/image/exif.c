#include "worker/image/exif.h"

#include <assert.h>
#include <string.h>

enum {
    TAG_IMAGE_WIDTH = 0x0100,
    TAG_IMAGE_LENGTH = 0x0101,
    TAG_ORIENTATION = 0x0112,
    TAG_EXIF_IFD = 0x8769,
    TAG_GPS_IFD = 0x8825,
    TAG_PIXEL_X_DIMENSION = 0xa002,
    TAG_PIXEL_Y_DIMENSION = 0xa003,
    TAG_INTEROPERABILITY_IFD = 0xa005,
    TYPE_ASCII = 2,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    ENTRY_BYTES = 12,
};

/* A view of the stream; `data` is only written to by the functions that say so. */
struct exif_view {
    uint8_t *data;
    size_t length;
    bool big_endian;
};

static uint16_t exif_get16(const struct exif_view *view, size_t at)
{
    return view->big_endian ? bytes_be16(view->data + at) : bytes_le16(view->data + at);
}

static uint32_t exif_get32(const struct exif_view *view, size_t at)
{
    return view->big_endian ? bytes_be32(view->data + at) : bytes_le32(view->data + at);
}

static void exif_put(const struct exif_view *view, size_t at, unsigned width_bytes, uint32_t value)
{
    for (unsigned i = 0; i < width_bytes; i++) {
        unsigned place = view->big_endian ? width_bytes - 1 - i : i;
        view->data[at + place] = (uint8_t)(value >> (8 * i));
    }
}

static bool exif_view_init(struct exif_view *view, uint8_t *data, size_t length)
{
    if (length < 8)
        return false;
    *view = (struct exif_view){.data = data, .length = length, .big_endian = data[0] == 'M'};
    return data[0] == data[1] && (data[0] == 'I' || data[0] == 'M') && exif_get16(view, 2) == 42;
}

/* Whether a whole directory, its link included, lies at `at`. */
static bool exif_has_ifd(const struct exif_view *view, size_t at, unsigned *ret_entries)
{
    if (at < 8 || at > view->length - 2)
        return false;
    unsigned entries = exif_get16(view, at);
    if (view->length - at - 2 < (size_t)entries * ENTRY_BYTES + 4)
        return false;
    *ret_entries = entries;
    return true;
}

/* Where the entry with `tag` and one number lies, 0 when there is none. */
static size_t exif_find(const struct exif_view *view, size_t ifd, unsigned tag)
{
    unsigned entries;
    if (!exif_has_ifd(view, ifd, &entries))
        return 0;
    for (unsigned i = 0; i < entries; i++) {
        size_t at = ifd + 2 + (size_t)i * ENTRY_BYTES;
        if (exif_get16(view, at) != tag)
            continue;
        unsigned type = exif_get16(view, at + 2);
        return (type == TYPE_SHORT || type == TYPE_LONG) && exif_get32(view, at + 4) == 1 ? at : 0;
    }
    return 0;
}

static uint32_t exif_value(const struct exif_view *view, size_t entry)
{
    return exif_get16(view, entry + 2) == TYPE_SHORT ? exif_get16(view, entry + 8)
                                                     : exif_get32(view, entry + 8);
}

/* Sets the entry's one number, where the entry exists; a SHORT that is too small for it becomes a LONG. */
static void exif_set(const struct exif_view *view, size_t ifd, unsigned tag, uint32_t value)
{
    size_t entry = exif_find(view, ifd, tag);
    if (entry == 0)
        return;
    bool wide = exif_get16(view, entry + 2) == TYPE_LONG || value > UINT16_MAX;
    exif_put(view, entry + 2, 2, wide ? TYPE_LONG : TYPE_SHORT);
    exif_put(view, entry + 8, 4, 0);
    exif_put(view, entry + 8, wide ? 4 : 2, value);
}

uint8_t image_exif_orientation(const struct bytes *exif)
{
    struct exif_view view;
    if (!exif_view_init(&view, exif->data, exif->length))
        return 1;
    size_t entry = exif_find(&view, exif_get32(&view, 4), TAG_ORIENTATION);
    uint32_t value = entry == 0 ? 1 : exif_value(&view, entry);
    return value >= 1 && value <= 8 ? (uint8_t)value : 1;
}

enum rc image_exif_copy(const struct bytes *exif, struct image_size size, struct bytes *out, struct err *err)
{
    struct exif_view view;
    unsigned entries;
    if (!exif_view_init(&view, exif->data, exif->length) ||
        !exif_has_ifd(&view, exif_get32(&view, 4), &entries))
        return RC_OK;
    size_t start = out->length;
    enum rc rc = bytes_append(out, exif->data, exif->length, err);
    if (rc != RC_OK)
        return rc;
    view.data = out->data + start;

    size_t main = exif_get32(&view, 4);
    exif_set(&view, main, TAG_ORIENTATION, 1);
    exif_set(&view, main, TAG_IMAGE_WIDTH, size.width_px);
    exif_set(&view, main, TAG_IMAGE_LENGTH, size.height_px);
    exif_put(&view, main + 2 + (size_t)entries * ENTRY_BYTES, 4, 0);

    size_t link = exif_find(&view, main, TAG_EXIF_IFD);
    if (link != 0) {
        exif_set(&view, exif_value(&view, link), TAG_PIXEL_X_DIMENSION, size.width_px);
        exif_set(&view, exif_value(&view, link), TAG_PIXEL_Y_DIMENSION, size.height_px);
    }
    return RC_OK;
}

/* ---- as directories of a TIFF ---- */

/* The size of one value, and of the numbers that byte order reverses (a RATIONAL is two of 4). 0: unknown. */
static unsigned exif_type_bytes(unsigned type, unsigned *ret_number_bytes)
{
    static const uint8_t value[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    static const uint8_t number[] = {0, 1, 1, 2, 4, 4, 1, 1, 2, 4, 4, 4, 8};
    *ret_number_bytes = type < sizeof number ? number[type] : 0;
    return type < sizeof value ? value[type] : 0;
}

/* Where an entry's values lie; false when they do not lie inside, or nobody knows what they are. */
static bool exif_values(const struct exif_view *view, size_t entry, size_t *ret_at, size_t *ret_bytes,
                        unsigned *ret_number_bytes)
{
    uint64_t bytes = (uint64_t)exif_get32(view, entry + 4) *
                     exif_type_bytes(exif_get16(view, entry + 2), ret_number_bytes);
    size_t at = bytes <= 4 ? entry + 8 : exif_get32(view, entry + 8);
    if (bytes == 0 || bytes > view->length || at > view->length - bytes)
        return false;
    assert(*ret_number_bytes > 0);
    *ret_at = at;
    *ret_bytes = (size_t)bytes;
    return true;
}

bool image_exif_text(const struct bytes *exif, unsigned tag, const char **ret_text, size_t *ret_length)
{
    struct exif_view view;
    unsigned entries, number_bytes;
    if (!exif_view_init(&view, exif->data, exif->length))
        return false;
    size_t main = exif_get32(&view, 4), at;
    if (!exif_has_ifd(&view, main, &entries))
        return false;
    for (unsigned i = 0; i < entries; i++) {
        size_t entry = main + 2 + (size_t)i * ENTRY_BYTES;
        if (exif_get16(&view, entry) != tag || exif_get16(&view, entry + 2) != TYPE_ASCII ||
            !exif_values(&view, entry, &at, ret_length, &number_bytes))
            continue;
        *ret_text = (const char *)view.data + at;
        *ret_length = strnlen(*ret_text, *ret_length);
        return true;
    }
    return false;
}

/* Writes the entry at `from` as the one at `to`, its values behind everything written so far if they do not
 * fit in it. */
static enum rc exif_write_entry(const struct exif_view *view, size_t from, struct bytes *out, size_t to,
                                size_t start, uint32_t offset, struct err *err)
{
    size_t at, bytes;
    unsigned number_bytes;
    if (!exif_values(view, from, &at, &bytes, &number_bytes))
        return RC_OK;
    size_t values = to + 8;
    if (bytes > 4) {
        values = out->length;
        enum rc rc = bytes_reserve(out, bytes + 1, err);
        if (rc != RC_OK)
            return rc;
        out->data[out->length + bytes] = 0;
        out->length += bytes + (bytes & 1);
    }
    const struct exif_view written = {.data = out->data, .length = out->length};
    exif_put(&written, to, 2, exif_get16(view, from));
    exif_put(&written, to + 2, 2, exif_get16(view, from + 2));
    exif_put(&written, to + 4, 4, exif_get32(view, from + 4));
    if (bytes > 4)
        exif_put(&written, to + 8, 4, (uint32_t)(values - start) + offset);
    for (size_t i = 0; i < bytes; i++) {
        size_t place = view->big_endian ? i - i % number_bytes + (number_bytes - 1 - i % number_bytes) : i;
        out->data[values + i] = view->data[at + place];
    }
    return RC_OK;
}

/* The bytes of an entry's values if it is copied (a known type, inside the payload, no link), else 0. */
static size_t exif_copied_bytes(const struct exif_view *view, size_t entry)
{
    size_t at, bytes;
    unsigned number_bytes;
    if (exif_get16(view, entry) == TAG_INTEROPERABILITY_IFD ||
        !exif_values(view, entry, &at, &bytes, &number_bytes))
        return 0;
    return bytes;
}

static enum rc exif_write_directory(const struct exif_view *view, size_t ifd, uint32_t offset,
                                    struct bytes *out, struct err *err)
{
    unsigned entries, copied = 0;
    if (!exif_has_ifd(view, ifd, &entries))
        return RC_OK;
    uint64_t all_bytes = 0;
    for (unsigned i = 0; i < entries; i++) {
        size_t bytes = exif_copied_bytes(view, ifd + 2 + (size_t)i * ENTRY_BYTES);
        copied += bytes > 0;
        all_bytes += bytes;
    }
    if (all_bytes > view->length) /* many entries that share their values: small to send, huge to copy */
        return RC_OK;
    size_t start = out->length, head_bytes = 2 + (size_t)copied * ENTRY_BYTES + 4;
    enum rc rc = copied == 0 ? RC_OK : bytes_reserve(out, head_bytes, err);
    if (rc != RC_OK || copied == 0)
        return rc;
    memset(out->data + start, 0, head_bytes);
    out->length += head_bytes;
    exif_put(&(struct exif_view){.data = out->data}, start, 2, copied);
    size_t to = start + 2;
    for (unsigned i = 0; rc == RC_OK && i < entries; i++) {
        size_t from = ifd + 2 + (size_t)i * ENTRY_BYTES;
        if (exif_copied_bytes(view, from) == 0)
            continue;
        rc = exif_write_entry(view, from, out, to, start, offset, err);
        to += ENTRY_BYTES;
    }
    return rc;
}

enum rc image_exif_directory(const struct bytes *exif, enum image_exif_part part, struct image_size size,
                             uint32_t offset, struct bytes *out, struct err *err)
{
    struct bytes copy = {0};
    struct exif_view view;
    enum rc rc = image_exif_copy(exif, size, &copy, err);
    if (rc == RC_OK && copy.length > 0 && exif_view_init(&view, copy.data, copy.length)) {
        size_t link = exif_find(&view, exif_get32(&view, 4), part);
        if (link != 0)
            rc = exif_write_directory(&view, exif_value(&view, link), offset, out, err);
    }
    bytes_done(&copy);
    return rc;
}

/* ---- field by field ---- */

/* Where a directory begins, 0 when there is none. */
static size_t exif_directory_at(const struct exif_view *view, enum image_exif_part part)
{
    size_t main = exif_get32(view, 4), at = main;
    if (part == IMAGE_EXIF_MAIN)
        return main;
    if (part == IMAGE_EXIF_INTEROPERABILITY) {
        size_t camera = exif_find(view, main, TAG_EXIF_IFD);
        at = camera != 0 ? exif_value(view, camera) : 0;
    }
    size_t link = exif_find(view, at, part);
    return link != 0 ? exif_value(view, link) : 0;
}

static bool exif_is_link(unsigned tag)
{
    return tag == TAG_EXIF_IFD || tag == TAG_GPS_IFD || tag == TAG_INTEROPERABILITY_IFD;
}

static enum rc exif_visit_entry(const struct exif_view *view, size_t entry, struct bytes *values,
                                image_exif_visitor *visit, void *context, struct err *err)
{
    size_t at, bytes;
    unsigned number_bytes;
    if (!exif_values(view, entry, &at, &bytes, &number_bytes))
        return RC_OK;
    values->length = 0;
    enum rc rc = bytes_append(values, view->data + at, bytes, err);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; view->big_endian && i < bytes; i++)
        values->data[i - i % number_bytes + (number_bytes - 1 - i % number_bytes)] = view->data[at + i];
    const struct image_exif_field field = {.tag = exif_get16(view, entry),
                                           .type = exif_get16(view, entry + 2),
                                           .count = exif_get32(view, entry + 4),
                                           .values = values->data,
                                           .length = bytes};
    return visit(context, &field, err);
}

enum rc image_exif_visit(const struct bytes *exif, enum image_exif_part part, image_exif_visitor *visit,
                         void *context, struct err *err)
{
    struct exif_view view;
    unsigned entries;
    if (!exif_view_init(&view, exif->data, exif->length))
        return RC_OK;
    size_t ifd = exif_directory_at(&view, part);
    if (!exif_has_ifd(&view, ifd, &entries))
        return RC_OK;
    struct bytes values = {0};
    uint64_t all_bytes = 0; /* entries may share their values: small to send, huge to copy */
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < entries && all_bytes <= view.length; i++) {
        size_t entry = ifd + 2 + (size_t)i * ENTRY_BYTES;
        if (exif_is_link(exif_get16(&view, entry)))
            continue;
        all_bytes += exif_copied_bytes(&view, entry);
        if (all_bytes <= view.length)
            rc = exif_visit_entry(&view, entry, &values, visit, context, err);
    }
    bytes_done(&values);
    return rc;
}
