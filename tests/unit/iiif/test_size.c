/* Sizes under limits: what every form gives, for both versions, and which number a refusal names. */
#include "worker/iiif/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct iiif_limits wide = {20000, 20000, 400000000, true, false};
static const struct iiif_limits wide_no_upscaling = {20000, 20000, 400000000, false, false};

static enum rc resolve(enum iiif_version version, const char *text, struct image_size region,
                       const struct iiif_limits *limits, struct iiif_size *ret_size, struct err *err)
{
    struct iiif_request request;
    char path[128];
    snprintf(path, sizeof path, "a/full/%s/0/default.jpg", text);
    if (iiif_request_parse(version, path, strlen(path), &request, err) != RC_OK)
        fail_msg("%s: %s", path, err->message);
    return iiif_size_resolve(&request, region, limits, ret_size, err);
}

static void assert_size(enum iiif_version version, const char *text, struct image_size region,
                        const struct iiif_limits *limits, struct image_size right, bool is_max)
{
    struct iiif_size size;
    struct err err = {0};
    if (resolve(version, text, region, limits, &size, &err) != RC_OK)
        fail_msg("version %d, %s: %s", version, text, err.message);
    bool upscaled = right.width_px > region.width_px || right.height_px > region.height_px;
    if (size.size.width_px != right.width_px || size.size.height_px != right.height_px ||
        size.is_max != is_max || size.is_upscaled != upscaled)
        fail_msg("version %d, %s of %u x %u: %u x %u, max %d, upscaled %d", version, text, region.width_px,
                 region.height_px, size.size.width_px, size.size.height_px, size.is_max, size.is_upscaled);
}

static void assert_refused(enum iiif_version version, const char *text, struct image_size region,
                           const struct iiif_limits *limits, enum rc rc, const char *named)
{
    struct iiif_size size;
    struct err err = {0};
    memset(&size, 0x5a, sizeof size);
    enum rc found = resolve(version, text, region, limits, &size, &err);
    if (found != rc || err.rc != rc)
        fail_msg("version %d, %s: code %d and not %d: %s", version, text, found, rc, err.message);
    if (strstr(err.message, named) == NULL)
        fail_msg("version %d, %s: '%s' does not name '%s'", version, text, err.message, named);
    assert_int_equal(size.size.width_px, 0x5a5a5a5a);
}

/* What needs no enlarging is the same with and without permission to enlarge, with and without the caret. */
static void test_up_to_the_region(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct image_size region, right;
        bool is_max;
    } rows[] = {
        {"max", {300, 200}, {300, 200}, true},
        {"150,", {300, 200}, {150, 100}, false},
        {"300,", {300, 200}, {300, 200}, true},
        {"100,", {300, 200}, {100, 67}, false},
        {"200,", {300, 200}, {200, 133}, false},
        {",50", {300, 200}, {75, 50}, false},
        {",67", {300, 200}, {101, 67}, false},
        {",200", {300, 200}, {300, 200}, true},
        {"pct:50", {300, 200}, {150, 100}, false},
        {"pct:100", {300, 200}, {300, 200}, true},
        {"pct:12.5", {300, 200}, {38, 25}, false},
        {"pct:0.25", {300, 200}, {1, 1}, false},
        {"pct:50", {1, 1}, {1, 1}, true},
        {"pct:100.000", {7, 7}, {7, 7}, true},
        {"100,100", {300, 200}, {100, 100}, false},
        {"300,1", {300, 200}, {300, 1}, false},
        {"1,1", {300, 200}, {1, 1}, false},
        {"!150,150", {300, 200}, {150, 100}, false},
        {"!1000,50", {300, 200}, {75, 50}, false},
        {"!300,200", {300, 200}, {300, 200}, true},
        {"!1,1", {300, 200}, {1, 1}, false},
        {"!100,67", {300, 200}, {100, 67}, false},
        {"!100,66", {300, 200}, {99, 66}, false},
        /* An edge that follows from the other is at least one pixel. */
        {"75,", {300, 1}, {75, 1}, false},
        {"1,", {4000, 1}, {1, 1}, false},
        {",50", {1, 200}, {1, 50}, false},
        {"!1,1", {4000, 3}, {1, 1}, false},
        /* Halves round up, whatever a double makes of them. */
        {"pct:0.35", {1000, 1000}, {4, 4}, false},
        {"pct:1.15", {1000, 3000}, {12, 35}, false},
        {"pct:4.35", {1000, 100}, {44, 4}, false},
        {"pct:57.5", {100, 20}, {58, 12}, false},
        {"pct:8.15", {1000, 1000}, {82, 82}, false},
        {"pct:1.45", {1000, 1000}, {15, 15}, false},
        {"1,", {2, 3}, {1, 2}, false},
        {"3,", {4, 2}, {3, 2}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char caret[64];
        snprintf(caret, sizeof caret, "^%s", rows[i].text);
        const struct iiif_limits *limits[] = {&wide, &wide_no_upscaling};
        for (int k = 0; k < 2; k++) {
            assert_size(IIIF_2, rows[i].text, rows[i].region, limits[k], rows[i].right, rows[i].is_max);
            assert_size(IIIF_3, rows[i].text, rows[i].region, limits[k], rows[i].right, rows[i].is_max);
            if (strcmp(rows[i].text, "max") != 0 && rows[i].text[0] != '!')
                assert_size(IIIF_3, caret, rows[i].region, limits[k], rows[i].right, rows[i].is_max);
        }
    }
    assert_size(IIIF_2, "full", (struct image_size){300, 200}, &wide, (struct image_size){300, 200}, true);
    assert_size(IIIF_3, "^!150,150", (struct image_size){300, 200}, &wide, (struct image_size){150, 100},
                false);
    assert_size(IIIF_3, "^!300,200", (struct image_size){300, 200}, &wide_no_upscaling,
                (struct image_size){300, 200}, true);
}

