/* What encode.c and the encoders, one per library, share. For nobody else. */
#ifndef WORKER_IMAGE_ENCODERS_H
#define WORKER_IMAGE_ENCODERS_H

#include "worker/image/encode.h"

/* As image_encode_open() for one type. */
typedef enum rc image_encoder_open(const struct image_format *format, struct image_size size,
                                   const struct image_encode_options *options, struct bytes *out,
                                   struct image_sink **ret_sink, struct err *err);

image_encoder_open image_jpeg_encode_open, image_png_encode_open, image_webp_encode_open,
    image_tiff_encode_open, image_gif_encode_open, image_avif_encode_open;

static inline bool image_encode_given(const struct bytes *payload)
{
    return payload != NULL && payload->length > 0;
}

/* Row `row` of `band` as pixel after pixel: `width_px` times the samples of `planes` planes. */
void image_encode_interleave(const struct image_band *band, uint32_t row, uint32_t planes, uint32_t width_px,
                             uint8_t *to);

#endif
