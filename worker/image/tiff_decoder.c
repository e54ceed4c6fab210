#include "worker/image/tiff_decoder.h"

#include "base/own.h"
#include "worker/image/tiff_unpack.h"

#include <stdio.h>
#include <string.h>

#include <tiffio.h>

struct image_tiff_decoder {
    TIFF *tiff;
    const struct image_tiff_file *file;
    const struct image_tiff_picture *picture;
    uint64_t position;
    struct err failure; /* why the last read failed; rc RC_OK: it did not */
    char message[160];  /* libtiff's first complaint since the last call; empty: none */
};

/* --- libtiff's call-backs ------------------------------------------------------------------------------------- */

static tmsize_t tiff_on_read(thandle_t handle, void *data, tmsize_t length)
{
    struct image_tiff_decoder *decoder = handle;
    uint64_t size = decoder->file->file_bytes, left = decoder->position < size ? size - decoder->position : 0;
    if (length < 0 || (uint64_t)length > left)
        length = (tmsize_t)left; /* the file is shorter than libtiff was told: it complains itself */
    if (image_blob_read(decoder->file->blob, data, (size_t)length, decoder->position, &decoder->failure) !=
        RC_OK)
        return -1;
    decoder->position += (uint64_t)length;
    return length;
}

static tmsize_t tiff_on_write(thandle_t handle, void *data, tmsize_t length)
{
    (void)handle;
    (void)data;
    (void)length;
    return -1;
}

static toff_t tiff_on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct image_tiff_decoder *decoder = handle;
    uint64_t from = whence == SEEK_SET   ? 0
                    : whence == SEEK_CUR ? decoder->position
                                         : decoder->file->file_bytes;
    if (offset > (uint64_t)INT64_MAX - from)
        return (toff_t)-1;
    decoder->position = from + offset;
    return decoder->position;
}

static int tiff_on_close(thandle_t handle)
{
    (void)handle; /* the descriptor is the source's */
    return 0;
}

static toff_t tiff_on_size(thandle_t handle)
{
    const struct image_tiff_decoder *decoder = handle;
    return decoder->file->file_bytes;
}

__attribute__((format(printf, 4, 0))) static int tiff_on_error(TIFF *tiff, void *user_data,
                                                               const char *module, const char *format,
                                                               va_list args)
{
    struct image_tiff_decoder *decoder = user_data;
    (void)tiff;
    (void)module;
    if (decoder->message[0] == '\0')
        vsnprintf(decoder->message, sizeof decoder->message, format, args);
    return 1;
}

/* Of the warnings only this one is about pixels that are not there. */
__attribute__((format(printf, 4, 0))) static int tiff_on_warning(TIFF *tiff, void *user_data,
                                                                 const char *module, const char *format,
                                                                 va_list args)
{
    if (strncmp(format, "Premature EOF", 13) == 0)
        return tiff_on_error(tiff, user_data, module, format, args);
    return 1;
}

/* --- opening -------------------------------------------------------------------------------------------------- */

static enum rc tiff_open(struct image_tiff_decoder *decoder, uint64_t max_decode_bytes, struct err *err)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (options == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a TIFF decoder");
    uint64_t most = max_decode_bytes < INT64_MAX ? max_decode_bytes : INT64_MAX;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)most);
    TIFFOpenOptionsSetErrorHandlerExtR(options, tiff_on_error, decoder);
    TIFFOpenOptionsSetWarningHandlerExtR(options, tiff_on_warning, decoder);
    /* h: no directory yet; m: no mapping; c: strips as they are; O: tile positions one by one, as needed */
    decoder->tiff = TIFFClientOpenExt("the source", "rhmcO", decoder, tiff_on_read, tiff_on_write,
                                      tiff_on_seek, tiff_on_close, tiff_on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    bool opened = decoder->tiff != NULL && TIFFSetSubDirectory(decoder->tiff, decoder->picture->ifd_at);
    if (decoder->failure.rc != RC_OK) {
        if (err != NULL)
            *err = decoder->failure;
        return decoder->failure.rc;
    }
    if (!opened)
        return err_set(err, RC_CORRUPT, "the TIFF cannot be decoded: %s", decoder->message);
    return RC_OK;
}

