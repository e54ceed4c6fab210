/* Turning and mirroring: the stored Orientation and the request's rotation, as one step.
 *
 * Every combination of Orientation, mirroring and quarter turns is one of the eight symmetries of the rectangle. Identity
 * costs nothing, a left-right mirror is done row by row; the other six hold the picture. Free angles hold it too. */
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
/* Where `region` of an upright picture of size `upright` lies in the stored picture that `symmetry` turns upright. */
struct image_region image_symmetry_region_before(struct image_symmetry symmetry, struct image_size upright,
                                                 struct image_region region);

/* A sink of `size` pixels in next->format that writes them turned into `next` (whose size must be
 * image_symmetry_size(symmetry, size)). Takes over `next`, also on failure. Returns `next` itself for the identity.
 * With a subsampled format the symmetry works on each plane; rows and columns may then only be exchanged when both
 * subsamplings are equal (the caller picks another format else). */
RC_MUST_USE enum rc image_rotate_by_symmetry(struct image_symmetry symmetry, struct image_size size,
                                             struct image_sink *next, struct image_sink **ret_sink, struct err *err);

/* The canvas that holds `size` turned by `degrees` clockwise: w' = |w cos| + |h sin|, rounded up to whole pixels less
 * rounding noise (IIIF 3.0 §4.3: everything is kept, nothing scaled). */
struct image_size image_rotate_canvas(struct image_size size, double degrees);

/* Turns by any angle about the centre with bilinear sampling. `next` has image_rotate_canvas() as size. Corners become
 * transparent where next->format has alpha (a STRAIGHT plane is then expected from `next`; what is written here may have
 * alpha NONE), white else. 8 bits, not subsampled, GRAY or RGB. Takes over `next`, also on failure. */
RC_MUST_USE enum rc image_rotate_by_degrees(double degrees, struct image_size size, const struct image_format *format,
                                            struct image_sink *next, struct image_sink **ret_sink, struct err *err);

#endif
