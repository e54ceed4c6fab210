#include "worker/image/encoders.h"

#include "base/own.h"
#include "worker/image/jpeg_compressor.h"
#include "worker/image/jpeg_metadata.h"

#include <string.h>

#define ROOM_BYTES 16384u

struct encoder {
    struct image_sink sink;
    struct image_jpeg_compressor jpeg;
    const struct image_encode_options *options;
    struct bytes segments; /* of metadata */

    int planes;                        /* 1 or 3 */
    bool raw;                          /* planes go in as they are; else RGB rows */
    uint8_t *row;                      /* RGB: one row of pixels */
    uint8_t *unit[3];                  /* planes: one row of MCUs, edges repeated */
    uint32_t unit_width[3], unit_rows; /* samples per row of a unit; luma rows per unit */
    uint32_t held_rows;                /* luma rows in `unit` */
};

/* ---- header ---- */

/* The segments were made before; libjpeg puts them behind its own first ones. */
static void write_metadata(struct encoder *e)
{
    const struct bytes *s = &e->segments;

    for (size_t at = 0, length; at < s->length; at += 2 + length) {
        length = bytes_be16(s->data + at + 2);
        jpeg_write_marker(&e->jpeg.lib, s->data[at + 1], s->data + at + 4, (unsigned)(length - 2));
    }
}

static void set_components(struct encoder *e)
{
    const struct image_format *format = &e->sink.format;
    struct jpeg_compress_struct *jpeg = &e->jpeg.lib;

    if (format->model != IMAGE_YCBCR)
        return;
    for (int i = 0; i < 3; i++) {
        jpeg->comp_info[i].h_samp_factor = i == 0 ? 1 << format->sub_x_log2 : 1;
        jpeg->comp_info[i].v_samp_factor = i == 0 ? 1 << format->sub_y_log2 : 1;
    }
}

static void start(void *context, const void *argument)
{
    struct encoder *e = context;
    struct jpeg_compress_struct *jpeg = &e->jpeg.lib;
    const struct image_format *format = &e->sink.format;

    (void)argument;
    jpeg_create_compress(jpeg);
    jpeg->dest = &e->jpeg.destination;
    jpeg->image_width = e->sink.size.width_px;
    jpeg->image_height = e->sink.size.height_px;
    jpeg->input_components = e->planes;
    jpeg->in_color_space = format->model == IMAGE_GRAY  ? JCS_GRAYSCALE
                           : format->model == IMAGE_RGB ? JCS_RGB
                                                        : JCS_YCbCr;
    jpeg_set_defaults(jpeg); /* RGB: YCbCr 4:2:0 */
    jpeg_set_quality(jpeg, e->options->jpeg_quality, TRUE);
    set_components(e);
    jpeg->raw_data_in = e->raw;
    if (e->options->resolution_dpi >= 1 && e->options->resolution_dpi < 65535) {
        jpeg->density_unit = 1;
        jpeg->X_density = jpeg->Y_density = (UINT16)(e->options->resolution_dpi + 0.5);
    }
    jpeg_start_compress(jpeg, TRUE);
    write_metadata(e);
}

/* ---- pixels ---- */

static void write_rgb(void *context, const void *argument)
{
    struct encoder *e = context;
    const struct image_band *band = argument;
    JSAMPROW rows[1] = {e->row};

    for (uint32_t y = 0; y < band->height_px; y++) {
        image_encode_interleave(band, y, 3, e->sink.size.width_px, e->row);
        jpeg_write_scanlines(&e->jpeg.lib, rows, 1);
    }
}

struct unit {
    const uint8_t *plane[3];
    size_t stride_bytes[3];
};

static void write_unit(void *context, const void *argument)
{
    struct encoder *e = context;
    const struct unit *unit = argument;
    JSAMPROW rows[3][16];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};

    for (int i = 0; i < 3 && i < e->planes; i++)
        for (int y = 0; y < e->jpeg.lib.comp_info[i].v_samp_factor * DCTSIZE; y++)
            rows[i][y] = image_jpeg_row(unit->plane[i] + (size_t)y * unit->stride_bytes[i]);
    jpeg_write_raw_data(&e->jpeg.lib, planes, e->unit_rows);
}

static enum rc flush_unit(struct encoder *e, struct err *err)
{
    struct unit unit = {{e->unit[0], e->unit[1], e->unit[2]},
                        {e->unit_width[0], e->unit_width[1], e->unit_width[2]}};

    e->held_rows = 0;
    return image_jpeg_compressor_run(&e->jpeg, write_unit, e, &unit, err);
}

static uint32_t plane_rows(const struct encoder *e, int plane, uint32_t rows)
{
    return image_plane_height(&e->sink.format, (uint32_t)plane, rows);
}

/* Copies `count` luma rows of the band from row `y` on, and their chroma, behind the held rows; repeats the
 * last column. */
