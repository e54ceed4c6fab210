/* Which level an answer is read from and where: tiles by the arithmetic of viewers on random pyramids, and
 * single cases. */
#include "worker/iiif/window.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum rounding { DOWN, UP, EITHER };

static unsigned short seed[3] = {20, 26, 11};

static uint32_t random_between(uint32_t least, uint32_t most)
{
    return least + (uint32_t)nrand48(seed) % (most - least + 1);
}

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

static uint32_t shrink(uint32_t edge, uint32_t factor, enum rounding rounding)
{
    bool up = rounding == UP || (rounding == EITHER && random_between(0, 1) == 1);
    uint32_t shrunk = up ? ceil_div(edge, factor) : edge / factor;
    return shrunk > 0 ? shrunk : 1;
}

static struct image_pyramid pyramid_of(struct image_size upright, enum rounding rounding,
                                       const uint32_t *factors, uint8_t orientation)
{
    struct image_pyramid pyramid = {.page_count = 1, .orientation = orientation, .has_colour = true};
    for (; *factors != 0; factors++) {
        struct image_size size = {shrink(upright.width_px, *factors, rounding),
                                  shrink(upright.height_px, *factors, rounding)};
        pyramid.level[pyramid.level_count++] = (struct image_level){
            .size = image_size_upright(size, orientation), .tile = {256, 256}, .scale_factor = *factors};
    }
    return pyramid;
}

static bool fits_grid(struct image_size full, struct image_region region, struct image_size size, uint32_t s)
{
    return region.x_px % s == 0 && region.y_px % s == 0 && size.width_px == ceil_div(region.width_px, s) &&
           size.height_px == ceil_div(region.height_px, s) &&
           (region.width_px % s == 0 || region.x_px + region.width_px == full.width_px) &&
           (region.height_px % s == 0 || region.y_px + region.height_px == full.height_px);
}

/* The window of a tile. `s` is the factor that the viewer had in mind, which a corner tile need not
 * reveal. */
static void check_tile(const struct image_pyramid *pyramid, struct image_size full,
                       struct image_region region, struct image_size size, uint32_t s, bool stored)
{
    struct iiif_window window = iiif_window_choose(pyramid, region, size);
    assert_true(window.level < pyramid->level_count);
    uint32_t f = pyramid->level[window.level].scale_factor;
    struct image_size level = image_size_upright(pyramid->level[window.level].size, pyramid->orientation);
    assert_true(window.x_px == (double)region.x_px / f && window.y_px == (double)region.y_px / f);
    if (stored && !window.exact)
        fail_msg("%u,%u,%u,%u/%u,%u at 1/%u is not exact", region.x_px, region.y_px, region.width_px,
                 region.height_px, size.width_px, size.height_px, s);
    if (window.exact) {
        assert_true(window.width_px == size.width_px && window.height_px == size.height_px);
        bool whole = size.width_px == level.width_px && size.height_px == level.height_px && region.x_px == 0;
        assert_true(f == s || whole || fits_grid(full, region, size, f));
        assert_true(window.x_px + window.width_px <= level.width_px + 1);
        assert_true(window.y_px + window.height_px <= level.height_px + 1);
        return;
    }
    double answer_px_x = window.width_px / size.width_px, answer_px_y = window.height_px / size.height_px;
    uint32_t grid = (uint32_t)lround(answer_px_x * f);
    assert_true(answer_px_x == (double)grid / f && answer_px_y == (double)grid / f);
    assert_true(fits_grid(full, region, size, grid));
    if (region.x_px + region.width_px < full.width_px && region.y_px + region.height_px < full.height_px)
        assert_int_equal(grid, s);
    /* Overhang: less than one answer pixel, and what a level rounded down lacks. */
    assert_true(window.x_px + window.width_px < level.width_px + answer_px_x + 1);
    assert_true(window.y_px + window.height_px < level.height_px + answer_px_y + 1);
    /* No smaller level would have been large enough. */
    if (window.level + 1 < pyramid->level_count)
        assert_true(pyramid->level[window.level + 1].scale_factor > grid);
}

