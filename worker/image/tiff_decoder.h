/* libtiff, as the decoder of compressed tiles and strips. Not for JPEG (see tiff_jpeg_reader.c).
 *
 * Every decoder has a handle of its own (libtiff's are not for several threads) on the shared descriptor,
 * read with pread(). libtiff's messages become the error's sentence and are never printed. One reader, one
 * thread. */
#ifndef WORKER_IMAGE_TIFF_DECODER_H
#define WORKER_IMAGE_TIFF_DECODER_H

#include "worker/image/tiff_picture.h"

struct image_tiff_decoder;

/* Opens the directory of `picture`. RC_CORRUPT when libtiff does not see there what we saw; RC_NO_MEMORY. */
RC_MUST_USE enum rc image_tiff_decoder_open(const struct image_tiff_file *file,
                                            const struct image_tiff_picture *picture,
                                            uint64_t max_decode_bytes,
                                            struct image_tiff_decoder **ret_decoder, struct err *err);
void image_tiff_decoder_close(struct image_tiff_decoder **decoder);

/* Decodes tile or strip `number` into exactly `length` bytes. RC_CORRUPT, RC_IO. */
RC_MUST_USE enum rc image_tiff_decoder_chunk(struct image_tiff_decoder *decoder, uint64_t number,
                                             uint8_t *data, size_t length, struct err *err);

/* Decodes a row of sample `sample` (0 unless separate) of a picture in strips, into image_tiff_row_bytes()
 * bytes. Rows are asked for in order, beginning with the first of any strip; one decoder serves one
 * sample. */
RC_MUST_USE enum rc image_tiff_decoder_row(struct image_tiff_decoder *decoder, uint32_t y_px, unsigned sample,
                                           uint8_t *data, struct err *err);

#endif
