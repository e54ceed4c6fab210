/* libtiff as a compressor: a TIFF of one row of tiles is written to nowhere, and what libtiff would put into
 * the file for each tile is what we want. It knows all of TIFF's codings, and their differencing, in every
 * library's own words. */
#include "worker/image/tile_encode.h"

#include "base/own.h"
#include "worker/image/tiff_failure.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TILES_PER_FILE 4096u /* then a new one is begun: libtiff keeps a list of its tiles */

struct tile_encoder {
    struct image_tile_encoder encoder;
    struct image_tile_options options;
    TIFF *tiff;
    uint32_t next_tile;
    uint64_t position; /* where libtiff believes to be in its file */
    uint64_t end;
    bool keep; /* what is written now is a tile's bytes */
    struct bytes *out;
    struct image_tiff_failure failure;
    uint32_t samples;
    uint8_t *pixels; /* one tile, interleaved */
};

/* ---- libtiff's side ---- */

static tmsize_t file_write(thandle_t handle, void *data, tmsize_t length)
{
    struct tile_encoder *e = handle;

    if (e->keep) {
        e->failure.rc = bytes_append(e->out, data, (size_t)length, e->failure.err);
        if (e->failure.rc != RC_OK)
            return -1;
    }
    e->position += (uint64_t)length;
    if (e->position > e->end)
        e->end = e->position;
    return length;
}

static tmsize_t file_read(thandle_t handle, void *data, tmsize_t length)
{
    (void)handle;
    (void)data;
    (void)length;
    return -1;
}

static toff_t file_seek(thandle_t handle, toff_t offset, int whence)
{
    struct tile_encoder *e = handle;

    e->position = whence == SEEK_END ? e->end + offset : whence == SEEK_CUR ? e->position + offset : offset;
    return e->position;
}

static int file_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t file_size(thandle_t handle)
{
    struct tile_encoder *e = handle;
    return e->end;
}

static bool set_coding(const struct tile_encoder *e)
{
    static const uint16_t compression[] = {[IMAGE_TILE_WEBP] = COMPRESSION_WEBP,
                                           [IMAGE_TILE_ZSTD] = COMPRESSION_ZSTD,
                                           [IMAGE_TILE_DEFLATE] = COMPRESSION_ADOBE_DEFLATE,
                                           [IMAGE_TILE_LZW] = COMPRESSION_LZW};
    enum image_tile_coding coding = e->options.coding;

    if (!TIFFSetField(e->tiff, TIFFTAG_COMPRESSION, compression[coding]))
        return false;
    if (coding != IMAGE_TILE_WEBP)
        return TIFFSetField(e->tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
    if (e->options.quality == 100)
        return TIFFSetField(e->tiff, TIFFTAG_WEBP_LOSSLESS, 1);
    return TIFFSetField(e->tiff, TIFFTAG_WEBP_LEVEL, (int)e->options.quality);
}

static bool set_layout(const struct tile_encoder *e)
{
    const struct image_format *format = &e->options.format;
    uint16_t extra[1] = {EXTRASAMPLE_UNASSALPHA};
    TIFF *t = e->tiff;
    bool ok = TIFFSetField(t, TIFFTAG_IMAGEWIDTH, e->options.tile_px * TILES_PER_FILE);

    ok = ok && TIFFSetField(t, TIFFTAG_IMAGELENGTH, e->options.tile_px);
    ok = ok && TIFFSetField(t, TIFFTAG_TILEWIDTH, e->options.tile_px);
    ok = ok && TIFFSetField(t, TIFFTAG_TILELENGTH, e->options.tile_px);
    ok = ok && TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, e->samples);
    ok = ok && TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, format->depth_bits);
    ok = ok && TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    ok = ok && TIFFSetField(t, TIFFTAG_PHOTOMETRIC,
                            format->model == IMAGE_GRAY   ? PHOTOMETRIC_MINISBLACK
                            : format->model == IMAGE_CMYK ? PHOTOMETRIC_SEPARATED
                                                          : PHOTOMETRIC_RGB);
    if (format->alpha != IMAGE_ALPHA_NONE)
        ok = ok && TIFFSetField(t, TIFFTAG_EXTRASAMPLES, 1, extra);
    return ok && set_coding(e);
}

static void forget(struct tile_encoder *e)
{
    e->failure.err = NULL;
    e->keep = false;
    if (e->tiff != NULL)
        TIFFCleanup(e->tiff); /* writes nothing more */
    e->tiff = NULL;
}

