/* One TIFF directory understood as a picture: its shape, its pixels' meaning and where its tiles or strips
 * lie.
 *
 * Everything readers rely on is checked here, once, when the source is opened: sizes, counts, combinations of
 * tags that we decode. Immutable afterwards and shared by all readers. */
#ifndef WORKER_IMAGE_TIFF_PICTURE_H
#define WORKER_IMAGE_TIFF_PICTURE_H

#include "worker/image/source.h"
#include "worker/image/tiff_ifd.h"

enum image_tiff_compression {
    TIFF_NONE = 1,
    TIFF_CCITT_RLE = 2,
    TIFF_CCITT_G3 = 3,
    TIFF_CCITT_G4 = 4,
    TIFF_LZW = 5,
    TIFF_OLD_JPEG = 6,
    TIFF_JPEG = 7,
    TIFF_DEFLATE = 8,
    TIFF_CCITT_RLEW = 32771,
    TIFF_PACKBITS = 32773,
    TIFF_OLD_DEFLATE = 32946,
    TIFF_ZSTD = 50000,
    TIFF_WEBP = 50001,
};

/* From a stored sample to one plane. */
struct image_tiff_plane {
    uint8_t sample;        /* which of the pixel's samples */
    bool mapped;           /* up to 8 bits: the value goes through `map` */
    uint16_t flip;         /* 16 bits: the value is XORed with this (polarity; signed to offset) */
    bool is_icc_lightness; /* 16 bits: 0xff00 means full */
    uint8_t map[256];
};

struct image_tiff_picture {
    uint64_t ifd_at;
    struct image_size size;
    struct image_size chunk; /* tile, or full width × rows per strip */
    bool tiled, separate;    /* separate: each sample has chunks of its own */
    bool plain_rows; /* uncompressed whole bytes in usual bit order: rows can be read without libtiff */
    uint16_t compression, photometric, bits, samples;
    uint32_t chunks_across, chunks_down; /* of one sample when separate */
    struct image_tiff_field chunk_at,
        chunk_bytes; /* one entry per chunk; chunk_bytes.count 0: the file does not say */
    struct bytes jpeg_tables;
    struct image_format format; /* what its readers yield */
    struct image_tiff_plane plane[IMAGE_MAX_PLANES];
};

/* Understands `ifd`. RC_UNSUPPORTED with the variant's name, RC_CORRUPT, RC_TOO_LARGE, RC_IO,
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc image_tiff_picture_init(struct image_tiff_picture *picture,
                                            const struct image_tiff_file *file,
                                            const struct image_tiff_ifd *ifd,
                                            const struct image_source_limits *limits, struct err *err);
void image_tiff_picture_done(struct image_tiff_picture *picture);

/* Whether both decode to the same kind of pixels, so that they can be levels of one source. */
bool image_tiff_picture_alike(const struct image_tiff_picture *one, const struct image_tiff_picture *other);

/* The place of `count` chunks in the file, from number `first` on. RC_CORRUPT when one lies outside the file
 * or is empty. */
RC_MUST_USE enum rc image_tiff_picture_chunks(const struct image_tiff_picture *picture,
                                              const struct image_tiff_file *file, uint64_t first,
                                              uint32_t count, uint64_t *ret_at, uint64_t *ret_bytes,
                                              struct err *err);

#endif
