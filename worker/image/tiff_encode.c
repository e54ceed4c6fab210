#include "worker/image/encoders.h"

#include "base/own.h"
#include "worker/image/exif.h"
#include "worker/image/tiff_failure.h"

#include <stdio.h>
#include <string.h>

#define STRIP_BYTES ((size_t)256 << 10) /* pixels per strip: enough for Deflate, little to hold */

struct encoder {
    struct image_sink sink;
    const struct image_encode_options *options;
    struct bytes *out;
    size_t start;      /* where in `out` the file begins */
    uint64_t position; /* libtiff's, in the file */
    TIFF *tiff;
    struct image_tiff_failure failure;
    bool bilevel;
    uint8_t *strip;
    size_t row_bytes;
    uint32_t strip_rows, held_rows, strips;
};

/* ---- libtiff's side: a file in memory ---- */

static tmsize_t file_write(thandle_t handle, void *data, tmsize_t length)
{
    struct encoder *e = handle;
    uint64_t end = e->position + (uint64_t)length, held = e->out->length - e->start;

    if (end > held) {
        enum rc rc = bytes_reserve(e->out, end - held, e->failure.err);
        if (rc != RC_OK) {
            e->failure.rc = rc;
            return -1;
        }
        memset(e->out->data + e->out->length, 0, end - held);
        e->out->length = e->start + end;
    }
    memcpy(e->out->data + e->start + e->position, data, (size_t)length);
    e->position = end;
    return length;
}

static tmsize_t file_read(thandle_t handle, void *data, tmsize_t length)
{
    struct encoder *e = handle;
    uint64_t held = e->out->length - e->start;

    if (e->position >= held || (uint64_t)length > held - e->position)
        return 0;
    memcpy(data, e->out->data + e->start + e->position, (size_t)length);
    e->position += (uint64_t)length;
    return length;
}

static toff_t file_seek(thandle_t handle, toff_t offset, int whence)
{
    struct encoder *e = handle;

    if (whence == SEEK_END)
        offset += e->out->length - e->start;
    else if (whence == SEEK_CUR)
        offset += e->position;
    e->position = offset;
    return offset;
}

static int file_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t file_size(thandle_t handle)
{
    struct encoder *e = handle;
    return e->out->length - e->start;
}

/* ---- header ---- */

static bool set_layout(struct encoder *e)
{
    const struct image_format *format = &e->sink.format;
    uint16_t extra[1] = {EXTRASAMPLE_UNASSALPHA};
    bool gray = format->model == IMAGE_GRAY, alpha = format->alpha != IMAGE_ALPHA_NONE, ok = true;
    TIFF *t = e->tiff;

    ok = ok && TIFFSetField(t, TIFFTAG_IMAGEWIDTH, e->sink.size.width_px);
    ok = ok && TIFFSetField(t, TIFFTAG_IMAGELENGTH, e->sink.size.height_px);
    ok = ok && TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, image_format_planes(format));
    ok = ok && TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, e->bilevel ? 1 : 8);
    ok = ok && TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    ok = ok && TIFFSetField(t, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    ok = ok && TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, e->strip_rows);
    ok = ok &&
         TIFFSetField(t, TIFFTAG_COMPRESSION, e->bilevel ? COMPRESSION_CCITTFAX4 : COMPRESSION_ADOBE_DEFLATE);
    if (!e->bilevel) {
        ok = ok && TIFFSetField(t, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
        ok = ok &&
             TIFFSetField(t, TIFFTAG_ZIPQUALITY, 1); /* a megapixel in 25 ms; level 4: 50 ms, 3 % less */
    }
    /* Fax coding is made for black on white: what is 1 is black. */
    ok = ok && TIFFSetField(t, TIFFTAG_PHOTOMETRIC,
                            e->bilevel ? PHOTOMETRIC_MINISWHITE
                            : gray     ? PHOTOMETRIC_MINISBLACK
                                       : PHOTOMETRIC_RGB);
    if (alpha)
        ok = ok && TIFFSetField(t, TIFFTAG_EXTRASAMPLES, 1, extra);
    if (e->options->resolution_dpi > 0) {
        ok = ok && TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
        ok = ok && TIFFSetField(t, TIFFTAG_XRESOLUTION, e->options->resolution_dpi);
        ok = ok && TIFFSetField(t, TIFFTAG_YRESOLUTION, e->options->resolution_dpi);
    }
    return ok;
}

/* EXIF's camera and GPS directories lie before the pixels; the main directory, written last, links them. */
static bool set_exif_part(struct encoder *e, enum image_exif_part part, uint32_t link_tag)
{
    uint64_t offset = e->out->length - e->start;
    if (image_exif_directory(e->options->exif, part, e->sink.size, (uint32_t)offset, e->out,
                             e->failure.err) != RC_OK)
        return false;
    return e->out->length - e->start == offset || TIFFSetField(e->tiff, link_tag, offset);
}

static bool set_exif(struct encoder *e)
{
    static const uint32_t described[] = {TIFFTAG_IMAGEDESCRIPTION, TIFFTAG_MAKE,     TIFFTAG_MODEL,
                                         TIFFTAG_SOFTWARE,         TIFFTAG_DATETIME, TIFFTAG_ARTIST,
                                         TIFFTAG_HOSTCOMPUTER,     TIFFTAG_COPYRIGHT};
    const char *text;
    size_t length;
    for (size_t i = 0; i < sizeof described / sizeof described[0]; i++) {
        if (!image_exif_text(e->options->exif, described[i], &text, &length))
            continue;
        OWN_FREE char *copy = strndup(text, length);
        if (copy == NULL || !TIFFSetField(e->tiff, described[i], copy))
            return false;
    }
    return set_exif_part(e, IMAGE_EXIF_CAMERA, TIFFTAG_EXIFIFD) &&
           set_exif_part(e, IMAGE_EXIF_GPS, TIFFTAG_GPSIFD);
}