static void check_all_tiles(const struct image_pyramid *pyramid, struct image_size full, uint32_t tile,
                            uint32_t s, bool stored)
{
    for (uint64_t y = 0; y < full.height_px; y += (uint64_t)tile * s)
        for (uint64_t x = 0; x < full.width_px; x += (uint64_t)tile * s) {
            uint64_t right = x + (uint64_t)tile * s, bottom = y + (uint64_t)tile * s;
            struct image_region region = {
                (uint32_t)x,
                (uint32_t)y,
                (uint32_t)((right < full.width_px ? right : full.width_px) - x),
                (uint32_t)((bottom < full.height_px ? bottom : full.height_px) - y),
            };
            struct image_size size = {ceil_div(region.width_px, s), ceil_div(region.height_px, s)};
            check_tile(pyramid, full, region, size, s, stored);
        }
}

static void test_every_tile_of_stored_levels(void **state)
{
    (void)state;
    static const uint32_t powers[] = {1, 2, 4, 8, 16, 32, 64, 0}, odd[] = {1, 3, 5, 6, 7, 12, 0},
                          two[] = {1, 4, 0};
    static const uint32_t *const sets[] = {powers, odd, two};
    for (int i = 0; i < 600; i++) {
        struct image_size full = {random_between(1, 3000), random_between(1, 3000)};
        uint32_t tile = random_between(1, 4) * 64;
        uint8_t orientation = (uint8_t)random_between(1, 8);
        struct image_pyramid pyramid = pyramid_of(full, (enum rounding)(i % 3), sets[i / 3 % 3], orientation);
        for (uint32_t level = 0; level < pyramid.level_count; level++)
            check_all_tiles(&pyramid, full, tile, pyramid.level[level].scale_factor, true);
    }
}

static void test_every_tile_without_its_level(void **state)
{
    (void)state;
    static const uint32_t flat[] = {1, 0}, gaps[] = {1, 4, 32, 0};
    for (int i = 0; i < 600; i++) {
        struct image_size full = {random_between(1, 3000), random_between(1, 3000)};
        struct image_pyramid pyramid = pyramid_of(full, (enum rounding)(i % 3), i % 2 == 0 ? flat : gaps,
                                                  (uint8_t)random_between(1, 8));
        for (uint32_t s = 1; s <= 64; s *= 2)
            check_all_tiles(&pyramid, full, random_between(1, 4) * 64, s, false);
        check_all_tiles(&pyramid, full, 128, random_between(1, 40), false);
    }
}

static void test_every_level_by_its_own_size(void **state)
{
    (void)state;
    static const uint32_t powers[] = {1, 2, 4, 8, 16, 32, 64, 0};
    for (int i = 0; i < 3000; i++) {
        struct image_size full = {random_between(64, 60000), random_between(64, 60000)};
        struct image_pyramid pyramid = pyramid_of(full, (enum rounding)(i % 3), powers,
                                                  (uint8_t)random_between(1, 8));
        for (uint32_t k = 0; k < pyramid.level_count; k++) {
            struct image_size size = image_size_upright(pyramid.level[k].size, pyramid.orientation);
            struct image_region region = {0, 0, full.width_px, full.height_px};
            struct iiif_window window = iiif_window_choose(&pyramid, region, size);
            assert_true(window.exact && window.level == k && window.x_px == 0 && window.y_px == 0);
            assert_true(window.width_px == size.width_px && window.height_px == size.height_px);
            struct image_size up = {ceil_div(full.width_px, 1u << k), ceil_div(full.height_px, 1u << k)};
            window = iiif_window_choose(&pyramid, region, up);
            assert_true(window.exact && window.level == k && window.width_px == up.width_px);
        }
    }
}

/* Any region and size: a level that is large enough, none smaller that would be, and the window where the
 * region lies. */
static void test_any_request(void **state)
{
    (void)state;
    static const uint32_t powers[] = {1, 2, 4, 8, 16, 32, 64, 0};
    for (int i = 0; i < 50000; i++) {
        struct image_size full = {random_between(64, 60000), random_between(64, 60000)};
        struct image_pyramid pyramid = pyramid_of(full, (enum rounding)(i % 3), powers,
                                                  (uint8_t)random_between(1, 8));
        struct image_region region = {random_between(0, full.width_px - 1),
                                      random_between(0, full.height_px - 1), 0, 0};
        region.width_px = random_between(1, full.width_px - region.x_px);
        region.height_px = random_between(1, full.height_px - region.y_px);
        struct image_size size = {random_between(1, region.width_px * 2),
                                  random_between(1, region.height_px * 2)};
        struct iiif_window window = iiif_window_choose(&pyramid, region, size);
        double f = pyramid.level[window.level].scale_factor;
        assert_true(fabs(window.x_px * f - region.x_px) < 1e-6 && fabs(window.y_px * f - region.y_px) < 1e-6);
        double beyond_x = window.width_px * f - region.width_px,
               beyond_y = window.height_px * f - region.height_px;
        assert_true(beyond_x > -1e-6 && beyond_x <= window.width_px * f / size.width_px);
        assert_true(beyond_y > -1e-6 && beyond_y <= window.height_px * f / size.height_px);
        assert_true(window.level == 0 ||
                    (window.width_px >= size.width_px && window.height_px >= size.height_px));
        if (window.level + 1 < pyramid.level_count && beyond_x < 1e-6 && beyond_y < 1e-6) {
            double next = pyramid.level[window.level + 1].scale_factor;
            assert_true(region.width_px / next < size.width_px || region.height_px / next < size.height_px);
        }
    }
}

