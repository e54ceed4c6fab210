#include "worker/image/encoders.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *media_type;
    image_encoder_open *open;
    uint32_t max_edge_px;
    bool alpha;
    bool streams;
} types[IMAGE_FILE_TYPES] = {
    [IMAGE_JPEG] = {"image/jpeg", image_jpeg_encode_open, 65500, false, true},
    [IMAGE_PNG] = {"image/png", image_png_encode_open, 1000000, true, true},
    [IMAGE_WEBP] = {"image/webp", image_webp_encode_open, 16383, true, false},
    [IMAGE_TIFF] = {"image/tiff", image_tiff_encode_open, INT32_MAX, true, false},
    [IMAGE_GIF] = {"image/gif", image_gif_encode_open, 65535, true, false},
    [IMAGE_AVIF] = {"image/avif", image_avif_encode_open, 16384, true, false},
};

struct image_format image_encode_input(enum image_file_type type, const struct image_format *available)
{
    struct image_format input = {.model = available->model, .depth_bits = 8};
    uint8_t x = available->sub_x_log2, y = available->sub_y_log2;

    if (available->alpha != IMAGE_ALPHA_NONE && types[type].alpha)
        input.alpha = IMAGE_ALPHA_STRAIGHT;
    if (available->model != IMAGE_YCBCR)
        return input;
    if (available->alpha != IMAGE_ALPHA_NONE ||
        (type != IMAGE_JPEG && type != IMAGE_WEBP && type != IMAGE_AVIF)) {
        input.model = IMAGE_RGB;
        return input;
    }
    bool own = type == IMAGE_JPEG && x <= 1 && y <= 1;
    input.sub_x_log2 = own ? x : 1;
    input.sub_y_log2 = own ? y : 1;
    return input;
}

bool image_encode_has_alpha(enum image_file_type type)
{
    return types[type].alpha;
}

bool image_encode_streams(enum image_file_type type)
{
    return types[type].streams;
}

uint32_t image_encode_max_edge_px(enum image_file_type type)
{
    return types[type].max_edge_px;
}

const char *image_encode_media_type(enum image_file_type type)
{
    return types[type].media_type;
}

void image_encode_interleave(const struct image_band *band, uint32_t row, uint32_t planes, uint32_t width_px,
                             uint8_t *to)
{
    const uint8_t *from[IMAGE_MAX_PLANES];

    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++) {
        uint32_t plane = i < planes ? i : 0; /* those beyond are not looked at */
        from[i] = band->plane[plane] + row * band->stride_bytes[plane];
    }
    switch (planes) {
    case 1:
        memcpy(to, from[0], width_px);
        break;
    case 2:
        for (uint32_t x = 0; x < width_px; x++, to += 2) {
            to[0] = from[0][x];
            to[1] = from[1][x];
        }
        break;
    case 3:
        for (uint32_t x = 0; x < width_px; x++, to += 3) {
            to[0] = from[0][x];
            to[1] = from[1][x];
            to[2] = from[2][x];
        }
        break;
    default:
        for (uint32_t x = 0; x < width_px; x++, to += 4) {
            to[0] = from[0][x];
            to[1] = from[1][x];
            to[2] = from[2][x];
            to[3] = from[3][x];
        }
    }
}

enum rc image_encode_open(enum image_file_type type, const struct image_format *format,
                          struct image_size size, const struct image_encode_options *options,
                          struct bytes *out, struct image_sink **ret_sink, struct err *err)
{
    assert(format->depth_bits == 8 && format->alpha != IMAGE_ALPHA_PREMULTIPLIED);
    if (size.width_px > types[type].max_edge_px || size.height_px > types[type].max_edge_px)
        return err_set(err, RC_BAD_REQUEST, "%s holds at most %u pixels along an edge, not %u x %u",
                       types[type].media_type, types[type].max_edge_px, size.width_px, size.height_px);
    return types[type].open(format, size, options, out, ret_sink, err);
}
