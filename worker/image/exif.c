#include "worker/image/exif.h"

enum {
    TAG_IMAGE_WIDTH = 0x0100,
    TAG_IMAGE_LENGTH = 0x0101,
    TAG_ORIENTATION = 0x0112,
    TAG_EXIF_IFD = 0x8769,
    TAG_PIXEL_X_DIMENSION = 0xa002,
    TAG_PIXEL_Y_DIMENSION = 0xa003,
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
