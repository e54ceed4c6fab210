/* JPEG streams to planes: the reading half of libjpeg, for plain files and for the tiles of a TIFF alike.
 *
 * What is coded as YCbCr or gray leaves as it is coded: planar, chroma subsampled, no colour conversion.
 * Decoding at 1/2, 1/4 or 1/8 takes the corresponding part of each block's frequencies. A stream that is
 * damaged where pixels come from is an error, never gray filling. One decoder belongs to one reader and so to
 * one thread at a time. */
#ifndef WORKER_IMAGE_JPEG_DECODE_H
#define WORKER_IMAGE_JPEG_DECODE_H

#include "base/bytes.h"
#include "worker/image/blob.h"
#include "worker/image/pixels.h"

struct image_jpeg; /* the decoder */

/* Where a stream lies: in memory, or as part of a file. Borrowed while the decoder works on it. */
struct image_jpeg_input {
    const uint8_t *memory; /* NULL: in the blob */
    struct image_blob *blob;
    uint64_t offset, length; /* of the blob; for memory only the length counts */
    bool is_wanted_whole;    /* all of it is going to be decoded: it is read at once, unless it is huge */
    char subject[48];        /* what errors call it: "tile 17 of level 0" */
};

enum image_jpeg_coding {
    IMAGE_JPEG_GRAY,
    IMAGE_JPEG_YCBCR,
    IMAGE_JPEG_RGB,
    IMAGE_JPEG_CMYK,
    IMAGE_JPEG_YCCK,
    IMAGE_JPEG_UNKNOWN,
};

/* What the stream's header says, as plain JPEG files are to be understood (JFIF, Adobe marker, component
 * names). */
struct image_jpeg_frame {
    struct image_size size;
    enum image_jpeg_coding coding;
    uint8_t components;             /* 1 to 4 */
    bool planes;                    /* can be decoded as IMAGE_JPEG_PLANES */
    uint8_t sub_x_log2, sub_y_log2; /* of components 2 and 3, if `planes` */
};

enum image_jpeg_output {
    IMAGE_JPEG_PLANES,  /* the components as coded; needs frame.planes */
    IMAGE_JPEG_TO_RGB,  /* libjpeg upsamples and converts to three full planes */
    IMAGE_JPEG_TO_CMYK, /* the same to four, 0 is no ink (Adobe's inversion undone) */
};

RC_MUST_USE enum rc image_jpeg_new(struct image_jpeg **ret_jpeg, struct err *err);
void image_jpeg_free(struct image_jpeg **jpeg);

/* Reads the header of a stream and forgets whatever was decoded before. `tables` (may be empty) is a
 * tables-only stream that comes first, as in TIFF's JPEGTables; the one of the call before is not read again.
 * RC_CORRUPT, RC_UNSUPPORTED, RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_jpeg_begin(struct image_jpeg *jpeg, const struct bytes *tables,
                                     const struct image_jpeg_input *input, struct image_jpeg_frame *ret_frame,
                                     struct err *err);

/* Starts decoding what image_jpeg_begin() found, at 1/2^shrink_log2 (0 to 3): the size becomes ceil(size /
 * 2^n). A shrunk picture may have less subsampled chroma than the stored one, since libjpeg then leaves
 * chroma larger: *ret_sub_x_log2 and *ret_sub_y_log2 say what comes. A progressive stream has to be held as a
 * whole: RC_TOO_LARGE when that takes more than `most_bytes`. */
RC_MUST_USE enum rc image_jpeg_start(struct image_jpeg *jpeg, enum image_jpeg_output output,
                                     unsigned shrink_log2, uint64_t most_bytes, uint8_t *ret_sub_x_log2,
                                     uint8_t *ret_sub_y_log2, struct err *err);

/* The next rows of the whole picture, top to bottom: a row of MCUs. Valid until the next call. Not to be
 * called after the last row, nor after a failure. */
RC_MUST_USE enum rc image_jpeg_rows(struct image_jpeg *jpeg, struct image_band *ret_band, struct err *err);

/* The same into memory of the caller's: `to` has a place for each component of the stream, or NULL for those
 * that are not wanted, which cost less. Rows are as wide as whole blocks, and as many as
 * image_jpeg_rows_at_once() says, or what of them chroma has. Needs IMAGE_JPEG_PLANES. */
struct image_jpeg_place {
    uint8_t *plane[IMAGE_MAX_PLANES];
    size_t stride_bytes[IMAGE_MAX_PLANES];
};
#define IMAGE_JPEG_MOST_ROWS_AT_ONCE 32u
uint32_t image_jpeg_rows_at_once(const struct image_jpeg *jpeg);
RC_MUST_USE enum rc image_jpeg_rows_to(struct image_jpeg *jpeg, const struct image_jpeg_place *to,
                                       struct err *err);

/* Goes over rows that nobody wants, as far as that costs less: none at or below `until_px`. */
RC_MUST_USE enum rc image_jpeg_skip_rows(struct image_jpeg *jpeg, uint32_t until_px, struct err *err);

/* The chroma subsampling that image_jpeg_start() will report for planes. */
void image_jpeg_shrunk_subsampling(unsigned shrink_log2, uint8_t *sub_x_log2, uint8_t *sub_y_log2);

#endif
