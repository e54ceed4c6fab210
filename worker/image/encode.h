/* Encoders: sinks at the end of the chain that turn rows into the bytes of a file.
 *
 * One file per library: jpeg_encode.c, png_encode.c, webp_encode.c, tiff_encode.c, gif_encode.c, avif_encode.c. JPEG, PNG
 * and TIFF stream; WebP, GIF and AVIF hold the picture, as their libraries demand. The same input gives the same bytes
 * every time and in every process (no dates, no random names, one thread): answers are repeatable, ETags are strong. */
#ifndef WORKER_IMAGE_ENCODE_H
#define WORKER_IMAGE_ENCODE_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

enum image_file_type {
    IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_TIFF, IMAGE_GIF, IMAGE_AVIF,
};
#define IMAGE_FILE_TYPES 6

/* Bumped whenever any encoder's output changes for the same pixels: part of every ETag and cache key. */
#define IMAGE_ENCODER_VERSION 1u

struct image_encode_options {
    uint8_t jpeg_quality;  /* 1..100 */
    uint8_t webp_quality;  /* 1..100 */
    uint8_t avif_quality;  /* 1..100 */
    bool bitonal;          /* the pixels are only 0 and 255: formats that have one bit use it (PNG, TIFF G4, GIF);
                              JPEG stays one component */
    /* Metadata to embed; NULL or empty: none. Payloads as in struct image_metadata; the encoder wraps them as its format
     * wants, leaves out what the format cannot hold, and resets EXIF's Orientation to 1 and its pixel dimensions
     * to the output's (see exif.h). */
    const struct bytes *icc, *exif, *xmp, *iptc;
    double resolution_dpi; /* 0: not said */
};

/* What the encoder likes best to be given for pixels that are `available` (sRGB): e.g. JPEG takes YCBCR as it comes and
 * drops alpha, GIF wants RGB or GRAY. Always a format reachable by image_resample_run() and image_colour_to_layout(). */
struct image_format image_encode_input(enum image_file_type type, const struct image_format *available);

/* Whether the format can be transparent (png, webp, tif, gif, avif). */
bool image_encode_has_alpha(enum image_file_type type);
/* Largest width or height the file format can hold: JPEG 65,535, WebP 16,383, GIF 65,535, AVIF 65,536, others 2^31-1. */
uint32_t image_encode_max_edge_px(enum image_file_type type);
const char *image_encode_media_type(enum image_file_type type);

/* A sink that appends the encoded file to `out` (complete after finish()). Borrows `out` and what `options` points to until
 * closed. `format` must be one image_encode_input() returned. */
RC_MUST_USE enum rc image_encode_open(enum image_file_type type, const struct image_format *format,
                                      struct image_size size, const struct image_encode_options *options,
                                      struct bytes *out, struct image_sink **ret_sink, struct err *err);

#endif
