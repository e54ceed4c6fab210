#include "worker/image/encoders.h"

#include "base/own.h"
#include "worker/image/exif.h"

#include <avif/avif.h>
#include <string.h>

/* AV1 of the libaom that Debian builds libavif with, one thread, no tiles: the same bytes every time. A
 * megapixel takes 40 ms at speed 9; 8 takes 140 ms and 6 takes 500 ms, for files that are no smaller. */
#define SPEED 9

struct encoder {
    struct image_sink sink;
    const struct image_encode_options *options;
    struct bytes *out;
    avifImage *image; /* the whole picture */
    uint8_t *rgb;     /* RGB: the whole picture with its alpha, pixel after pixel */
};

/* ---- pixels ---- */

static void hold_plane(const struct encoder *e, const struct image_band *band, uint32_t plane, uint8_t *to,
                       uint32_t stride)
{
    const struct image_sink *sink = &e->sink;
    uint32_t width = image_plane_width(&sink->format, plane, sink->size.width_px);
    uint32_t first = image_plane_height(&sink->format, plane, band->y_px);

    for (uint32_t y = 0; y < image_plane_height(&sink->format, plane, band->height_px); y++)
        memcpy(to + (size_t)(first + y) * stride, band->plane[plane] + y * band->stride_bytes[plane], width);
}

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    uint32_t planes = image_format_planes(&sink->format);
    size_t row_bytes = (size_t)sink->size.width_px * planes;

    (void)err;
    if (sink->format.model == IMAGE_RGB) {
        for (uint32_t y = 0; y < band->height_px; y++)
            image_encode_interleave(band, y, planes, sink->size.width_px,
                                    e->rgb + (band->y_px + y) * row_bytes);
        return RC_OK;
    }
    bool alpha = sink->format.alpha != IMAGE_ALPHA_NONE;
    for (uint32_t i = 0; i < planes - alpha; i++)
        hold_plane(e, band, i, e->image->yuvPlanes[i], e->image->yuvRowBytes[i]);
    if (alpha)
        hold_plane(e, band, planes - 1, e->image->alphaPlane, e->image->alphaRowBytes);
    return RC_OK;
}

/* ---- the file ---- */

static enum rc avif_failed(avifResult result, struct err *err)
{
    return err_set(err, result == AVIF_RESULT_OUT_OF_MEMORY ? RC_NO_MEMORY : RC_UNSUPPORTED,
                   "the picture cannot be written as AVIF: %s", avifResultToString(result));
}

static enum rc set_metadata(struct encoder *e, struct err *err)
{
    const struct image_encode_options *o = e->options;
    OWN(bytes_done) struct bytes exif = {0};
    enum rc rc = image_encode_given(o->exif) ? image_exif_copy(o->exif, e->sink.size, &exif, err) : RC_OK;

    if (rc != RC_OK)
        return rc;
    if (image_encode_given(o->icc))
        avifImageSetProfileICC(e->image, o->icc->data, o->icc->length);
    if (exif.length > 0)
        avifImageSetMetadataExif(e->image, exif.data, exif.length);
    if (image_encode_given(o->xmp))
        avifImageSetMetadataXMP(e->image, o->xmp->data, o->xmp->length);
    return RC_OK;
}

/* RGB becomes the planes that the image has. */
static avifResult convert_rgb(struct encoder *e)
{
    avifRGBImage rgb;
    bool alpha = e->sink.format.alpha != IMAGE_ALPHA_NONE;

    avifRGBImageSetDefaults(&rgb, e->image);
    rgb.format = alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
    rgb.depth = 8;
    rgb.pixels = e->rgb;
    rgb.rowBytes = e->sink.size.width_px * (alpha ? 4 : 3);
    return avifImageRGBToYUV(e->image, &rgb);
}

static void avif_encoder_free(avifEncoder **encoder)
{
    if (*encoder != NULL)
        avifEncoderDestroy(*encoder);
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    OWN(avif_encoder_free) avifEncoder *encoder = avifEncoderCreate();
    avifRWData file = AVIF_DATA_EMPTY;
    avifResult result = AVIF_RESULT_OK;

    if (encoder == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write an AVIF");
    if (e->rgb != NULL)
        result = convert_rgb(e);
    if (result != AVIF_RESULT_OK)
        return avif_failed(result, err);
    enum rc rc = set_metadata(e, err);
    if (rc != RC_OK)
        return rc;
    int quantizer = (100 - e->options->avif_quality) * AVIF_QUANTIZER_WORST_QUALITY / 100;
    encoder->codecChoice = AVIF_CODEC_CHOICE_AOM;
    encoder->maxThreads = 1;
    encoder->speed = SPEED;
    encoder->minQuantizer = encoder->maxQuantizer = quantizer;
    encoder->minQuantizerAlpha = encoder->maxQuantizerAlpha = quantizer /
                                                              2; /* a soft edge shows every step */
    result = avifEncoderWrite(encoder, e->image, &file);
    rc = result == AVIF_RESULT_OK ? bytes_append(e->out, file.data, file.size, err)
                                  : avif_failed(result, err);
    avifRWDataFree(&file);
    return rc;
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    if (e->image != NULL)
        avifImageDestroy(e->image);
    free(e->rgb);
    free(e);
}

/* libavif 0.11 does not say when memory is out: the planes are looked at. */
static bool allocate(struct encoder *e)
{
    const struct image_format *format = &e->sink.format;
    avifPixelFormat layout = format->model == IMAGE_GRAY ? AVIF_PIXEL_FORMAT_YUV400
                             : format->model == IMAGE_YCBCR && format->sub_x_log2 == 0
                                 ? AVIF_PIXEL_FORMAT_YUV444
                                 : AVIF_PIXEL_FORMAT_YUV420;
    avifImage *image = avifImageCreate(e->sink.size.width_px, e->sink.size.height_px, 8, layout);

    e->image = image;
    if (image == NULL)
        return false;
    image->yuvRange = AVIF_RANGE_FULL;
    image->colorPrimaries = AVIF_COLOR_PRIMARIES_BT709;
    image->transferCharacteristics = AVIF_TRANSFER_CHARACTERISTICS_SRGB;
    image->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_BT601;
    image->yuvChromaSamplePosition = AVIF_CHROMA_SAMPLE_POSITION_UNKNOWN; /* JPEG's centre has no name */
    if (format->model == IMAGE_RGB)
        e->rgb = malloc(image_size_area(e->sink.size) * image_format_planes(format));
    avifResult result = avifImageAllocatePlanes(image, format->alpha != IMAGE_ALPHA_NONE ? AVIF_PLANES_ALL
                                                                                         : AVIF_PLANES_YUV);
    return result == AVIF_RESULT_OK && image->yuvPlanes[0] != NULL &&
           (format->model != IMAGE_RGB || e->rgb != NULL) &&
           (format->alpha == IMAGE_ALPHA_NONE || image->alphaPlane != NULL);
}

enum rc image_avif_encode_open(const struct image_format *format, struct image_size size,
                               const struct image_encode_options *options, struct bytes *out,
                               struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write an AVIF");
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->options = options;
    e->out = out;
    if (!allocate(e)) {
        encoder_close(&e->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to write an AVIF of %u x %u pixels", size.width_px,
                       size.height_px);
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
