#include "worker/image/webp_stored.h"

#include <string.h>
#include <webp/decode.h>

/* Chunks that a still picture is made of. Profiles, EXIF and XMP are for whole pictures to carry, not for
 * tiles. */
static bool is_pixels(const uint8_t *name)
{
    static const char names[][5] = {"VP8 ", "VP8L", "VP8X", "ALPH"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (memcmp(name, names[i], 4) == 0)
            return true;
    return false;
}

static bool holds_pixels_only(const uint8_t *data, size_t length)
{
    size_t at = 12;
    while (length - at >= 8) {
        uint64_t chunk_bytes = 8 + (uint64_t)bytes_le32(data + at + 4);
        chunk_bytes += chunk_bytes & 1;
        if (!is_pixels(data + at) || chunk_bytes > length - at)
            return false;
        at += (size_t)chunk_bytes;
    }
    return at == length;
}

enum rc image_webp_stored_check(const uint8_t *data, size_t length, struct image_size size, bool has_alpha,
                                struct err *err)
{
    WebPBitstreamFeatures features;
    if (length < 20 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WEBP", 4) != 0 ||
        bytes_le32(data + 4) != length - 8 || WebPGetFeatures(data, length, &features) != VP8_STATUS_OK)
        return err_set(err, RC_UNSUPPORTED, "the tile is no whole WebP file");
    if (features.width < 0 || (uint32_t)features.width != size.width_px || features.height < 0 ||
        (uint32_t)features.height != size.height_px)
        return err_set(err, RC_UNSUPPORTED, "the tile holds %d x %d pixels", features.width, features.height);
    if (features.has_animation || (features.has_alpha && !has_alpha) || !holds_pixels_only(data, length))
        return err_set(err, RC_UNSUPPORTED, "the tile holds more than plain pixels");
    return RC_OK;
}