static void test_no_pixel_left(void **state)
{
    (void)state;
    const struct image_size region = {300, 200};
    static const char *const rows[] = {"pct:0", "pct:0.0", "pct:.0", "pct:0.1", "pct:0.24"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_refused(IIIF_2, rows[i], region, &wide, RC_BAD_REQUEST, "300 x 200 px leaves no pixel");
        assert_refused(IIIF_3, rows[i], region, &wide, RC_BAD_REQUEST, "size 'pct:0");
    }
    assert_refused(IIIF_3, "pct:10", (struct image_size){1, 1}, &wide, RC_BAD_REQUEST, "'pct:10'");
    assert_refused(IIIF_3, "pct:10", (struct image_size){100, 4}, &wide, RC_BAD_REQUEST, "100 x 4");
}

static const struct {
    const char *text; /* without the caret */
    struct image_size right;
} enlarged[] = {
    {"600,", {600, 400}},    {"301,", {301, 201}},    {",400", {600, 400}},      {",201", {302, 201}},
    {"pct:200", {600, 400}}, {"pct:150", {450, 300}}, {"pct:100.1", {300, 200}}, {"400,500", {400, 500}},
    {"301,200", {301, 200}}, {"300,201", {300, 201}}, {"400,100", {400, 100}},
};

static void test_enlarging(void **state)
{
    (void)state;
    const struct image_size region = {300, 200};
    for (size_t i = 0; i < sizeof enlarged / sizeof *enlarged; i++) {
        char caret[64];
        const struct image_size right = enlarged[i].right;
        bool same = right.width_px == 300 && right.height_px == 200;
        snprintf(caret, sizeof caret, "^%s", enlarged[i].text);
        /* 3.0: only with the caret, and 501 where the server does not. */
        assert_refused(IIIF_3, enlarged[i].text, region, &wide, RC_BAD_REQUEST,
                       "only sizes that begin with ^ enlarge");
        assert_refused(IIIF_3, enlarged[i].text, region, &wide, RC_BAD_REQUEST, enlarged[i].text);
        assert_refused(IIIF_3, enlarged[i].text, region, &wide_no_upscaling, RC_BAD_REQUEST, "300 x 200");
        assert_size(IIIF_3, caret, region, &wide, right, same);
        assert_refused(IIIF_3, caret, region, &wide_no_upscaling, RC_UNSUPPORTED,
                       "300 x 200 px, and this server does not enlarge");
        assert_refused(IIIF_3, caret, region, &wide_no_upscaling, RC_UNSUPPORTED, caret);
        /* 2.1.1: without notation. */
        assert_size(IIIF_2, enlarged[i].text, region, &wide, right, same);
        assert_refused(IIIF_2, enlarged[i].text, region, &wide_no_upscaling, RC_BAD_REQUEST,
                       enlarged[i].text);
    }
    assert_size(IIIF_3, "^!600,600", region, &wide, (struct image_size){600, 400}, false);
    assert_size(IIIF_3, "^!1000,400", region, &wide, (struct image_size){600, 400}, false);
    assert_size(IIIF_3, "^max", region, &wide, (struct image_size){20000, 13333}, true);
    assert_refused(IIIF_3, "^!600,600", region, &wide_no_upscaling, RC_UNSUPPORTED, "'^!600,600'");
    assert_refused(IIIF_3, "^max", region, &wide_no_upscaling, RC_UNSUPPORTED, "'^max'");
    /* The box is no demand. */
    for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
        assert_size(version, "!400,400", region, &wide, region, true);
        assert_size(version, "!4294967295,4294967295", region, &wide, region, true);
        assert_size(version, "!300,1000", region, &wide_no_upscaling, region, true);
        assert_size(version, "!1000,100", region, &wide, (struct image_size){150, 100}, false);
    }
}

