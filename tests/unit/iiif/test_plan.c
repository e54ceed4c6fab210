/* Plans: the region in whole pixels, the canonical form of every way to ask, and that asking for the
 * canonical form gives the same plan again. */
#include "worker/iiif/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct iiif_limits wide = {20000, 20000, 400000000, true, false};

static struct image_pyramid flat(uint32_t width_px, uint32_t height_px)
{
    return (struct image_pyramid){.level_count = 1,
                                  .page_count = 1,
                                  .orientation = 1,
                                  .has_colour = true,
                                  .level = {{{width_px, height_px}, {0, 0}, 1}}};
}

static enum rc make(enum iiif_version version, const char *parameters, const struct image_pyramid *pyramid,
                    const struct iiif_limits *limits, struct iiif_plan *ret_plan, struct err *err)
{
    struct iiif_request request;
    char path[256];
    snprintf(path, sizeof path, "a/%s", parameters);
    if (iiif_request_parse(version, path, strlen(path), &request, err) != RC_OK)
        fail_msg("version %d, %s: %s", version, path, err->message);
    return iiif_plan_make(&request, pyramid, limits, ret_plan, err);
}

/* ---- regions ---- */

static void test_regions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct image_region right;
    } rows[] = {
        {"full", {0, 0, 300, 200}},
        {"square", {50, 0, 200, 200}},
        {"0,0,300,200", {0, 0, 300, 200}},
        {"10,20,30,40", {10, 20, 30, 40}},
        {"299,199,1,1", {299, 199, 1, 1}},
        /* cropped, not padded */
        {"250,150,100,100", {250, 150, 50, 50}},
        {"0,0,4294967295,4294967295", {0, 0, 300, 200}},
        {"299,0,4294967295,200", {299, 0, 1, 200}},
        /* the specification's example, and halves */
        {"pct:41.6,7.5,40,70", {125, 15, 120, 140}},
        {"pct:41.6,7.5,66.6,100", {125, 15, 175, 185}},
        {"pct:0,0,100,100", {0, 0, 300, 200}},
        {"pct:.5,0.0,99.50,100", {2, 0, 298, 200}},
        {"pct:50,50,100,100", {150, 100, 150, 100}},
        {"pct:33.333333,0,33.333333,100", {100, 0, 100, 200}},
    };
    struct image_pyramid pyramid = flat(300, 200);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
            struct iiif_plan plan;
            struct err err = {0};
            char parameters[128];
            snprintf(parameters, sizeof parameters, "%s/max/0/default.jpg", rows[i].text);
            if (make(version, parameters, &pyramid, &wide, &plan, &err) != RC_OK)
                fail_msg("%s: %s", parameters, err.message);
            assert_memory_equal(&plan.region, &rows[i].right, sizeof plan.region);
            assert_int_equal(plan.size.width_px, plan.region.width_px);
            assert_int_equal(plan.size.height_px, plan.region.height_px);
            assert_int_equal(plan.whole_picture, plan.region.width_px == 300 && plan.region.height_px == 200);
            assert_true(plan.exact && plan.full.width_px == 300 && plan.full.height_px == 200);
        }
    pyramid = flat(7, 1000);
    struct iiif_plan plan;
    assert_int_equal(make(IIIF_3, "square/max/0/default.jpg", &pyramid, &wide, &plan, NULL), RC_OK);
    assert_memory_equal(&plan.region, &((struct image_region){0, 496, 7, 7}), sizeof plan.region);
}

/* `w,` and `,h` leave one edge to us. */
static void test_an_edge_of_our_own_fits_the_grid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct image_size right;
        bool exact;
    } rows[] = {
        {"0,512,512,129/128,", {128, 33}, true}, /* 32.25 alone would be 32 */
        {"512,0,488,641/,161", {122, 161}, true}, {"full/250,", {250, 161}, true}, /* 160.25 */
        {"full/500,", {500, 321}, true},          {"896,0,104,512/26,", {26, 128}, true},
        {"896,512,97,129/25,", {25, 33}, false}, /* its remainder is not at the edge of the picture */
        {"896,0,101,512/26,", {26, 132}, false}, /* tile arithmetic would be far from the region's shape */
        {"full/249,", {249, 160}, false},         {"0,512,512,129/128,32", {128, 32}, false},
    };
    struct image_pyramid pyramid = flat(1000, 641);
    pyramid.level_count = 3;
    pyramid.level[1] = (struct image_level){{500, 321}, {256, 256}, 2};
    pyramid.level[2] = (struct image_level){{250, 161}, {256, 256}, 4};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_plan plan;
        struct err err = {0};
        char parameters[128];
        snprintf(parameters, sizeof parameters, "%s/0/default.jpg", rows[i].text);
        if (make(IIIF_2, parameters, &pyramid, &wide, &plan, &err) != RC_OK)
            fail_msg("%s: %s", parameters, err.message);
        if (plan.size.width_px != rows[i].right.width_px || plan.size.height_px != rows[i].right.height_px ||
            plan.exact != rows[i].exact)
            fail_msg("%s: %u x %u, %d", parameters, plan.size.width_px, plan.size.height_px, plan.exact);
    }
}

