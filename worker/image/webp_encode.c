#include "worker/image/encoders.h"

#include "base/own.h"
#include "worker/image/exif.h"

#include <string.h>
#include <webp/encode.h>
#include <webp/mux.h>

/* Lossy WebP is 4:2:0 with the reduced range of video (BT.601, 16 to 235). Planes are put into that range on
 * their way in; RGB is left to libwebp, which is careful with the chroma of edges. */
struct encoder {
    struct image_sink sink;
    const struct image_encode_options *options;
    struct bytes *out;
    WebPConfig config;
    WebPPicture picture;            /* the whole picture */
    uint8_t luma[256], chroma[256]; /* full range → reduced range */
    struct bytes file;              /* what libwebp wrote, before metadata is put around it */
    struct err *err;                /* of finish() */
    enum rc rc;
};

static int on_output(const uint8_t *data, size_t length, const WebPPicture *picture)
{
    struct encoder *e = picture->custom_ptr;

    e->rc = bytes_append(&e->file, data, length, e->err);
    return e->rc == RC_OK;
}

/* ---- pixels ---- */

static void hold_mapped(const uint8_t map[256], const uint8_t *from, uint8_t *to, uint32_t count)
{
    for (uint32_t x = 0; x < count; x++)
        to[x] = map[from[x]];
}

/* A row of chroma that is not subsampled, which comes only of an odd picture that was turned around: two
 * columns make one sample, an odd row is mixed with the even one before it. */
static void hold_mixed(const struct encoder *e, const uint8_t *from, bool odd, uint8_t *to)
{
    uint32_t width = e->sink.size.width_px;

    for (uint32_t x = 0; x < width; x += 2, to++) {
        uint32_t right = x + 1 < width ? x + 1 : x, pair = from[x] + from[right] + 1u;
        uint8_t value = e->chroma[pair / 2];
        *to = (uint8_t)(odd ? (value + *to + 1u) / 2 : value);
    }
}

static void hold_chroma(struct encoder *e, const struct image_band *band)
{
    uint8_t *planes[2] = {e->picture.u, e->picture.v};
    bool subsampled = e->sink.format.sub_x_log2 == 1;

    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t y = 0; y < (subsampled ? (band->height_px + 1) / 2 : band->height_px); y++) {
            const uint8_t *from = band->plane[1 + i] + y * band->stride_bytes[1 + i];
            uint32_t row = subsampled ? band->y_px / 2 + y : (band->y_px + y) / 2;
            uint8_t *to = planes[i] + (ptrdiff_t)row * e->picture.uv_stride;
            if (subsampled)
                hold_mapped(e->chroma, from, to, (e->sink.size.width_px + 1) / 2);
            else
                hold_mixed(e, from, (band->y_px + y) % 2 == 1, to);
        }
}

static void hold_yuv(struct encoder *e, const struct image_band *band)
{
    uint32_t width = e->sink.size.width_px, alpha = image_format_planes(&e->sink.format) - 1;

    for (uint32_t y = 0; y < band->height_px; y++) {
        ptrdiff_t row = (ptrdiff_t)band->y_px + y;
        hold_mapped(e->luma, band->plane[0] + y * band->stride_bytes[0],
                    e->picture.y + row * e->picture.y_stride, width);
        if (e->sink.format.alpha != IMAGE_ALPHA_NONE)
            memcpy(e->picture.a + row * e->picture.a_stride,
                   band->plane[alpha] + y * band->stride_bytes[alpha], width);
    }
    if (e->sink.format.model == IMAGE_YCBCR)
        hold_chroma(e, band);
}

static void hold_argb(struct encoder *e, const struct image_band *band)
{
    const struct image_format *format = &e->sink.format;
    uint32_t colours = format->model == IMAGE_GRAY ? 1 : 3;

    for (uint32_t y = 0; y < band->height_px; y++) {
        uint32_t *to = e->picture.argb + (ptrdiff_t)(band->y_px + y) * e->picture.argb_stride;
        const uint8_t *red = band->plane[0] + y * band->stride_bytes[0], *green = red, *blue = red,
                      *alpha = NULL;
        if (colours == 3) {
            green = band->plane[1] + y * band->stride_bytes[1];
            blue = band->plane[2] + y * band->stride_bytes[2];
        }
        if (format->alpha != IMAGE_ALPHA_NONE)
            alpha = band->plane[colours] + y * band->stride_bytes[colours];
        for (uint32_t x = 0; x < e->sink.size.width_px; x++)
            to[x] = (alpha != NULL ? (uint32_t)alpha[x] : 255u) << 24 | (uint32_t)red[x] << 16 |
                    (uint32_t)green[x] << 8 | blue[x];
    }
}

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    (void)err;
    if (e->picture.use_argb)
        hold_argb(e, band);
    else
        hold_yuv(e, band);
    return RC_OK;
}

