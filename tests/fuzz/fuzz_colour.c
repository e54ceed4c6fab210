/* A hostile colour profile: the first byte says what pixels it is said to be of, the rest is the profile. */
#include "worker/image/colour.h"

#include <stdlib.h>

#define WIDTH_PX 9u
#define ROWS     2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc take(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    volatile uint8_t sum = 0;
    uint32_t planes = image_format_planes(&sink->format);

    (void)err;
    for (uint32_t i = 0; i < planes; i++)
        for (uint32_t y = 0; y < band->height_px; y++)
            for (uint32_t x = 0; x < WIDTH_PX; x++)
                sum = (uint8_t)(sum + band->plane[i][y * band->stride_bytes[i] + x]);
    return RC_OK;
}

static enum rc finish(struct image_sink *sink, struct err *err)
{
    (void)sink;
    (void)err;
    return RC_OK;
}

static void leave(struct image_sink *sink)
{
    (void)sink;
}

static void convert(const struct image_colour *colour)
{
    static const struct image_sink_ops ops = {take, finish, leave};
    static uint16_t samples[WIDTH_PX * ROWS];
    struct image_sink last = {&ops, image_colour_output(colour), {WIDTH_PX, ROWS}};
    struct image_sink *sink = NULL;
    struct image_band band = {.height_px = ROWS};

    if (image_colour_sink(colour, &last, &sink, NULL) != RC_OK || sink == &last)
        return;
    for (uint32_t i = 0; i < WIDTH_PX * ROWS; i++)
        samples[i] = (uint16_t)(i * 3854);
    for (uint32_t i = 0; i < image_format_planes(&sink->format); i++) {
        band.plane[i] = (const uint8_t *)samples;
        band.stride_bytes[i] = WIDTH_PX * (sink->format.depth_bits / 8u);
    }
    if (sink->ops->write(sink, &band, NULL) != RC_OK)
        abort();
    image_sink_close(&sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct image_format format = {
        .model = data[0] % 5, .alpha = data[0] / 5 % 3, .depth_bits = data[0] & 128 ? 16 : 8};
    struct bytes icc = {0};
    struct image_colour *colour = NULL;
    const char *note;

    if (format.model == IMAGE_CMYK)
        format.alpha = IMAGE_ALPHA_NONE;
    if (format.model == IMAGE_YCBCR)
        format.depth_bits = 8;
    if (bytes_append(&icc, data + 1, size - 1, NULL) == RC_OK &&
        image_colour_decide(&format, &icc, &colour, &note, NULL) == RC_OK)
        convert(colour);
    image_colour_free(&colour);
    bytes_done(&icc);
    return 0;
}