static bool set_metadata(struct encoder *e)
{
    const struct image_encode_options *o = e->options;
    bool ok = true;

    if (image_encode_given(o->icc))
        ok = ok && TIFFSetField(e->tiff, TIFFTAG_ICCPROFILE, (uint32_t)o->icc->length, o->icc->data);
    if (image_encode_given(o->xmp))
        ok = ok && TIFFSetField(e->tiff, TIFFTAG_XMLPACKET, (uint32_t)o->xmp->length, o->xmp->data);
    if (image_encode_given(o->iptc))
        ok = ok && TIFFSetField(e->tiff, TIFFTAG_RICHTIFFIPTC, (uint32_t)o->iptc->length, o->iptc->data);
    if (image_encode_given(o->exif))
        ok = ok && set_exif(e);
    return ok;
}

/* ---- pixels ---- */

static void pack_bits(const uint8_t *from, uint32_t width, uint8_t *to, size_t row_bytes)
{
    memset(to, 0, row_bytes);
    for (uint32_t x = 0; x < width; x++)
        if (from[x] < 128)
            to[x / 8] = (uint8_t)(to[x / 8] | 0x80 >> x % 8);
}

static enum rc flush_strip(struct encoder *e)
{
    tmsize_t length = (tmsize_t)(e->held_rows * e->row_bytes);

    if (TIFFWriteEncodedStrip(e->tiff, e->strips, e->strip, length) != length)
        return image_tiff_failure_rc(&e->failure, "a strip of a TIFF cannot be written");
    e->strips++;
    e->held_rows = 0;
    return RC_OK;
}

static enum rc encoder_write(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    uint32_t planes = image_format_planes(&sink->format), width = sink->size.width_px;
    enum rc rc = RC_OK;

    e->failure.err = err;
    for (uint32_t y = 0; rc == RC_OK && y < band->height_px; y++) {
        uint8_t *to = e->strip + e->held_rows * e->row_bytes;
        if (e->bilevel)
            pack_bits(band->plane[0] + y * band->stride_bytes[0], width, to, e->row_bytes);
        else
            image_encode_interleave(band, y, planes, width, to);
        if (++e->held_rows == e->strip_rows)
            rc = flush_strip(e);
    }
    return rc;
}

static enum rc encoder_finish(struct image_sink *sink, struct err *err)
{
    struct encoder *e = (struct encoder *)(void *)sink;
    enum rc rc = RC_OK;

    e->failure.err = err;
    if (e->held_rows > 0)
        rc = flush_strip(e);
    if (rc == RC_OK && (!TIFFWriteDirectory(e->tiff) || e->failure.rc != RC_OK))
        rc = image_tiff_failure_rc(&e->failure, "the directory of a TIFF cannot be written");
    return rc;
}

static void encoder_close(struct image_sink *sink)
{
    struct encoder *e = (struct encoder *)(void *)sink;

    e->failure.err = NULL; /* what closing flushes after a failure concerns nobody */
    if (e->tiff != NULL)
        TIFFClose(e->tiff);
    free(e->strip);
    free(e);
}

static enum rc begin(struct encoder *e)
{
    TIFFOpenOptions *how = image_tiff_failure_options(&e->failure);

    if (how == NULL)
        return err_set(e->failure.err, RC_NO_MEMORY, "no memory to write a TIFF");
    /* little-endian on every machine; no mapping */
    e->tiff = TIFFClientOpenExt("derivative", "wlm", e, file_read, file_write, file_seek, file_close,
                                file_size, NULL, NULL, how);
    TIFFOpenOptionsFree(how);
    if (e->tiff == NULL || !set_layout(e) || !set_metadata(e))
        return image_tiff_failure_rc(&e->failure, "no memory to write a TIFF");
    return RC_OK;
}

enum rc image_tiff_encode_open(const struct image_format *format, struct image_size size,
                               const struct image_encode_options *options, struct bytes *out,
                               struct image_sink **ret_sink, struct err *err)
{
    static const struct image_sink_ops ops = {encoder_write, encoder_finish, encoder_close};
    struct encoder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to write a TIFF");
    e->sink = (struct image_sink){.ops = &ops, .format = *format, .size = size};
    e->options = options;
    e->out = out;
    e->start = out->length;
    e->failure = (struct image_tiff_failure){.what = "the picture cannot be written as TIFF", .err = err};
    e->bilevel = options->bitonal && format->model == IMAGE_GRAY && format->alpha == IMAGE_ALPHA_NONE;
    e->row_bytes = e->bilevel ? ((size_t)size.width_px + 7) / 8
                              : (size_t)size.width_px * image_format_planes(format);
    size_t rows = STRIP_BYTES / e->row_bytes;
    e->strip_rows = rows == 0 ? 1 : rows > size.height_px ? size.height_px : (uint32_t)rows;
    e->strip = malloc(e->row_bytes * e->strip_rows);
    enum rc rc = e->strip != NULL ? begin(e) : err_set(err, RC_NO_MEMORY, "no memory to write a TIFF");
    if (rc != RC_OK) {
        encoder_close(&e->sink);
        return rc;
    }
    *ret_sink = &e->sink;
    return RC_OK;
}