static void hold_rows(struct encoder *e, const struct image_band *band, uint32_t y, uint32_t count)
{
    for (int i = 0; i < e->planes; i++) {
        uint32_t width = image_plane_width(&e->sink.format, (uint32_t)i, e->sink.size.width_px);
        uint8_t *to = e->unit[i] + (size_t)plane_rows(e, i, e->held_rows) * e->unit_width[i];
        const uint8_t *from = band->plane[i] + plane_rows(e, i, y) * band->stride_bytes[i];
        for (uint32_t row = 0; row < plane_rows(e, i, count); row++) {
            memcpy(to, from, width);
            memset(to + width, from[width - 1], e->unit_width[i] - width);
            to += e->unit_width[i];
            from += band->stride_bytes[i];
        }
    }
    e->held_rows += count;
}

/* The last unit: repeats the last row of each plane. */
static void fill_unit(struct encoder *e)
{
    for (int i = 0; i < e->planes; i++) {
        uint32_t rows = plane_rows(e, i, e->held_rows), all = plane_rows(e, i, e->unit_rows);
        uint8_t *last = e->unit[i] + (size_t)(rows - 1) * e->unit_width[i];
        for (uint32_t row = rows; row < all; row++)
            memcpy(e->unit[i] + (size_t)row * e->unit_width[i], last, e->unit_width[i]);
    }
    e->held_rows = e->unit_rows;
}

static enum rc write_planes(struct encoder *e, const struct image_band *band, struct err *err)
{
    bool whole = e->unit_width[0] ==
                 e->sink.size.width_px; /* no column to repeat: the band's own rows will do */
    enum rc rc = RC_OK;

    for (uint32_t y = 0, count; rc == RC_OK && y < band->height_px; y += count) {
        uint32_t left = band->height_px - y;
        if (whole && e->held_rows == 0 && left >= e->unit_rows) {
            struct unit unit = {0};
            for (int i = 0; i < e->planes; i++) {
                unit.plane[i] = band->plane[i] + plane_rows(e, i, y) * band->stride_bytes[i];
                unit.stride_bytes[i] = band->stride_bytes[i];
            }
            count = e->unit_rows;
            rc = image_jpeg_compressor_run(&e->jpeg, write_unit, e, &unit, err);
            continue;
        }
        count = left < e->unit_rows - e->held_rows ? left : e->unit_rows - e->held_rows;
        hold_rows(e, band, y, count);
        if (e->held_rows == e->unit_rows)
            rc = flush_unit(e, err);
    }
    return rc;
}

/* ---- the sink ---- */

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    return e->raw ? write_planes(e, band, err) : image_jpeg_compressor_run(&e->jpeg, write_rgb, e, band, err);
}

static void finish(void *context, const void *argument)
{
    struct encoder *e = context;
    (void)argument;
    jpeg_finish_compress(&e->jpeg.lib);
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    if (e->held_rows > 0) {
        fill_unit(e);
        enum rc rc = flush_unit(e, err);
        if (rc != RC_OK)
            return rc;
    }
    return image_jpeg_compressor_run(&e->jpeg, finish, e, NULL, err);
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    image_jpeg_compressor_done(&e->jpeg);
    bytes_done(&e->segments);
    free(e->row);
    for (int i = 0; i < 3; i++)
        free(e->unit[i]);
    free(e);
}

static enum rc allocate(struct encoder *e, struct err *err)
{
    const struct image_format *format = &e->sink.format;
    uint32_t width = e->sink.size.width_px, unit = 8u << format->sub_x_log2;
    bool enough = true;

    if (!e->raw) {
        e->row = malloc((size_t)width * 3);
        enough = e->row != NULL;
    }
    e->unit_rows = 8u << format->sub_y_log2;
    for (uint32_t i = 0; e->raw && i < image_format_planes(format); i++) {
        e->unit_width[i] = image_plane_width(format, i, (width + unit - 1) / unit * unit);
        e->unit[i] = malloc((size_t)e->unit_width[i] * image_plane_height(format, i, e->unit_rows));
        enough = enough && e->unit[i] != NULL;
    }
    return enough ? RC_OK
                  : err_set(err, RC_NO_MEMORY, "no memory to write a JPEG of %u pixels' width", width);
}

enum rc image_jpeg_encode_open(const struct image_format *format, struct image_size size,
                               const struct image_encode_options *options, struct bytes *out,
                               struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a JPEG");
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->options = options;
    e->jpeg.out = out;
    e->planes = format->model == IMAGE_GRAY ? 1 : 3;
    e->raw = format->model != IMAGE_RGB;
    image_jpeg_compressor_init(&e->jpeg, "the picture", ROOM_BYTES);
    enum rc rc = allocate(e, err);
    if (rc == RC_OK)
        rc = image_jpeg_metadata_write(options, size, &e->segments, err);
    if (rc == RC_OK)
        rc = image_jpeg_compressor_run(&e->jpeg, start, e, NULL, err);
    if (rc != RC_OK) {
        encoder_close(&e->sink);
        return rc;
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