static void test_bad_regions(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"300,0,10,10", "the region begins at x = 300 px, but the picture has a width of 300 px"},
        {"0,200,10,10", "the region begins at y = 200 px, but the picture has a height of 200 px"},
        {"4294967295,0,1,1", "x = 4294967295 px"},
        {"0,0,0,10", "the region has a width of 0 pixels"},
        {"0,0,10,0", "the region has a height of 0 pixels"},
        {"300,200,0,0", "x = 300"},
        {"pct:100,0,10,10", "x = 300 px"},
        {"pct:0,100,10,10", "y = 200 px"},
        {"pct:99.9,99.7,1,1", "x = 300 px"},
        {"pct:0,0,0,10", "width of 0"},
        {"pct:0,0,0.1,10", "width of 0"},
        {"pct:0,0,10,0.2", "height of 0"},
        {"pct:99999999999999999999,0,1,1", "x = 3"},
    };
    struct image_pyramid pyramid = flat(300, 200);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
            struct iiif_plan plan;
            struct err err = {0};
            char parameters[128];
            memset(&plan, 0x5a, sizeof plan);
            snprintf(parameters, sizeof parameters, "%s/max/0/default.jpg", rows[i][0]);
            if (make(version, parameters, &pyramid, &wide, &plan, &err) != RC_BAD_REQUEST ||
                err.rc != RC_BAD_REQUEST)
                fail_msg("%s: not refused", parameters);
            if (strstr(err.message, rows[i][1]) == NULL)
                fail_msg("%s: '%s' does not say '%s'", parameters, err.message, rows[i][1]);
            assert_int_equal(plan.level, 0x5a5a5a5a);
        }
}

/* Sizes are those of the upright picture, whatever way it is stored. */
static void test_orientation(void **state)
{
    (void)state;
    for (uint8_t orientation = 1; orientation <= 8; orientation++) {
        struct image_pyramid pyramid = orientation >= 5 ? flat(200, 300) : flat(300, 200);
        struct iiif_plan plan;
        pyramid.orientation = orientation;
        assert_int_equal(make(IIIF_3, "290,190,50,50/max/90/default.jpg", &pyramid, &wide, &plan, NULL),
                         RC_OK);
        assert_memory_equal(&plan.full, &((struct image_size){300, 200}), sizeof plan.full);
        assert_memory_equal(&plan.region, &((struct image_region){290, 190, 10, 10}), sizeof plan.region);
        assert_true(plan.window_x_px == 290 && plan.window_y_px == 190);
        assert_int_equal(make(IIIF_3, "10,20,100,50/max/90/default.jpg", &pyramid, &wide, &plan, NULL),
                         RC_OK);
        assert_true(plan.window_width_px == 100 && plan.window_height_px == 50);
    }
}

/* ---- canonical form ---- */

struct pair {
    const char *asked, *right; /* NULL: the same */
};

