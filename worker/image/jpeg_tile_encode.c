#include "worker/image/tile_encode.h"

#include "base/own.h"
#include "worker/image/jpeg_compressor.h"

#include <assert.h>
#include <string.h>

#define ROOM_BYTES ((size_t)32 << 10) /* most tiles take less */

struct tile_encoder {
    struct image_tile_encoder encoder;
    struct image_tile_options options;
    struct image_jpeg_compressor jpeg;
    uint32_t unit_px[2];               /* width and height of an MCU */
    uint8_t *padded[IMAGE_MAX_PLANES]; /* a whole tile, for those that overhang */
};

/* ---- set up ---- */

static J_COLOR_SPACE colour_space(enum image_model model)
{
    switch (model) {
    case IMAGE_GRAY:
        return JCS_GRAYSCALE;
    case IMAGE_RGB:
        return JCS_RGB;
    case IMAGE_CMYK:
        return JCS_CMYK;
    default:
        return JCS_YCbCr;
    }
}

static void prepare(void *context, const void *argument)
{
    struct tile_encoder *e = context;
    struct jpeg_compress_struct *jpeg = &e->jpeg.lib;
    const struct image_format *format = &e->options.format;

    (void)argument;
    jpeg_create_compress(jpeg);
    jpeg->dest = &e->jpeg.destination;
    jpeg->image_width = jpeg->image_height = e->options.tile_px;
    jpeg->input_components = (int)image_format_planes(format);
    jpeg->in_color_space = colour_space(format->model);
    jpeg_set_defaults(jpeg);
    jpeg_set_colorspace(jpeg, jpeg->in_color_space);
    jpeg_set_quality(jpeg, e->options.quality, TRUE);
    for (int i = 0; i < jpeg->num_components; i++) {
        bool luma = format->model == IMAGE_YCBCR && i == 0;
        jpeg->comp_info[i].h_samp_factor = luma ? 1 << format->sub_x_log2 : 1;
        jpeg->comp_info[i].v_samp_factor = luma ? 1 << format->sub_y_log2 : 1;
    }
    jpeg->raw_data_in = TRUE;
    /* A tile is no JPEG file: TIFF's own tags say what it means. */
    jpeg->write_JFIF_header = FALSE;
    jpeg->write_Adobe_marker = FALSE;
}

static void write_tables(void *context, const void *argument)
{
    struct tile_encoder *e = context;
    (void)argument;
    jpeg_write_tables(&e->jpeg.lib);
}

/* ---- a tile ---- */

struct job {
    const struct image_tile *tile;
    unsigned restart_interval; /* MCUs; 0: none */
};

static void write_tile(void *context, const void *argument)
{
    struct tile_encoder *e = context;
    const struct job *job = argument;
    struct jpeg_compress_struct *jpeg = &e->jpeg.lib;
    JSAMPROW rows[IMAGE_MAX_PLANES][2 * DCTSIZE];
    JSAMPARRAY planes[IMAGE_MAX_PLANES] = {rows[0], rows[1], rows[2], rows[3]};

    jpeg->restart_interval = job->restart_interval;
    jpeg_suppress_tables(jpeg, TRUE);
    jpeg_start_compress(jpeg, FALSE);
    for (uint32_t y = 0; y < e->options.tile_px; y += e->unit_px[1]) {
        for (int i = 0; i < jpeg->num_components; i++) {
            uint32_t first = image_plane_height(&e->options.format, (uint32_t)i, y);
            for (int row = 0; row < jpeg->comp_info[i].v_samp_factor * DCTSIZE; row++)
                rows[i][row] = image_jpeg_row(job->tile->plane[i] +
                                              (first + (uint32_t)row) * job->tile->stride_bytes[i]);
        }
        jpeg_write_raw_data(jpeg, planes, e->unit_px[1]);
    }
    jpeg_finish_compress(jpeg);
}