static enum rc begin(struct tile_encoder *e, struct err *err)
{
    forget(e);
    TIFFOpenOptions *how = image_tiff_failure_options(&e->failure);

    e->failure.err = err;
    if (how == NULL)
        return image_tiff_failure_rc(&e->failure, "no memory to compress tiles");
    e->position = e->end = 0;
    e->next_tile = 0;
    /* little-endian on every machine, BigTIFF for room without end; no mapping */
    e->tiff = TIFFClientOpenExt("tiles", "wl8m", e, file_read, file_write, file_seek, file_close, file_size,
                                NULL, NULL, how);
    TIFFOpenOptionsFree(how);
    return e->tiff != NULL && set_layout(e)
               ? RC_OK
               : image_tiff_failure_rc(&e->failure, "no memory to compress tiles");
}

/* ---- a tile ---- */

/* Lays the planes side by side pixel by pixel, and repeats the last column and row. */
static void interleave(struct tile_encoder *e, const struct image_tile *tile)
{
    uint32_t edge = e->options.tile_px, sample_bytes = e->options.format.depth_bits / 8u;
    size_t pixel_bytes = (size_t)e->samples * sample_bytes, row_bytes = pixel_bytes * edge;

    for (uint32_t y = 0; y < edge; y++) {
        uint8_t *row = e->pixels + y * row_bytes;
        if (y >= tile->height_px) {
            memcpy(row, row - row_bytes, row_bytes);
            continue;
        }
        for (uint32_t s = 0; s < e->samples; s++) {
            const uint8_t *from = tile->plane[s] + y * tile->stride_bytes[s];
            uint8_t *to = row + s * sample_bytes;
            if (sample_bytes == 1)
                for (uint32_t x = 0; x < tile->width_px; x++)
                    to[x * pixel_bytes] = from[x];
            else
                for (uint32_t x = 0; x < tile->width_px; x++)
                    memcpy(to + x * pixel_bytes, from + x * 2, 2);
        }
        for (uint32_t x = tile->width_px; x < edge; x++)
            memcpy(row + x * pixel_bytes, row + (x - 1) * pixel_bytes, pixel_bytes);
    }
}

static enum rc tile_encode(struct image_tile_encoder *encoder, const struct image_tile *tile,
                           struct bytes *out, struct err *err)
{
    struct tile_encoder *e = (struct tile_encoder *)(void *)encoder;
    tmsize_t length = (tmsize_t)e->options.tile_px * e->options.tile_px * (tmsize_t)e->samples *
                      (e->options.format.depth_bits / 8);
    size_t start = out->length;

    e->failure.err = err;
    e->failure.rc = RC_OK;
    if (e->tiff == NULL || e->next_tile == TILES_PER_FILE) {
        enum rc rc = begin(e, err);
        if (rc != RC_OK)
            return rc;
    }
    interleave(e, tile);
    e->out = out;
    e->keep = true;
    bool ok = TIFFWriteEncodedTile(e->tiff, e->next_tile++, e->pixels, length) == length &&
              e->failure.rc == RC_OK;
    e->keep = false;
    if (ok)
        return RC_OK;
    out->length = start;
    return image_tiff_failure_rc(&e->failure, "no memory to compress tiles");
}

static void tile_close(struct image_tile_encoder *encoder)
{
    struct tile_encoder *e = (struct tile_encoder *)(void *)encoder;

    forget(e);
    free(e->pixels);
    free(e);
}

enum rc image_tile_tiff_open(const struct image_tile_options *options,
                             struct image_tile_encoder **ret_encoder, struct err *err)
{
    static const struct image_tile_encoder_ops ops = {tile_encode, tile_close};
    struct tile_encoder *e = calloc(1, sizeof *e);

    assert(options->coding != IMAGE_TILE_JPEG && options->format.model != IMAGE_YCBCR &&
           options->format.model != IMAGE_LAB);
    if (e == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to compress tiles");
    e->encoder.ops = &ops;
    e->options = *options;
    e->failure.what = "a tile cannot be compressed";
    e->samples = image_format_planes(&options->format);
    e->pixels = malloc((size_t)options->tile_px * options->tile_px * e->samples *
                       (options->format.depth_bits / 8u));
    if (e->pixels == NULL) {
        tile_close(&e->encoder);
        return err_set(err, RC_NO_MEMORY, "no memory to compress tiles");
    }
    *ret_encoder = &e->encoder;
    return RC_OK;
}
