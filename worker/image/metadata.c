#include "worker/image/metadata.h"

#include <string.h>

void image_metadata_done(struct image_metadata *metadata)
{
    bytes_done(&metadata->icc);
    bytes_done(&metadata->exif);
    bytes_done(&metadata->xmp);
    bytes_done(&metadata->iptc);
}

enum rc image_metadata_photoshop_iptc(const uint8_t *resources, size_t length, struct bytes *iptc,
                                      struct err *err)
{
    size_t at = 0;
    /* "8BIM", number (2), name (length byte, text, padded to even), size (4), data (padded to even) */
    while (length - at >= 12 && memcmp(resources + at, "8BIM", 4) == 0) {
        uint16_t number = bytes_be16(resources + at + 4);
        size_t name_bytes = ((size_t)resources[at + 6] + 2) / 2 * 2;
        at += 6;
        if (length - at < name_bytes + 4)
            return RC_OK;
        at += name_bytes;
        size_t size = bytes_be32(resources + at);
        at += 4;
        if (size > length - at)
            return RC_OK;
        if (number == 0x0404)
            return bytes_append(iptc, resources + at, size, err);
        at += size + size % 2;
        if (at > length)
            return RC_OK;
    }
    return RC_OK;
}