/* ---- tiles that overhang the picture ----
 * MCUs with a pixel of the picture in them repeat its last column and row. Those behind are mid-gray, which takes the fewest
 * bytes, but for chroma next to a picture that ends with its MCU: decoders smooth subsampled chroma over that edge. */

#define FLAT 128

static uint8_t mean_of(const uint8_t *from, size_t step, uint32_t count)
{
    uint32_t sum = count / 2;

    assert(count > 0);
    for (uint32_t i = 0; i < count; i++)
        sum += from[i * step];
    return (uint8_t)(sum / count);
}

/* One plane's part: `inside` is of the picture, `coded` reaches to the end of its last MCUs, `all` to the
 * tile's. */
struct part {
    uint32_t inside[2], coded[2], all[2];
    bool smoothed[2]; /* the first block behind goes on with the picture's mean */
};

static void pad_right(const struct part *part, uint8_t *plane)
{
    for (uint32_t y = 0; y < part->inside[1]; y++) {
        uint8_t *row = plane + (size_t)y * part->all[0];
        memset(row + part->inside[0], row[part->inside[0] - 1], part->coded[0] - part->inside[0]);
        memset(row + part->coded[0], FLAT, part->all[0] - part->coded[0]);
    }
    for (uint32_t y = 0; part->smoothed[0] && y < part->inside[1]; y += DCTSIZE) {
        uint8_t *row = plane + (size_t)y * part->all[0] + part->coded[0];
        uint32_t rows = part->inside[1] - y < DCTSIZE ? part->inside[1] - y : DCTSIZE;
        uint8_t mean = mean_of(row - 1, part->all[0], rows);
        for (uint32_t i = 0; i < rows; i++, row += part->all[0])
            memset(row, mean, DCTSIZE);
    }
}

static void pad_below(const struct part *part, uint8_t *plane)
{
    size_t stride = part->all[0];
    const uint8_t *last = plane + (part->inside[1] - 1) * stride;

    for (uint32_t y = part->inside[1]; y < part->coded[1]; y++)
        memcpy(plane + y * stride, last, stride);
    for (uint32_t y = part->coded[1]; y < part->all[1]; y++)
        memset(plane + y * stride, FLAT, stride);
    for (uint32_t x = 0; part->smoothed[1] && x < part->coded[0]; x += DCTSIZE) {
        uint8_t mean = mean_of(last + x, 1, DCTSIZE);
        for (uint32_t y = part->coded[1]; y < part->coded[1] + DCTSIZE; y++)
            memset(plane + y * stride + x, mean, DCTSIZE);
    }
}

static void pad_plane(struct tile_encoder *e, const struct image_tile *tile, uint32_t plane)
{
    const uint32_t size[2] = {tile->width_px, tile->height_px};
    const struct image_format *format = &e->options.format;
    const uint8_t sub_log2[2] = {format->sub_x_log2, format->sub_y_log2};
    bool chroma = format->model == IMAGE_YCBCR && plane > 0;
    struct part part;

    for (unsigned i = 0; i < 2; i++) {
        uint32_t unit = e->unit_px[i], coded_px = (size[i] + unit - 1) / unit * unit;
        part.inside[i] = image_plane_extent(format, plane, size[i], sub_log2[i]);
        part.coded[i] = image_plane_extent(format, plane, coded_px, sub_log2[i]);
        part.all[i] = image_plane_extent(format, plane, e->options.tile_px, sub_log2[i]);
        part.smoothed[i] = chroma && sub_log2[i] > 0 && size[i] == coded_px && part.coded[i] < part.all[i];
    }
    for (uint32_t y = 0; y < part.inside[1]; y++)
        memcpy(e->padded[plane] + (size_t)y * part.all[0], tile->plane[plane] + y * tile->stride_bytes[plane],
               part.inside[0]);
    pad_right(&part, e->padded[plane]);
    pad_below(&part, e->padded[plane]);
}

