/* Which level of a pyramid an answer is read from, and which window of it. Pure; any thread. Called by
 * plan.c.
 *
 * A request fits the grid of a whole number s when x and y of its region are multiples of s, its size is
 * region / s rounded up, and a remainder occurs only where the region ends at the edge of the picture: that
 * is what viewers ask for as tiles (3.0 implementation notes). Such a request is read on the grid of s,
 * whether or not a level of that factor is stored, so that a tile is the crop of the whole.
 *
 * What may overhang. A tile at the right or lower edge whose remainder is less than s covers the picture and
 * then nothing: the window of a grid request may end beyond the level by less than one answer pixel. And
 * levels may have been rounded down: any window may end up to one column or row beyond such a level, and one
 * that is a pixel wide or high may even begin there, x_px == the level's width. Whoever reads pixels repeats
 * the last column or row. */
#ifndef WORKER_IIIF_WINDOW_H
#define WORKER_IIIF_WINDOW_H

#include "worker/image/geometry.h"

struct iiif_window {
    uint32_t level; /* index into pyramid->level */
    bool exact;     /* one pixel of the level is one pixel of the answer; the numbers below are whole */
    double x_px, y_px, width_px, height_px; /* upright pixels of that level */
};

/* `region` is upright, not empty and inside the picture; `size` is not empty. The level is the smallest that
 * has at least the pixels asked for along both axes, level 0 where none has. */
struct iiif_window iiif_window_choose(const struct image_pyramid *pyramid, struct image_region region,
                                      struct image_size size);

#endif