static void check_canonical(enum iiif_version version, const struct image_pyramid *pyramid,
                            const struct iiif_limits *limits, const struct pair *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct iiif_plan plan;
        struct err err = {0};
        char text[IIIF_CANONICAL_BYTES];
        if (make(version, rows[i].asked, pyramid, limits, &plan, &err) != RC_OK)
            fail_msg("version %d, %s: %s", version, rows[i].asked, err.message);
        iiif_plan_canonical(&plan, text);
        if (strcmp(text, rows[i].right == NULL ? rows[i].asked : rows[i].right) != 0)
            fail_msg("version %d, %s: %s", version, rows[i].asked, text);
    }
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static void test_canonical_3(void **state)
{
    (void)state;
    static const struct pair rows[] = {
        {"full/max/0/default.jpg", NULL},
        {"0,0,300,200/max/0/default.jpg", "full/max/0/default.jpg"},
        {"0,0,900,900/300,200/0/default.jpg", "full/max/0/default.jpg"},
        {"square/max/0/default.jpg", "50,0,200,200/max/0/default.jpg"},
        {"250,150,100,100/max/0/default.jpg", "250,150,50,50/max/0/default.jpg"},
        {"pct:10,10,50,50/max/0/default.jpg", "30,20,150,100/max/0/default.jpg"},
        {"full/300,/0/default.jpg", "full/max/0/default.jpg"},
        {"full/,200/0/default.jpg", "full/max/0/default.jpg"},
        {"full/!900,900/0/default.jpg", "full/max/0/default.jpg"},
        {"full/pct:50/0/default.jpg", "full/150,100/0/default.jpg"},
        {"full/150,/0/default.jpg", "full/150,100/0/default.jpg"},
        {"full/^!150,150/0/default.jpg", "full/150,100/0/default.jpg"},
        {"full/^300,/0/default.jpg", "full/max/0/default.jpg"},
        {"full/150,150/0/default.jpg", NULL},
        {"full/^600,/0/default.jpg", "full/^600,400/0/default.jpg"},
        {"full/^300,201/0/default.jpg", NULL},
        {"full/^max/0/default.jpg", NULL},
        {"full/^20000,/0/default.jpg", "full/^max/0/default.jpg"},
        {"full/max/360/default.jpg", "full/max/0/default.jpg"},
        {"full/max/!360/default.jpg", "full/max/!0/default.jpg"},
        {"full/max/090.0/default.jpg", "full/max/90/default.jpg"},
        {"full/max/22.50/default.png", "full/max/22.5/default.png"},
        {"full/max/!.05/default.png", "full/max/!0.05/default.png"},
        {"full/max/359.9999999999/default.png", NULL},
        {"full/max/0.0000000001/default.png", NULL},
        {"full/max/0.00000000001/default.png", "full/max/0/default.png"},
        {"full/max/0/color.webp", "full/max/0/default.webp"},
        {"full/max/0/gray.tif", NULL},
        {"full/max/0/bitonal.gif", NULL},
        {"full/max/0/default.avif", NULL},
    };
    struct image_pyramid pyramid = flat(300, 200);
    check_canonical(IIIF_3, &pyramid, &wide, rows, COUNT(rows));
    static const struct pair limited[] = {
        {"full/max/0/default.jpg", NULL},
        {"full/150,/0/default.jpg", "full/max/0/default.jpg"},
        {"full/150,99/0/default.jpg", NULL},
        {"full/^max/0/default.jpg", "full/max/0/default.jpg"},
        {"0,0,60,60/^150,/0/default.jpg", "0,0,60,60/^max/0/default.jpg"},
    };
    check_canonical(IIIF_3, &pyramid, &(struct iiif_limits){150, 150, 100000, true, false}, limited,
                    COUNT(limited));
}

static void test_canonical_2(void **state)
{
    (void)state;
    static const struct pair rows[] = {
        {"full/full/0/default.jpg", NULL},
        {"full/max/0/default.jpg", "full/full/0/default.jpg"},
        {"0,0,300,200/300,/0/default.jpg", "full/full/0/default.jpg"},
        {"full/pct:100/0/default.jpg", "full/full/0/default.jpg"},
        {"square/200,200/0/default.jpg", "50,0,200,200/full/0/default.jpg"},
        {"full/150,/0/default.jpg", NULL},
        {"full/150,100/0/default.jpg", "full/150,/0/default.jpg"},
        {"full/,100/0/default.jpg", "full/150,/0/default.jpg"},
        {"full/!150,150/0/default.jpg", "full/150,/0/default.jpg"},
        {"full/100,67/0/default.jpg", "full/100,/0/default.jpg"},
        {"full/100,66/0/default.jpg", NULL},
        {"full/,67/0/default.jpg", "full/101,/0/default.jpg"},
        {"full/300,100/0/default.jpg", NULL},
        {"full/600,/0/default.jpg", NULL},
        {"full/pct:200/!90.0/color.png", "full/600,/!90/default.png"},
    };
    struct image_pyramid pyramid = flat(300, 200);
    check_canonical(IIIF_2, &pyramid, &wide, rows, COUNT(rows));
    static const struct pair limited[] = {{"full/max/0/default.jpg", "full/150,/0/default.jpg"}};
    check_canonical(IIIF_2, &pyramid, &(struct iiif_limits){150, 150, 100000, true, false}, limited,
                    COUNT(limited));
}

static void test_canonical_quality_of_a_gray_picture(void **state)
{
    (void)state;
    static const struct pair rows[] = {
        {"full/max/0/default.jpg", NULL},
        {"full/max/0/gray.jpg", "full/max/0/default.jpg"},
        {"full/max/0/color.jpg", "full/max/0/default.jpg"},
        {"full/max/0/bitonal.jpg", NULL},
    };
    struct image_pyramid pyramid = flat(300, 200);
    pyramid.has_colour = false;
    check_canonical(IIIF_3, &pyramid, &wide, rows, COUNT(rows));
}