/* A whole tile made of a part of one. */
static void pad(struct tile_encoder *e, const struct image_tile *tile, struct image_tile *ret_whole)
{
    for (uint32_t i = 0; i < image_format_planes(&e->options.format); i++) {
        pad_plane(e, tile, i);
        ret_whole->plane[i] = e->padded[i];
        ret_whole->stride_bytes[i] = image_plane_width(&e->options.format, i, e->options.tile_px);
    }
}

static enum rc tile_encode(struct image_tile_encoder *encoder, const struct image_tile *tile,
                           struct bytes *out, struct err *err)
{
    struct tile_encoder *e = (struct tile_encoder *)(void *)encoder;
    struct image_tile whole;
    struct job job = {.tile = tile};
    size_t start = out->length;

    assert(tile->width_px > 0 && tile->width_px <= e->options.tile_px && tile->height_px > 0 &&
           tile->height_px <= e->options.tile_px);
    if (e->options.restart_intervals && e->options.format.model != IMAGE_CMYK) /* nobody joins those */
        job.restart_interval = e->options.tile_px / e->unit_px[0];
    if (tile->width_px < e->options.tile_px || tile->height_px < e->options.tile_px) {
        pad(e, tile, &whole);
        job.tile = &whole;
    }
    e->jpeg.out = out;
    enum rc rc = image_jpeg_compressor_run(&e->jpeg, write_tile, e, &job, err);
    if (rc != RC_OK) {
        jpeg_abort_compress(&e->jpeg.lib);
        out->length = start;
    }
    return rc;
}

static void tile_close(struct image_tile_encoder *encoder)
{
    struct tile_encoder *e = (struct tile_encoder *)(void *)encoder;

    image_jpeg_compressor_done(&e->jpeg);
    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(e->padded[i]);
    free(e);
}

static enum rc open_encoder(const struct image_tile_options *options, struct tile_encoder **ret,
                            struct err *err)
{
    static const struct image_tile_encoder_ops ops = {tile_encode, tile_close};
    struct tile_encoder *e = calloc(1, sizeof *e);
    const struct image_format *format = &options->format;

    assert(options->tile_px % 16 == 0 && format->depth_bits == 8 && format->alpha == IMAGE_ALPHA_NONE &&
           format->model != IMAGE_LAB && format->sub_x_log2 <= 1 && format->sub_y_log2 <= 1);
    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write JPEG tiles");
    e->encoder.ops = &ops;
    e->options = *options;
    e->unit_px[0] = 8u << format->sub_x_log2;
    e->unit_px[1] = 8u << format->sub_y_log2;
    image_jpeg_compressor_init(&e->jpeg, "a tile", ROOM_BYTES);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < image_format_planes(format); i++) {
        e->padded[i] = malloc((size_t)options->tile_px * options->tile_px);
        if (e->padded[i] == NULL)
            rc = err_set(err, RC_NO_MEMORY, "no memory to write JPEG tiles");
    }
    if (rc == RC_OK)
        rc = image_jpeg_compressor_run(&e->jpeg, prepare, e, NULL, err);
    if (rc != RC_OK) {
        tile_close(&e->encoder);
        return rc;
    }
    *ret = e;
    return RC_OK;
}

enum rc image_tile_jpeg_open(const struct image_tile_options *options,
                             struct image_tile_encoder **ret_encoder, struct err *err)
{
    struct tile_encoder *e = NULL;
    enum rc rc = open_encoder(options, &e, err);
    if (rc == RC_OK)
        *ret_encoder = &e->encoder;
    return rc;
}

enum rc image_tile_jpeg_tables(const struct image_tile_options *options, struct bytes *out, struct err *err)
{
    struct tile_encoder *e = NULL;
    enum rc rc = open_encoder(options, &e, err);
    if (rc != RC_OK)
        return rc;
    e->jpeg.out = out;
    rc = image_jpeg_compressor_run(&e->jpeg, write_tables, e, NULL, err);
    tile_close(&e->encoder);
    return rc;
}
