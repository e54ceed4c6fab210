#include "worker/image/encoders.h"

#include "base/own.h"
#include "worker/image/exif.h"

#include <png.h>
#include <string.h>

/* libpng leaves by longjmp. Only guarded() calls setjmp, and owns nothing; what it calls owns nothing
 * either. */
struct encoder {
    struct image_sink sink;
    png_structp png;
    png_infop info;
    enum rc rc;      /* why, when our own code failed beneath libpng */
    struct err *err; /* of the call in progress */
    const struct image_encode_options *options;
    struct bytes *out;
    struct bytes exif;
    char *xmp; /* terminated */
    uint8_t *row;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct encoder *e = png_get_error_ptr(png);

    if (e->rc == RC_OK)
        e->rc = err_set(e->err, strstr(message, "emory") != NULL ? RC_NO_MEMORY : RC_UNSUPPORTED,
                        "the picture cannot be written as PNG: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_output(png_structp png, png_bytep data, size_t length)
{
    struct encoder *e = png_get_io_ptr(png);

    e->rc = bytes_append(e->out, data, length, e->err);
    if (e->rc != RC_OK)
        png_error(png, "memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static enum rc guarded(struct encoder *e, void (*step)(struct encoder *e, const void *argument),
                       const void *argument, struct err *err)
{
    e->err = err;
    e->rc = RC_OK;
    if (setjmp(png_jmpbuf(e->png)) == 0)
        step(e, argument);
    return e->rc;
}

/* ---- header ---- */

static void set_metadata(struct encoder *e)
{
    const struct image_encode_options *o = e->options;

    if (image_encode_given(o->icc))
        png_set_iCCP(e->png, e->info, "icc", PNG_COMPRESSION_TYPE_BASE, o->icc->data,
                     (png_uint_32)o->icc->length);
    else
        png_set_sRGB(e->png, e->info, PNG_sRGB_INTENT_RELATIVE);
    if (e->exif.length > 0)
        png_set_eXIf_1(e->png, e->info, (png_uint_32)e->exif.length, e->exif.data);
    if (e->xmp != NULL) {
        char key[] = "XML:com.adobe.xmp", none[] = "";
        png_text text = {.compression = PNG_ITXT_COMPRESSION_NONE,
                         .key = key,
                         .text = e->xmp,
                         .text_length = 0,
                         .itxt_length = strlen(e->xmp),
                         .lang = none,
                         .lang_key = none};
        png_set_text(e->png, e->info, &text, 1);
    }
    if (o->resolution_dpi >= 1 && o->resolution_dpi < 1e6) {
        png_uint_32 per_metre = (png_uint_32)(o->resolution_dpi / 0.0254 + 0.5);
        png_set_pHYs(e->png, e->info, per_metre, per_metre, PNG_RESOLUTION_METER);
    }
}

static bool is_bilevel(const struct encoder *e)
{
    return e->options->bitonal && e->sink.format.model == IMAGE_GRAY &&
           e->sink.format.alpha == IMAGE_ALPHA_NONE;
}

static void start(struct encoder *e, const void *argument)
{
    const struct image_format *format = &e->sink.format;
    int type = (format->model == IMAGE_GRAY ? 0 : PNG_COLOR_MASK_COLOR) |
               (format->alpha == IMAGE_ALPHA_NONE ? 0 : PNG_COLOR_MASK_ALPHA);

    (void)argument;
    png_set_write_fn(e->png, e, on_output, on_flush);
    png_set_IHDR(e->png, e->info, e->sink.size.width_px, e->sink.size.height_px, is_bilevel(e) ? 1 : 8, type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    /* Measured on photographs of a megapixel: 60 ms; level 6 takes 200 to 400 ms to be 8 % smaller, all five
     * filters 25 ms more for 1 %. */
    png_set_compression_level(e->png, 2);
    png_set_filter(e->png, PNG_FILTER_TYPE_BASE,
                   is_bilevel(e) ? PNG_FILTER_NONE : PNG_FILTER_SUB | PNG_FILTER_UP);
    set_metadata(e);
    png_write_info(e->png, e->info);
    if (is_bilevel(e))
        png_set_packing(e->png);
}

/* ---- pixels ---- */

static void write_rows(struct encoder *e, const void *argument)
{
    const struct image_band *band = argument;
    uint32_t planes = image_format_planes(&e->sink.format), width = e->sink.size.width_px;

    for (uint32_t y = 0; y < band->height_px; y++) {
        image_encode_interleave(band, y, planes, width, e->row);
        for (uint32_t x = 0; is_bilevel(e) && x < width; x++)
            e->row[x] = e->row[x] >= 128; /* packing takes values, not levels */
        png_write_row(e->png, e->row);
    }
}

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    return guarded((struct encoder *)(void *)sink, write_rows, band, err);
}

static void finish(struct encoder *e, const void *argument)
{
    (void)argument;
    png_write_end(e->png, NULL);
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    return guarded((struct encoder *)(void *)sink, finish, NULL, err);
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    png_destroy_write_struct(&e->png, &e->info);
    bytes_done(&e->exif);
    free(e->xmp);
    free(e->row);
    free(e);
}

static enum rc allocate(struct encoder *e, struct err *err)
{
    const struct image_encode_options *o = e->options;

    e->row = malloc((size_t)e->sink.size.width_px * image_format_planes(&e->sink.format));
    e->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, on_error, on_warning);
    e->info = e->png != NULL ? png_create_info_struct(e->png) : NULL;
    if (e->row == NULL || e->info == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a PNG of %u pixels' width",
                       e->sink.size.width_px);
    /* iTXt is text: a packet with a NUL inside (UTF-16) has no place there. */
    if (image_encode_given(o->xmp) && memchr(o->xmp->data, 0, o->xmp->length) == NULL) {
        e->xmp = strndup((const char *)o->xmp->data, o->xmp->length);
        if (e->xmp == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for %zu bytes of XMP", o->xmp->length);
    }
    return image_encode_given(o->exif) ? image_exif_copy(o->exif, e->sink.size, &e->exif, err) : RC_OK;
}

enum rc image_png_encode_open(const struct image_format *format, struct image_size size,
                              const struct image_encode_options *options, struct bytes *out,
                              struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a PNG");
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->options = options;
    e->out = out;
    e->err = err;
    enum rc rc = allocate(e, err);
    if (rc == RC_OK)
        rc = guarded(e, start, NULL, err);
    if (rc != RC_OK) {
        encoder_close(&e->sink);
        return rc;
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