struct single {
    struct image_region region;
    struct image_size size;
    struct iiif_window right;
};

static void check_single(const struct image_pyramid *pyramid, const struct single *row)
{
    struct iiif_window window = iiif_window_choose(pyramid, row->region, row->size);
    if (window.level != row->right.level || window.exact != row->right.exact ||
        window.x_px != row->right.x_px || window.y_px != row->right.y_px ||
        window.width_px != row->right.width_px || window.height_px != row->right.height_px)
        fail_msg("%u,%u,%u,%u/%u,%u: level %u, exact %d, window %g,%g,%g,%g", row->region.x_px,
                 row->region.y_px, row->region.width_px, row->region.height_px, row->size.width_px,
                 row->size.height_px, window.level, window.exact, window.x_px, window.y_px, window.width_px,
                 window.height_px);
}

static void test_single_cases(void **state)
{
    (void)state;
    /* 1001 x 777, 500 x 388, 125 x 97: rounded down, 1/4 is missing. */
    static const uint32_t factors[] = {1, 2, 8, 0};
    struct image_pyramid pyramid = pyramid_of((struct image_size){1001, 777}, DOWN, factors, 6);
    static const struct single rows[] = {
        {{0, 0, 1001, 777}, {1001, 777}, {0, true, 0, 0, 1001, 777}},
        {{3, 5, 7, 11}, {7, 11}, {0, true, 3, 5, 7, 11}},
        {{0, 0, 1001, 777}, {500, 388}, {1, true, 0, 0, 500, 388}},
        {{0, 0, 1001, 777}, {501, 389}, {1, true, 0, 0, 501, 389}},
        {{0, 0, 1001, 777}, {501, 388}, {0, false, 0, 0, 1001, 777}}, /* no grid: the column is a stretch */
        {{0, 0, 512, 512}, {256, 256}, {1, true, 0, 0, 256, 256}},
        {{512, 256, 489, 521}, {245, 261}, {1, true, 256, 128, 245, 261}},
        {{1000, 768, 1, 9}, {1, 5}, {1, true, 500, 384, 1, 5}}, /* begins where the level ends */
        {{0, 0, 1001, 777}, {126, 98}, {2, true, 0, 0, 126, 98}},
        {{511, 0, 490, 512}, {245, 256}, {1, false, 255.5, 0, 245, 256}}, /* x is no multiple of 2 */
        {{0, 0, 511, 512}, {256, 256}, {0, false, 0, 0, 511, 512}},       /* a remainder within the picture */
        {{0, 0, 512, 512}, {128, 128}, {1, false, 0, 0, 256, 256}},       /* 1/4 from 1/2 */
        {{512, 512, 489, 265}, {123, 67}, {1, false, 256, 256, 246, 134}}, /* the same, beyond the edge */
        {{0, 0, 1001, 777}, {334, 259}, {1, false, 0, 0, 501, 388.5}},     /* 1/3 from 1/2 */
        {{0, 0, 1001, 777}, {101, 78}, {2, false, 0, 0, 126.25, 97.5}},    /* 1/10 of 1010 x 780 */
        {{0, 0, 1001, 777}, {100, 78}, {2, false, 0, 0, 125.125, 97.125}},
        {{0, 0, 800, 400}, {100, 99}, {1, false, 0, 0, 400, 200}}, /* the height needs more than the width */
        {{0, 0, 400, 800}, {99, 100}, {1, false, 0, 0, 200, 400}},
        {{0, 0, 800, 800}, {99, 100}, {2, false, 0, 0, 100, 100}},
        {{100, 100, 200, 200}, {400, 400}, {0, false, 100, 100, 200, 200}}, /* enlarged */
        {{100, 100, 200, 200}, {400, 10}, {0, false, 100, 100, 200, 200}},
        {{1000, 776, 1, 1}, {1, 1}, {0, true, 1000, 776, 1, 1}},
        /* Corners that fit several grids: 1/8 is stored, of 1/16, 1/20 and 1/40 the power of two. */
        {{960, 720, 41, 57}, {6, 8}, {2, true, 120, 90, 6, 8}},
        {{960, 720, 41, 57}, {3, 4}, {2, false, 120, 90, 6, 8}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_single(&pyramid, &rows[i]);
}

/* A level of a size that no rounding explains is mapped by the ratio of its edges and never taken for a
 * grid. */
static void test_irregular_levels(void **state)
{
    (void)state;
    static const uint32_t factors[] = {1, 2, 0};
    struct image_pyramid pyramid = pyramid_of((struct image_size){1000, 800}, DOWN, factors, 1);
    pyramid.level[1].size = (struct image_size){625, 320};
    static const struct single rows[] = {
        {{0, 0, 1000, 800}, {625, 320}, {1, true, 0, 0, 625, 320}},
        {{0, 0, 400, 400}, {200, 200}, {0, false, 0, 0, 400, 400}}, /* 1/2 needs more rows than it has */
        {{0, 400, 400, 400}, {100, 100}, {1, false, 0, 160, 250, 160}},
        {{0, 400, 400, 390}, {100, 37}, {1, false, 0, 160, 250, 156}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_single(&pyramid, &rows[i]);
}

/* Numbers at the end of 32 bits; divisors that have to be searched for. */
static void test_huge_pictures(void **state)
{
    (void)state;
    static const uint32_t flat[] = {1, 0};
    struct image_pyramid pyramid = pyramid_of((struct image_size){4294967295, 4294967295}, DOWN, flat, 1);
    static const struct single rows[] = {
        {{0, 0, 4294967295, 4294967295}, {1, 1}, {0, false, 0, 0, 4294967295, 4294967295}},
        {{0, 0, 4294967295, 4294967295}, {65536, 65536}, {0, false, 0, 0, 4294967296, 4294967296}},
        /* 4294967291 is prime, 4294967290 = 2 * 5 * 19 * 22605091 */
        {{4294967291, 4294967291, 4, 4}, {1, 1}, {0, false, 4294967291, 4294967291, 4, 4}},
        {{4294967291, 4294967291, 4, 4}, {2, 2}, {0, false, 4294967291, 4294967291, 4, 4}},
        {{4294967290, 4294967290, 5, 5}, {1, 1}, {0, false, 4294967290, 4294967290, 5, 5}},
        {{0, 4294967290, 4294967290, 5}, {2, 1}, {0, false, 0, 4294967290, 4294967290, 2147483645}},
        {{0, 0, 4294967291, 4294967291}, {65536, 65536}, {0, false, 0, 0, 4294967291, 4294967291}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_single(&pyramid, &rows[i]);
}

/* Corners of one answer pixel fit grids without end: powers of two first, nothing beyond twice the region. */
static void test_corners_of_flat_pictures(void **state)
{
    (void)state;
    static const uint32_t only[] = {1, 0};
    static const struct {
        uint32_t start, rest;
        double window;
    } rows[] = {
        {120, 5, 8},                         /* 5 and 6 divide 120 too */
        {25, 3, 5},  {49, 3, 3},             /* 7 is more than twice 3 */
        {49, 4, 7},  {10, 7, 10},            /* 10 is larger than its root */
        {13, 7, 13}, {17, 7, 7},  {0, 5, 8}, /* the whole picture as one pixel */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t start = rows[i].start, rest = rows[i].rest;
        struct image_pyramid pyramid = pyramid_of((struct image_size){start + rest, start + rest}, UP, only,
                                                  1);
        struct single row = {
            {start, start, rest, rest}, {1, 1}, {0, false, start, start, rows[i].window, rows[i].window}};
        check_single(&pyramid, &row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tile_of_stored_levels),
        cmocka_unit_test(test_every_tile_without_its_level),
        cmocka_unit_test(test_every_level_by_its_own_size),
        cmocka_unit_test(test_any_request),
        cmocka_unit_test(test_single_cases),
        cmocka_unit_test(test_irregular_levels),
        cmocka_unit_test(test_huge_pictures),
        cmocka_unit_test(test_corners_of_flat_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