/* Limits below the region. */
static void test_fitting(void **state)
{
    (void)state;
    static const struct {
        struct image_size region;
        struct iiif_limits limits;
        struct image_size right;
    } rows[] = {
        {{3000, 2000}, {1000, 1000, 1000000000, true, false}, {1000, 667}},
        {{2000, 3000}, {1000, 1000, 1000000000, true, false}, {667, 1000}},
        {{3000, 2000}, {3000, 1000, 1000000000, true, false}, {1500, 1000}},
        {{3000, 2000}, {3000, 2000, 1500000, true, false}, {1500, 1000}},
        {{300, 200}, {300, 200, 6666, true, false}, {99, 66}}, /* 99.99 x 66.66: area is rounded down */
        {{3000, 2000}, {3000, 2000, 5999999, true, false}, {2999, 1999}},
        {{3000, 2000}, {900, 800, 100 * 150, true, false}, {150, 100}},
        {{3000, 2000}, {100, 800, 100 * 150, true, false}, {100, 67}},
        {{1000, 1000}, {1000, 1000, 1, true, false}, {1, 1}},
        {{1000000, 1}, {2000000, 2000000, 1000, true, false}, {1000, 1}}, /* a strip cannot keep its shape */
        {{1, 1000000}, {2000000, 2000000, 1000, true, false}, {1, 1000}},
        {{1000000, 1}, {1000, 1000, 1000000, true, false}, {1000, 1}},
        {{4294967295, 4294967295},
         {4294967295, 4294967295, 18446744065119617025u, true, false},
         {4294967295, 4294967295}},
        {{4294967295, 1}, {4294967295, 4294967295, 1000000, true, false}, {1000000, 1}},
        {{10, 10}, {1, 1, 1, true, false}, {1, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_limits no_upscaling = rows[i].limits;
        no_upscaling.allow_upscaling = false;
        assert_size(IIIF_2, "max", rows[i].region, &rows[i].limits, rows[i].right, true);
        assert_size(IIIF_3, "max", rows[i].region, &rows[i].limits, rows[i].right, true);
        assert_size(IIIF_3, "max", rows[i].region, &no_upscaling, rows[i].right, true);
        assert_size(IIIF_3, "^max", rows[i].region, &no_upscaling, rows[i].right, true);
        assert_size(IIIF_3, "^max", rows[i].region, &rows[i].limits, rows[i].right, true);
        assert_size(IIIF_2, "!4294967295,4294967295", rows[i].region, &rows[i].limits, rows[i].right, true);
        assert_size(IIIF_3, "!4294967295,4294967295", rows[i].region, &rows[i].limits, rows[i].right, true);
        assert_size(IIIF_3, "^!4294967295,4294967295", rows[i].region, &rows[i].limits, rows[i].right, true);
    }
    /* ^max enlarges to the first limit that it meets. */
    const struct image_size region = {300, 200};
    assert_size(IIIF_3, "^max", region, &(struct iiif_limits){600, 600, 1000000, true, false},
                (struct image_size){600, 400}, true);
    assert_size(IIIF_3, "^max", region, &(struct iiif_limits){900, 500, 1000000, true, false},
                (struct image_size){750, 500}, true);
    assert_size(IIIF_3, "^max", region, &(struct iiif_limits){900, 900, 240000, true, false},
                (struct image_size){600, 400}, true);
    assert_size(IIIF_3, "^!700,700", region, &(struct iiif_limits){600, 600, 1000000, true, false},
                (struct image_size){600, 400}, true);
    assert_size(IIIF_3, "^600,", region, &(struct iiif_limits){600, 600, 1000000, true, false},
                (struct image_size){600, 400}, true);
    assert_size(IIIF_3, "max", region, &(struct iiif_limits){600, 600, 1000000, true, false}, region, true);
}

static void test_above_the_limits(void **state)
{
    (void)state;
    const struct image_size region = {3000, 2000};
    static const struct {
        const char *text;
        struct iiif_limits limits;
        const char *named;
    } rows[] = {
        {"1001,",
         {1000, 1100, 1000000000, true, false},
         "size '1001,': a width of 1001 px is above maxWidth, 1000 px"},
        {"1001,1", {1000, 1000, 1000000000, true, false}, "1001 px is above maxWidth"},
        {",801",
         {3000, 800, 1000000000, true, false},
         "size ',801': a height of 801 px is above maxHeight, 800 px"},
        {"pct:50",
         {1000, 1000, 1000000000, true, false},
         "size 'pct:50': a width of 1500 px is above maxWidth"},
        {"pct:33.5",
         {2000, 669, 1000000000, true, false},
         "size 'pct:33.5': a height of 670 px is above maxHeight"},
        {"1000,",
         {1000, 1000, 666999, true, false},
         "size '1000,': 1000 x 667 px is above maxArea, 666999 px"},
        {"900,900", {1000, 1000, 809999, true, false}, "900 x 900 px is above maxArea"},
        {"3000,2000", {1000, 1000, 1000000000, true, false}, "size '3000,2000': a width of 3000 px"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_refused(IIIF_2, rows[i].text, region, &rows[i].limits, RC_BAD_REQUEST, rows[i].named);
        assert_refused(IIIF_3, rows[i].text, region, &rows[i].limits, RC_BAD_REQUEST, rows[i].named);
    }
    assert_refused(IIIF_2, "full", region, &rows[0].limits, RC_BAD_REQUEST, "max gives the largest allowed");
    assert_refused(IIIF_3, "^20001,", region, &wide, RC_BAD_REQUEST,
                   "size '^20001,': a width of 20001 px is above");
    /* Numbers whose products and percentages leave every integer type. */
    assert_refused(IIIF_3, "^4294967295,", region, &wide, RC_BAD_REQUEST, "4294967295 px is above maxWidth");
    assert_refused(IIIF_3, "^4294967295,4294967295", region, &wide, RC_BAD_REQUEST, "maxWidth");
    assert_refused(IIIF_3, "^4294967295,", (struct image_size){1, 4294967295}, &wide, RC_BAD_REQUEST,
                   "maxWidth");
    assert_refused(IIIF_3, "^,4294967295", (struct image_size){4294967295, 1}, &wide, RC_BAD_REQUEST,
                   "18446744065119617025 px is above maxWidth");
    assert_refused(IIIF_2, "pct:99999999999999999999", region, &wide, RC_BAD_REQUEST, "maxWidth");
    assert_refused(IIIF_3, "^2,", (struct image_size){1, 4294967295}, &wide, RC_BAD_REQUEST,
                   "a height of 8589934590 px is above maxHeight");
    const struct iiif_limits all = {UINT32_MAX, UINT32_MAX, UINT64_MAX, true, false};
    assert_refused(IIIF_3, "^2,", (struct image_size){1, 4294967295}, &all, RC_BAD_REQUEST, "8589934590");
    assert_size(IIIF_3, "^4294967295,4294967295", region, &all, (struct image_size){UINT32_MAX, UINT32_MAX},
                false);
}

/* For any region and any limits: within the limits, within the region unless enlarged, and no larger size of
 * the same shape would do. */
static void test_fitting_at_random(void **state)
{
    (void)state;
    unsigned short seed[3] = {1, 2, 3};
    for (int i = 0; i < 20000; i++) {
        struct image_size region = {1 + (uint32_t)(nrand48(seed) >> (nrand48(seed) % 30)),
                                    1 + (uint32_t)(nrand48(seed) >> (nrand48(seed) % 30))};
        struct iiif_limits limits = {1 + (uint32_t)(nrand48(seed) >> (nrand48(seed) % 30)),
                                     1 + (uint32_t)(nrand48(seed) >> (nrand48(seed) % 30)),
                                     1 + ((uint64_t)nrand48(seed) << 20 >> (nrand48(seed) % 50)), true,
                                     false};
        struct iiif_size max, caret_max;
        struct err err = {0};
        assert_int_equal(resolve(IIIF_3, "max", region, &limits, &max, &err), RC_OK);
        assert_int_equal(resolve(IIIF_3, "^max", region, &limits, &caret_max, &err), RC_OK);
        assert_true(iiif_size_within(max.size, &limits) && iiif_size_within(caret_max.size, &limits));
        assert_true(max.size.width_px >= 1 && max.size.height_px >= 1);
        assert_true(max.size.width_px <= region.width_px && max.size.height_px <= region.height_px);
        assert_true(max.is_max && caret_max.is_max && !max.is_upscaled);
        assert_true(caret_max.size.width_px >= max.size.width_px &&
                    caret_max.size.height_px >= max.size.height_px);
        /* Two pixels more in both edges break a limit: one is what rounding may cost. */
        struct image_size more = {caret_max.size.width_px + 2, caret_max.size.height_px + 2};
        if (iiif_size_within(more, &limits))
            fail_msg("^max of %u x %u within %u, %u, %llu is but %u x %u", region.width_px, region.height_px,
                     limits.max_width_px, limits.max_height_px, (unsigned long long)limits.max_area_px,
                     caret_max.size.width_px, caret_max.size.height_px);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up_to_the_region), cmocka_unit_test(test_no_pixel_left),
        cmocka_unit_test(test_enlarging),        cmocka_unit_test(test_fitting),
        cmocka_unit_test(test_above_the_limits), cmocka_unit_test(test_fitting_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
