#include "worker/image/encoders.h"

#include "worker/image/gif_palette.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

struct encoder {
    struct image_sink sink;
    struct bytes *out;
    uint8_t *plane[IMAGE_MAX_PLANES]; /* the whole picture */
    uint8_t *indices;                 /* one row */
    struct image_gif_palette palette;
    struct err *err; /* of finish() */
    enum rc rc;
};

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    size_t width = sink->size.width_px;

    (void)err;
    for (uint32_t i = 0; i < image_format_planes(&sink->format); i++)
        for (uint32_t y = 0; y < band->height_px; y++)
            memcpy(e->plane[i] + (band->y_px + y) * width, band->plane[i] + y * band->stride_bytes[i], width);
    return RC_OK;
}

/* The samples of row `y`; of gray all three are the same, `alpha` may be NULL. */
struct row {
    const uint8_t *red, *green, *blue, *alpha;
};

static struct row row_of(const struct encoder *e, uint32_t y)
{
    size_t at = (size_t)y * e->sink.size.width_px;
    bool gray = e->sink.format.model == IMAGE_GRAY, alpha = e->sink.format.alpha != IMAGE_ALPHA_NONE;

    return (struct row){
        .red = e->plane[0] + at,
        .green = e->plane[gray ? 0 : 1] + at,
        .blue = e->plane[gray ? 0 : 2] + at,
        .alpha = alpha ? e->plane[gray ? 1 : 3] + at : NULL,
    };
}

static enum rc choose_colours(struct encoder *e, struct err *err)
{
    enum rc rc = RC_OK;
    bool again = false;

    for (uint32_t y = 0; rc == RC_OK && y < e->sink.size.height_px; y = again ? 0 : y + 1) {
        struct row row = row_of(e, y);
        rc = image_gif_palette_count(&e->palette, row.red, row.green, row.blue, row.alpha,
                                     e->sink.size.width_px, &again, err);
    }
    return rc == RC_OK ? image_gif_palette_choose(&e->palette, err) : rc;
}

/* ---- giflib's side ---- */

static int on_output(GifFileType *gif, const GifByteType *data, int length)
{
    struct encoder *e = gif->UserData;

    e->rc = bytes_append(e->out, data, (size_t)length, e->err);
    return e->rc == RC_OK ? length : 0;
}

static bool write_header(const struct encoder *e, GifFileType *gif)
{
    int colours = 2, width = (int)e->sink.size.width_px, height = (int)e->sink.size.height_px;
    bool alpha = e->sink.format.alpha != IMAGE_ALPHA_NONE, ok;

    while (colours < (int)e->palette.count + alpha)
        colours *= 2;
    ColorMapObject *map = GifMakeMapObject(colours, NULL);
    if (map == NULL)
        return false;
    for (uint32_t i = 0; i < e->palette.count; i++)
        map->Colors[i] = (GifColorType){e->palette.colour[i][0], e->palette.colour[i][1],
                                        e->palette.colour[i][2]};
    EGifSetGifVersion(gif, true);
    ok = EGifPutScreenDesc(gif, width, height, 8, 0, map) == GIF_OK;
    GifFreeMapObject(map);
    if (alpha) {
        GraphicsControlBlock control = {.TransparentColor = (int)e->palette.count};
        GifByteType block[4];
        EGifGCBToExtension(&control, block);
        ok = ok && EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, sizeof block, block) == GIF_OK;
    }
    return ok && EGifPutImageDesc(gif, 0, 0, width, height, false, NULL) == GIF_OK;
}

static bool write_rows(const struct encoder *e, GifFileType *gif)
{
    uint32_t width = e->sink.size.width_px;
    bool ok = true;

    for (uint32_t y = 0; ok && y < e->sink.size.height_px; y++) {
        struct row row = row_of(e, y);
        for (uint32_t x = 0; x < width; x++)
            e->indices[x] = row.alpha != NULL && row.alpha[x] < 128
                                ? (uint8_t)e->palette.count
                                : image_gif_palette_index(&e->palette, row.red[x], row.green[x], row.blue[x]);
        ok = EGifPutLine(gif, e->indices, (int)width) == GIF_OK;
    }
    return ok;
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    int code = 0;
    enum rc rc = choose_colours(e, err);

    if (rc != RC_OK)
        return rc;
    e->err = err;
    e->rc = RC_OK;
    GifFileType *gif = EGifOpen(e, on_output, &code);
    if (gif == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a GIF");
    bool written = write_header(e, gif) && write_rows(e, gif);
    if (!written)
        code = gif->Error;
    if (EGifCloseFile(gif, written ? &code : NULL) != GIF_OK)
        written = false;
    if (e->rc != RC_OK)
        return e->rc;
    return written ? RC_OK
                   : err_set(err, RC_UNSUPPORTED, "the picture cannot be written as GIF: %s",
                             GifErrorString(code));
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    for (uint32_t i = 0; i < IMAGE_MAX_PLANES; i++)
        free(e->plane[i]);
    image_gif_palette_done(&e->palette);
    free(e->indices);
    free(e);
}

enum rc image_gif_encode_open(const struct image_format *format, struct image_size size,
                              const struct image_encode_options *options, struct bytes *out,
                              struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    (void)options; /* neither quality nor metadata: GIF has no place for them */
    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a GIF");
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->out = out;
    image_gif_palette_init(&e->palette, format->alpha != IMAGE_ALPHA_NONE ? 255 : 256);
    e->indices = malloc(size.width_px);
    bool enough = e->indices != NULL;
    for (uint32_t i = 0; i < image_format_planes(format); i++)
        enough = enough && (e->plane[i] = malloc(image_size_area(size))) != NULL;
    if (!enough) {
        encoder_close(&e->sink);
        return err_set(err, RC_NO_MEMORY, "no memory to write a GIF of %u x %u pixels", size.width_px,
                       size.height_px);
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
