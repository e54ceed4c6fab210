/* Encoders: sinks at the end of the chain that turn rows into the bytes of a file.
 *
 * One file per library: jpeg_encode.c, png_encode.c, webp_encode.c, tiff_encode.c, gif_encode.c,
 * avif_encode.c. JPEG, PNG and TIFF stream; WebP, GIF and AVIF hold the picture, as their libraries demand.
 * The same input gives the same bytes every time and in every process (no dates, no random names, one
 * thread): answers are repeatable, ETags are strong.
 *
 * What they make of 8-bit sRGB:
 *   JPEG  baseline, Huffman tables of the standard. YCBCR goes in as it is, RGB becomes 4:2:0
 *   PNG   gray or RGB with or without alpha, 1 bit for bitonal
 *   WebP  lossy, lossless for bitonal
 *   TIFF  strips, Deflate with horizontal prediction; CCITT G4 for bitonal
 *   GIF   up to 256 colours of its own, one of them transparent where alpha is below half
 *   AVIF  4:2:0, gray as 4:0:0
 * Metadata: ICC in all but GIF; EXIF in JPEG, PNG, WebP and AVIF; XMP in all but GIF; IPTC in JPEG and TIFF.
 * A payload that the format has no room for (65,502 bytes of XMP in a JPEG) is left out. */
#ifndef WORKER_IMAGE_ENCODE_H
#define WORKER_IMAGE_ENCODE_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

enum image_file_type {
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP,
    IMAGE_TIFF,
    IMAGE_GIF,
    IMAGE_AVIF,
};
#define IMAGE_FILE_TYPES 6

/* Bumped whenever any encoder's output changes for the same pixels: part of every ETag and cache key. */
#define IMAGE_ENCODER_VERSION 2u

struct image_encode_options {
    uint8_t jpeg_quality; /* 1..100 */
    uint8_t webp_quality; /* 1..100 */
    uint8_t avif_quality; /* 1..100 */
    bool bitonal; /* the pixels are only 0 and 255: formats that have one bit use it (PNG, TIFF G4, GIF);
                              JPEG stays one component */
    /* Metadata to embed; NULL or empty: none. Payloads as in struct image_metadata; the encoder wraps them as
     * its format wants, leaves out what the format cannot hold, and resets EXIF's Orientation to 1 and its
     * pixel dimensions to the output's (see exif.h). */
    const struct bytes *icc, *exif, *xmp, *iptc;
    double resolution_dpi; /* 0: not said */
};

/* What the encoder likes best to be given for pixels that are `available` (sRGB, GRAY, RGB or YCBCR; always 8
 * bits): GRAY stays GRAY; YCBCR without alpha stays YCBCR for JPEG (4:4:4, 4:2:2, 4:4:0 and 4:2:0 as they
 * are, anything else as 4:2:0), WebP and AVIF (both as 4:2:0), else it is RGB; alpha becomes STRAIGHT, or
 * NONE for JPEG. Always a format reachable by image_resample_run() and image_colour_to_layout(). */
struct image_format image_encode_input(enum image_file_type type, const struct image_format *available);

/* Whether the format can be transparent (png, webp, tif, gif, avif). */
bool image_encode_has_alpha(enum image_file_type type);
/* Largest width or height the file format can hold: JPEG 65,500 (libjpeg's own), WebP 16,383, GIF 65,535,
 * AVIF 16,384 (what libavif decodes by default), PNG 1,000,000 (libpng's own), TIFF 2^31-1. */
uint32_t image_encode_max_edge_px(enum image_file_type type);
const char *image_encode_media_type(enum image_file_type type);

/* Whether the file's bytes never change once they are made: then the caller may take what `out` holds after
 * each write() and leave it empty (JPEG, PNG). */
bool image_encode_streams(enum image_file_type type);

/* A sink that appends the encoded file to `out` (complete after finish()). Borrows `out` and what `options`
 * points to until closed. `format` must be one image_encode_input() returned. */
RC_MUST_USE enum rc image_encode_open(enum image_file_type type, const struct image_format *format,
                                      struct image_size size, const struct image_encode_options *options,
                                      struct bytes *out, struct image_sink **ret_sink, struct err *err);

#endif
