/* Encoders of a pyramid's tiles: planes of one tile in, the bytes that a TIFF keeps of it out.
 *
 * JPEG by libjpeg from the planes as they are (jpeg_tile_encode.c); WebP, ZSTD, Deflate and LZW by libtiff,
 * which knows all of them (tiff_tile_encode.c). An encoder is made once per thread and used for tile after
 * tile; the same tile gives the same bytes whatever came before it. Only what lies inside the picture is
 * read; what of a tile lies outside is filled with what takes few bytes. Owns nothing but its own memory; a
 * crash leaves nothing. */
#ifndef WORKER_IMAGE_TILE_ENCODE_H
#define WORKER_IMAGE_TILE_ENCODE_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

enum image_tile_coding {
    IMAGE_TILE_JPEG,
    IMAGE_TILE_WEBP, /* quality 100 is lossless */
    IMAGE_TILE_ZSTD, /* this and the next two: horizontal differencing first */
    IMAGE_TILE_DEFLATE,
    IMAGE_TILE_LZW,
};

struct image_tile_options {
    enum image_tile_coding coding;
    struct image_format
        format; /* JPEG: 8 bits, no alpha, not LAB; WEBP: RGB of 8 bits; the others: not YCBCR, not LAB */
    uint32_t tile_px;       /* edge; a multiple of 16 */
    uint8_t quality;        /* 1 to 100; JPEG, WebP */
    bool restart_intervals; /* JPEG but CMYK, which nobody joins: one per row of MCUs */
};

/* The part of a tile that lies inside the picture, in planes of `format`. */
struct image_tile {
    const uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
    uint32_t width_px, height_px;
};

struct image_tile_encoder {
    const struct image_tile_encoder_ops *ops;
};

struct image_tile_encoder_ops {
    /* Appends the tile's bytes to `out`. */
    RC_MUST_USE enum rc (*encode)(struct image_tile_encoder *encoder, const struct image_tile *tile,
                                  struct bytes *out, struct err *err);
    void (*close)(struct image_tile_encoder *encoder);
};

RC_MUST_USE enum rc image_tile_jpeg_open(const struct image_tile_options *options,
                                         struct image_tile_encoder **ret_encoder, struct err *err);
RC_MUST_USE enum rc image_tile_tiff_open(const struct image_tile_options *options,
                                         struct image_tile_encoder **ret_encoder, struct err *err);

/* Appends what all JPEG tiles of these options share, as TIFF's JPEGTables: a stream of quantisation and
 * Huffman tables. */
RC_MUST_USE enum rc image_tile_jpeg_tables(const struct image_tile_options *options, struct bytes *out,
                                           struct err *err);

static inline void image_tile_encoder_close(struct image_tile_encoder **encoder)
{
    if (*encoder != NULL)
        (*encoder)->ops->close(*encoder);
    *encoder = NULL;
}

#endif
