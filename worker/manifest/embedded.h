/* What a picture says about itself: the few fields of EXIF, IPTC and XMP that a manifest shows.
 *
 * Where several speak, XMP counts before IPTC before EXIF: the newer is what people edit. Text is made UTF-8
 * (what is none is taken for Latin-1), without control characters, blanks at its ends cut. All bytes are
 * foreign; libexif, libiptcdata and exempi read them. On a render thread; what is returned lives in the
 * arena. Owns nothing, keeps nothing. */
#ifndef WORKER_MANIFEST_EMBEDDED_H
#define WORKER_MANIFEST_EMBEDDED_H

#include "base/arena.h"
#include "worker/image/source.h"

#define MANIFEST_EMBEDDED_MAX_BYTES 4000u /* of a field; the rest is cut */

enum manifest_field {
    MANIFEST_TITLE,
    MANIFEST_DESCRIPTION,
    MANIFEST_CREATOR, /* several are joined by "; " */
    MANIFEST_DATE, /* YYYY-MM-DD, YYYY-MM or YYYY, if need be followed by T and a time; or as it was written */
    MANIFEST_KEYWORDS, /* joined likewise */
    MANIFEST_CREDIT,
    MANIFEST_COPYRIGHT, /* a sentence */
    MANIFEST_LICENCE,   /* a URI */
    MANIFEST_FIELDS,
};

/* NULL where nothing is said. */
struct manifest_embedded {
    const char *text[MANIFEST_FIELDS];
};

/* What cannot be read counts as not said. */
void manifest_embedded_read(const struct image_metadata *metadata, struct arena *arena,
                            struct manifest_embedded *ret_embedded);

/* ---- private to embedded*.c ---- */

/* Adds a value to a field: the first one stands, unless `joins`, where it is appended. */
void manifest_embedded_add(struct manifest_embedded *embedded, enum manifest_field field, bool joins,
                           struct arena *arena, const char *text, size_t length);

void manifest_embedded_xmp(const struct bytes *packet, struct arena *arena,
                           struct manifest_embedded *embedded);
void manifest_embedded_iptc(const struct bytes *records, struct arena *arena,
                            struct manifest_embedded *embedded);
void manifest_embedded_exif(const struct bytes *tiff, struct arena *arena,
                            struct manifest_embedded *embedded);

#endif