/* ---- the file ---- */

static void mux_free(WebPMux **mux)
{
    WebPMuxDelete(*mux);
}

static bool mux_chunk(WebPMux *mux, const char *name, const struct bytes *payload)
{
    if (!image_encode_given(payload))
        return true;
    WebPData data = {payload->data, payload->length};
    return WebPMuxSetChunk(mux, name, &data, 0) == WEBP_MUX_OK;
}

static enum rc add_metadata(struct encoder *e, struct err *err)
{
    OWN(bytes_done) struct bytes exif = {0};
    WebPData file = {e->file.data, e->file.length}, whole = {0};
    enum rc rc = RC_OK;

    if (image_encode_given(e->options->exif))
        rc = image_exif_copy(e->options->exif, e->sink.size, &exif, err);
    if (rc != RC_OK)
        return rc;
    OWN(mux_free) WebPMux *mux = WebPMuxCreate(&file, 0);
    if (mux == NULL || !mux_chunk(mux, "ICCP", e->options->icc) || !mux_chunk(mux, "EXIF", &exif) ||
        !mux_chunk(mux, "XMP ", e->options->xmp) || WebPMuxAssemble(mux, &whole) != WEBP_MUX_OK)
        return err_set(err, RC_NO_MEMORY, "no memory to put metadata into a WebP of %zu bytes",
                       e->file.length);
    rc = bytes_append(e->out, whole.bytes, whole.size, err);
    WebPDataClear(&whole);
    return rc;
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    const struct image_encode_options *o = e->options;

    e->err = err;
    e->rc = RC_OK;
    if (!WebPEncode(&e->config, &e->picture)) {
        bool memory = e->picture.error_code == VP8_ENC_ERROR_OUT_OF_MEMORY ||
                      e->picture.error_code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY;
        return e->rc != RC_OK ? e->rc
                              : err_set(err, memory ? RC_NO_MEMORY : RC_UNSUPPORTED,
                                        "the picture cannot be written as WebP (libwebp's error %d)",
                                        e->picture.error_code);
    }
    if (image_encode_given(o->icc) || image_encode_given(o->exif) || image_encode_given(o->xmp))
        return add_metadata(e, err);
    return bytes_append(e->out, e->file.data, e->file.length, err);
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    WebPPictureFree(&e->picture);
    bytes_done(&e->file);
    free(e);
}

enum rc image_webp_encode_open(const struct image_format *format, struct image_size size,
                               const struct image_encode_options *options, struct bytes *out,
                               struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    if (e == NULL || !WebPConfigInit(&e->config) || !WebPPictureInit(&e->picture)) {
        free(e);
        return err_set(err, RC_NO_MEMORY, "no memory to write a WebP");
    }
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->options = options;
    e->out = out;
    e->config.quality = options->webp_quality;
    e->config.method = 2; /* a megapixel in 35 ms; method 4: 90 ms, 4 % less */
    e->config.lossless = options->bitonal;
    e->config.exact = options->bitonal;
    e->picture.use_argb = options->bitonal || format->model == IMAGE_RGB;
    e->picture.colorspace = format->alpha != IMAGE_ALPHA_NONE ? WEBP_YUV420A : WEBP_YUV420;
    e->picture.width = (int)size.width_px;
    e->picture.height = (int)size.height_px;
    e->picture.writer = on_output;
    e->picture.custom_ptr = e;
    for (uint32_t i = 0; i < 256; i++) {
        e->luma[i] = (uint8_t)(16 + (i * 219 + 127) / 255);
        e->chroma[i] = (uint8_t)(16 + (i * 224 + 127) / 255);
    }
    if (!WebPPictureAlloc(&e->picture)) {
        encoder_close(&e->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to write a WebP of %u x %u pixels", size.width_px,
                       size.height_px);
    }
    for (int32_t y = 0;
         format->model == IMAGE_GRAY && !e->picture.use_argb && y < (e->picture.height + 1) / 2; y++) {
        memset(e->picture.u + (ptrdiff_t)y * e->picture.uv_stride, 128, (size_t)e->picture.uv_stride);
        memset(e->picture.v + (ptrdiff_t)y * e->picture.uv_stride, 128, (size_t)e->picture.uv_stride);
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
