/* Samples made 16 bits deep for resampling, and back: for sources that have 16, and where straight alpha
 * weighs colours, which are multiplied by it on the way. Pure; a row at a time. */
#ifndef WORKER_IMAGE_RESAMPLE_DEEP_H
#define WORKER_IMAGE_RESAMPLE_DEEP_H

#include <stddef.h>
#include <stdint.h>

/* `from` and `alpha` (NULL: not weighed) are rows of `depth_bits`, 8 or 16. */
void image_resample_deepen(const uint8_t *from, const uint8_t *alpha, uint32_t width, uint8_t depth_bits,
                           uint16_t *to);
/* `to` gets `depth_bits`; `alpha` (NULL: not weighed) is what the colours are divided by. */
void image_resample_undeepen(const uint16_t *from, const uint16_t *alpha, uint32_t width, uint8_t depth_bits,
                             uint8_t *to);

#endif
