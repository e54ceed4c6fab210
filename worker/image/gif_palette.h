/* Up to 256 colours that stand for all of a picture: exactly its own where it has no more, else those of a
 * median cut. Used by gif_encode.c; no dithering, no randomness. Owned by whoever declares it. */
#ifndef WORKER_IMAGE_GIF_PALETTE_H
#define WORKER_IMAGE_GIF_PALETTE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_GIF_SLOTS 1024u  /* of the table of exact colours: four times as many as are ever used */
#define IMAGE_GIF_BINS  32768u /* five bits of each channel */

struct image_gif_palette {
    uint8_t colour[256][3];
    uint32_t count;
    uint32_t most; /* colours allowed */
    bool exact;
    struct {
        uint32_t colour;         /* 0xrrggbb */
        uint16_t index_plus_one; /* 0: empty */
    } slot[IMAGE_GIF_SLOTS];
    struct image_gif_bin *bin; /* IMAGE_GIF_BINS; NULL as long as the colours are exact */
    uint8_t *index_of_bin;
};

/* `most` is 2..256. */
void image_gif_palette_init(struct image_gif_palette *palette, uint32_t most);
void image_gif_palette_done(struct image_gif_palette *palette);

/* Counts a row; where alpha is given and below half, the pixel has no colour. Rows must be counted again from
 * the first one when this sets *ret_again: the colours have become too many to be exact. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_gif_palette_count(struct image_gif_palette *palette, const uint8_t *red,
                                            const uint8_t *green, const uint8_t *blue, const uint8_t *alpha,
                                            uint32_t width_px, bool *ret_again, struct err *err);
/* After all rows: chooses the colours. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_gif_palette_choose(struct image_gif_palette *palette, struct err *err);
/* The index of a colour that was counted. */
uint8_t image_gif_palette_index(const struct image_gif_palette *palette, uint8_t red, uint8_t green,
                                uint8_t blue);

#endif
