/* Turning and mirroring: the stored Orientation and the request's rotation, as one step.
 *
 * Every combination of Orientation, mirroring and quarter turns is one of the eight symmetries of the
 * rectangle. Identity costs nothing, a left-right mirror is done row by row; the other six hold the picture
 * until its last row has come. Free angles hold it too. Pixels are 8 bits here: resampling and colour come
 * before. */
#ifndef WORKER_IMAGE_ROTATE_H
#define WORKER_IMAGE_ROTATE_H

#include "worker/image/pixels.h"

/* First mirror left-right, then turn clockwise by quarter turns. */
struct image_symmetry {
    bool mirror;
    uint8_t quarter_turns; /* 0..3 */
};

/* What brings pixels stored with this Orientation (1..8) upright. */
struct image_symmetry image_symmetry_of_orientation(uint8_t orientation);
/* `first`, then `second`. */
struct image_symmetry image_symmetry_then(struct image_symmetry first, struct image_symmetry second);
/* The size of `size` after `symmetry`. */
struct image_size image_symmetry_size(struct image_symmetry symmetry, struct image_size size);

/* The format to have behind the turn where `format` would be liked best. A chroma sample stands for the
 * pixels 2k and 2k + 1: turned around in a row of odd length it would stand for 2k - 1 and 2k, and colours
 * would sit a pixel aside. There (`size` is that before the turn) YCBCR becomes 4:4:4; everything else stays
 * `format`. */
struct image_format image_symmetry_format(struct image_symmetry symmetry, struct image_size size,
                                          const struct image_format *format);

/* A sink of `size` pixels that writes them turned into `next`, whose size must be
 * image_symmetry_size(symmetry, size) and whose format must be one image_symmetry_format() lets stand. The
 * sink's format is that of `next`, its subsamplings exchanged where rows and columns are (4:2:2 is made of
 * 4:4:0). Takes over `next`, also on failure. Returns `next` itself for the identity. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_rotate_by_symmetry(struct image_symmetry symmetry, struct image_size size,
                                             struct image_sink *next, struct image_sink **ret_sink,
                                             struct err *err);

/* The canvas that holds `size` turned by `degrees` clockwise: w' = |w cos| + |h sin|, rounded up to whole
 * pixels less rounding noise (IIIF 3.0 §4.3: everything is kept, nothing scaled). Saturates at UINT32_MAX. */
struct image_size image_rotate_canvas(struct image_size size, double degrees);

/* Turns by any angle about the centre with bilinear sampling. `next` has image_rotate_canvas() as size and
 * the model of `format`, which is what is written here: GRAY or RGB, alpha NONE or STRAIGHT. Corners become
 * transparent where `next` has alpha (STRAIGHT), white else; the picture's rim is blended into either. Takes
 * over `next`, also on failure. RC_NO_MEMORY. */
RC_MUST_USE enum rc image_rotate_by_degrees(double degrees, struct image_size size,
                                            const struct image_format *format, struct image_sink *next,
                                            struct image_sink **ret_sink, struct err *err);

#endif