/* ---- at random ---- */

static unsigned short seed[3] = {11, 21, 31};

static uint32_t below(uint32_t bound)
{
    return (uint32_t)nrand48(seed) % bound;
}

static void random_region(char *text, size_t capacity)
{
    switch (below(4)) {
    case 0:
        snprintf(text, capacity, "full");
        break;
    case 1:
        snprintf(text, capacity, "square");
        break;
    case 2:
        snprintf(text, capacity, "%u,%u,%u,%u", below(2000), below(2000), 1 + below(3000), 1 + below(3000));
        break;
    default:
        snprintf(text, capacity, "pct:%u.%u,%u.%02u,%u.%u,%u.%03u", below(100), below(10), below(100),
                 below(100), below(101), below(10), below(101), below(1000));
    }
}

static void random_size(enum iiif_version version, char *text, size_t capacity)
{
    const char *caret = version == IIIF_3 && below(2) == 0 ? "^" : "";
    uint32_t width = 1 + below(1 + below(4000)), height = 1 + below(1 + below(4000));
    switch (below(6)) {
    case 0:
        snprintf(text, capacity, "%smax", caret);
        break;
    case 1:
        snprintf(text, capacity, "%s%u,", caret, width);
        break;
    case 2:
        snprintf(text, capacity, "%s,%u", caret, height);
        break;
    case 3:
        snprintf(text, capacity, "%spct:%u.%u", caret, below(150), below(1000));
        break;
    case 4:
        snprintf(text, capacity, "%s%u,%u", caret, width, height);
        break;
    default:
        snprintf(text, capacity, "%s!%u,%u", caret, width, height);
    }
}

static void assert_same_plan(const char *asked, const char *form, const struct iiif_plan *a,
                             const struct iiif_plan *b)
{
    bool same = memcmp(&a->region, &b->region, sizeof a->region) == 0 &&
                memcmp(&a->size, &b->size, sizeof a->size) == 0 && a->size_is_max == b->size_is_max &&
                a->size_is_upscaled == b->size_is_upscaled && a->whole_picture == b->whole_picture &&
                a->mirror == b->mirror && a->rotation_deg == b->rotation_deg && a->quality == b->quality &&
                a->format == b->format && a->level == b->level && a->exact == b->exact &&
                a->window_x_px == b->window_x_px && a->window_y_px == b->window_y_px &&
                a->window_width_px == b->window_width_px && a->window_height_px == b->window_height_px;
    if (!same)
        fail_msg("%s and its canonical form %s differ", asked, form);
}

static void test_canonical_form_of_anything_is_stable(void **state)
{
    (void)state;
    int planned = 0;
    for (int i = 0; i < 60000; i++) {
        enum iiif_version version = i % 2 == 0 ? IIIF_2 : IIIF_3;
        struct image_pyramid pyramid = flat(1 + below(2500), 1 + below(2500));
        struct iiif_limits limits = {1 + below(4000), 1 + below(4000), 1 + below(9000000), below(4) != 0,
                                     false};
        pyramid.has_colour = below(2) == 0;
        char region[64], size[64], asked[256], form[IIIF_CANONICAL_BYTES], again[IIIF_CANONICAL_BYTES];
        random_region(region, sizeof region);
        random_size(version, size, sizeof size);
        snprintf(asked, sizeof asked, "%s/%s/%s%u.%u/%s.%s", region, size, below(2) ? "!" : "", below(360),
                 below(100000), iiif_quality_name(below(4)), iiif_format_name(below(IIIF_FORMATS)));
        struct iiif_plan plan, second;
        struct err err = {0};
        if (make(version, asked, &pyramid, &limits, &plan, &err) != RC_OK)
            continue;
        planned++;
        assert_true(iiif_size_within(plan.size, &limits));
        iiif_plan_canonical(&plan, form);
        if (make(version, form, &pyramid, &limits, &second, &err) != RC_OK)
            fail_msg("%s: the canonical form %s is refused: %s", asked, form, err.message);
        assert_same_plan(asked, form, &plan, &second);
        iiif_plan_canonical(&second, again);
        assert_string_equal(form, again);
    }
    /* Not a test that tests nothing: a good part of the requests are valid. */
    assert_true(planned > 15000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_an_edge_of_our_own_fits_the_grid),
        cmocka_unit_test(test_bad_regions),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_canonical_3),
        cmocka_unit_test(test_canonical_2),
        cmocka_unit_test(test_canonical_quality_of_a_gray_picture),
        cmocka_unit_test(test_canonical_form_of_anything_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