/* Buffer sizes come from our reading of the directory, so libtiff's must be the same. */
static bool tiff_agrees(const struct image_tiff_decoder *decoder)
{
    const struct image_tiff_picture *picture = decoder->picture;
    TIFF *tiff = decoder->tiff;
    uint32_t width = 0, height = 0, chunk_width = 0, chunk_height = 0;
    uint16_t bits = 0, samples = 0, compression = 0, planar = 0, sub_x = 1, sub_y = 1;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
    if (picture->format.model == IMAGE_YCBCR)
        TIFFGetFieldDefaulted(tiff, TIFFTAG_YCBCRSUBSAMPLING, &sub_x, &sub_y);
    if (picture->tiled) {
        TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &chunk_width);
        TIFFGetField(tiff, TIFFTAG_TILELENGTH, &chunk_height);
    } else {
        chunk_width = width;
        TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &chunk_height);
        chunk_height = chunk_height > height ? height : chunk_height;
    }
    return width == picture->size.width_px && height == picture->size.height_px &&
           (TIFFIsTiled(tiff) != 0) == picture->tiled && chunk_width == picture->chunk.width_px &&
           chunk_height == picture->chunk.height_px && bits == picture->bits && samples == picture->samples &&
           compression == picture->compression &&
           (planar == PLANARCONFIG_SEPARATE && samples > 1) == picture->separate &&
           sub_x == 1u << picture->format.sub_x_log2 && sub_y == 1u << picture->format.sub_y_log2;
}

enum rc image_tiff_decoder_open(const struct image_tiff_file *file, const struct image_tiff_picture *picture,
                                uint64_t max_decode_bytes, struct image_tiff_decoder **ret_decoder,
                                struct err *err)
{
    OWN(image_tiff_decoder_close) struct image_tiff_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a TIFF decoder");
    decoder->file = file;
    decoder->picture = picture;
    enum rc rc = tiff_open(decoder, max_decode_bytes, err);
    if (rc != RC_OK)
        return rc;
    if (!tiff_agrees(decoder))
        return err_set(err, RC_CORRUPT, "the TIFF's directory contradicts itself");
    *ret_decoder = TAKE_PTR(decoder);
    return RC_OK;
}

void image_tiff_decoder_close(struct image_tiff_decoder **decoder)
{
    if (*decoder != NULL && (*decoder)->tiff != NULL)
        TIFFClose((*decoder)->tiff);
    free(*decoder);
    *decoder = NULL;
}

/* --- decoding ------------------------------------------------------------------------------------------------- */

static void tiff_before(struct image_tiff_decoder *decoder)
{
    decoder->failure.rc = RC_OK;
    decoder->message[0] = '\0';
}

/* libtiff complains about some damage and yet reports success; a complaint counts. */
static enum rc tiff_after(const struct image_tiff_decoder *decoder, bool success, const char *what,
                          uint64_t number, struct err *err)
{
    if (decoder->failure.rc != RC_OK) {
        if (err != NULL)
            *err = decoder->failure;
        return decoder->failure.rc;
    }
    if (success && decoder->message[0] == '\0')
        return RC_OK;
    return err_set(err, RC_CORRUPT, "%s %llu of the TIFF cannot be decoded: %s", what,
                   (unsigned long long)number,
                   decoder->message[0] != '\0' ? decoder->message : "it is too short");
}

enum rc image_tiff_decoder_chunk(struct image_tiff_decoder *decoder, uint64_t number, uint8_t *data,
                                 size_t length, struct err *err)
{
    tiff_before(decoder);
    bool tiled = decoder->picture->tiled;
    tmsize_t n = number > UINT32_MAX ? -1
                 : tiled ? TIFFReadEncodedTile(decoder->tiff, (uint32_t)number, data, (tmsize_t)length)
                         : TIFFReadEncodedStrip(decoder->tiff, (uint32_t)number, data, (tmsize_t)length);
    return tiff_after(decoder, n == (tmsize_t)length, tiled ? "tile" : "strip", number, err);
}

enum rc image_tiff_decoder_row(struct image_tiff_decoder *decoder, uint32_t y_px, unsigned sample,
                               uint8_t *data, struct err *err)
{
    tiff_before(decoder);
    bool success = (size_t)TIFFScanlineSize64(decoder->tiff) ==
                       image_tiff_row_bytes(decoder->picture, decoder->picture->size.width_px) &&
                   TIFFReadScanline(decoder->tiff, data, y_px, (uint16_t)sample) == 1;
    return tiff_after(decoder, success, "row", y_px, err);
}
