/* EXIF payloads: a bounded look into the small TIFF stream that JPEG, PNG and WebP carry, and its preparation
 * for a derivative. A payload starts with "II" or "MM" (no "Exif\0\0"). Used by sources (orientation) and
 * encoders (copy), on any thread; owns nothing. The bytes are foreign: whatever is broken is taken as absent,
 * never followed. */
#ifndef WORKER_IMAGE_EXIF_H
#define WORKER_IMAGE_EXIF_H

#include "base/bytes.h"
#include "worker/image/geometry.h"

/* 1 to 8; 1 where the payload does not say, or says nonsense. */
uint8_t image_exif_orientation(const struct bytes *exif);

/* Appends a copy of `exif` to `out` that speaks of an upright picture of `size`: Orientation becomes 1,
 * ImageWidth, ImageLength, PixelXDimension and PixelYDimension (where present) become the size, the thumbnail
 * is unlinked. The copy is as long as the original. Appends nothing when `exif` is no EXIF at all. Fails only
 * with RC_NO_MEMORY. */
RC_MUST_USE enum rc image_exif_copy(const struct bytes *exif, struct image_size size, struct bytes *out,
                                    struct err *err);

/* For files that are TIFFs themselves and hold these fields in directories of their own. */

enum image_exif_part {                      /* the tags that link them */
                       IMAGE_EXIF_MAIN = 0, /* what the stream begins with: Make, Artist ... */
                       IMAGE_EXIF_CAMERA = 0x8769,
                       IMAGE_EXIF_GPS = 0x8825,
                       IMAGE_EXIF_INTEROPERABILITY = 0xa005, /* linked by the camera's */
};

/* Appends a part's directory, little-endian, to `out`, its first byte lying at `offset` of the file that is
 * written. What it says of the picture's size becomes `size`. Appends nothing where the payload has no such
 * part; links to further directories are left out. Fails only with RC_NO_MEMORY. */
RC_MUST_USE enum rc image_exif_directory(const struct bytes *exif, enum image_exif_part part,
                                         struct image_size size, uint32_t offset, struct bytes *out,
                                         struct err *err);

/* The text of an ASCII field of the main directory (Make, Artist ...). False where it is absent. Not
 * terminated; lives with the payload. */
bool image_exif_text(const struct bytes *exif, unsigned tag, const char **ret_text, size_t *ret_length);

struct image_exif_field {
    uint16_t tag, type;
    uint32_t count;
    const uint8_t *values; /* little-endian; not aligned; only during the call */
    size_t length;
};
typedef enum rc image_exif_visitor(void *context, const struct image_exif_field *field, struct err *err);

/* Calls `visit` for every field of one part, links to other directories left out. Nothing to visit is no
 * failure; fields that are broken, or more of them than the payload can hold, are passed over. Fails with
 * what `visit` returned, or RC_NO_MEMORY. */
RC_MUST_USE enum rc image_exif_visit(const struct bytes *exif, enum image_exif_part part,
                                     image_exif_visitor *visit, void *context, struct err *err);

#endif
