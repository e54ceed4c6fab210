/* Sizes, regions and the shape of a pyramid: plain values that planning and pixel code share.
 *
 * "Stored" is how the pixels lie in the file; "upright" is the picture as a person sees it, after the
 * Orientation of TIFF and EXIF. Everything a URL or info.json speaks of is upright. Pure, header only; no
 * process owns anything. */
#ifndef WORKER_IMAGE_GEOMETRY_H
#define WORKER_IMAGE_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

struct image_size {
    uint32_t width_px, height_px;
};

struct image_region {
    uint32_t x_px, y_px, width_px, height_px;
};

/* One resolution of a picture, in stored orientation. Level 0 is the full size, each further one is
 * smaller. */
struct image_level {
    struct image_size size;
    struct image_size
        tile; /* the stored tile grid; 0 x 0 where the level is stored in strips or as one piece */
    uint32_t scale_factor; /* full size / this size, the nearest integer; 1 for level 0 */
};

#define IMAGE_MAX_LEVELS 32u

struct image_pyramid {
    uint32_t
        level_count; /* at least 1; levels in falling size, in order of rising scale_factor, no factor twice */
    uint32_t page_count; /* pages of the file this picture is one of; at least 1 */
    uint8_t orientation; /* TIFF 6.0 tag 274: 1 (as stored) to 8 */
    bool has_colour;     /* false: gray or bilevel */
    bool has_alpha;
    bool
        tiles_join; /* neighbouring tiles can be joined by copying bytes (JPEG tiles that restart at every row) */
    struct image_level level[IMAGE_MAX_LEVELS];
};

/* Orientations 5 to 8 exchange rows and columns. */
static inline bool image_orientation_swaps(uint8_t orientation)
{
    return orientation >= 5;
}

static inline struct image_size image_size_upright(struct image_size stored, uint8_t orientation)
{
    return image_orientation_swaps(orientation) ? (struct image_size){stored.height_px, stored.width_px}
                                                : stored;
}

static inline uint64_t image_size_area(struct image_size size)
{
    return (uint64_t)size.width_px * size.height_px;
}

#endif
