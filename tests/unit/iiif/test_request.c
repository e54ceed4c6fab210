/* The parameters of a request: every form that is one, and for everything else the code and the part that the
 * sentence names. */
#include "tests/unit/iiif/parsing.h"

#include <math.h>
#include <stdio.h>

/* ---- regions ---- */

static const struct {
    const char *text;
    enum iiif_region_form form;
    double region[4];
} good_regions[] = {
    {"full", IIIF_REGION_FULL, {0}},
    {"square", IIIF_REGION_SQUARE, {0}},
    {"%66ull", IIIF_REGION_FULL, {0}},
    {"0,0,1,1", IIIF_REGION_PIXELS, {0, 0, 1, 1}},
    {"10,20,30,40", IIIF_REGION_PIXELS, {10, 20, 30, 40}},
    {"010,0020,30,40", IIIF_REGION_PIXELS, {10, 20, 30, 40}},
    {"0,0,0,0", IIIF_REGION_PIXELS, {0, 0, 0, 0}},
    {"0%2C1%2c2,3", IIIF_REGION_PIXELS, {0, 1, 2, 3}},
    {"4294967295,4000000000,4294967295,1", IIIF_REGION_PIXELS, {4294967295, 4000000000, 4294967295, 1}},
    {"pct:0,0,100,100", IIIF_REGION_PERCENT, {0, 0, 100, 100}},
    {"pct:41.6,7.5,66.6,100", IIIF_REGION_PERCENT, {41.6, 7.5, 66.6, 100}},
    {"pct:.9,22.50,0.25,5.", IIIF_REGION_PERCENT, {0.9, 22.5, 0.25, 5}},
    {"pct:0.123456789012345678,0,1,1", IIIF_REGION_PERCENT, {0.123456789012345678, 0, 1, 1}},
    {"pct:0,0,12345678901.5,1", IIIF_REGION_PERCENT, {0, 0, 12345678901.5, 1}},
};

static void test_regions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_regions / sizeof *good_regions; i++)
        for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
            struct iiif_request request;
            char path[128];
            snprintf(path, sizeof path, "a/%s/max/0/default.jpg", good_regions[i].text);
            parsed(version, path, &request);
            assert_int_equal(request.what, IIIF_IMAGE);
            assert_int_equal(request.region_form, good_regions[i].form);
            for (int k = 0; k < 4; k++)
                assert_true(fabs(request.region[k] - good_regions[i].region[k]) < 1e-13);
        }
}

static const char *const bad_regions[][2] = {
    {"", "region ''"},
    {"frob", "region 'frob' is none of full, square, x,y,w,h and pct:x,y,w,h"},
    {"Full", "'Full'"},
    {"FULL", "'FULL'"},
    {"Square", "'Square'"},
    {"fullx", "'fullx'"},
    {"max", "'max'"},
    {"0,0,10", "'0,0,10'"},
    {"0,0,10,10,10", "'0,0,10,10,10'"},
    {"0,0,10,", "a number is missing"},
    {",,,", "a number is missing"},
    {"-1,0,10,10", "'-1' is not a whole number"},
    {"0,0,10,+10", "'+10' is not a whole number"},
    {"0.5,0,10,10", "'0.5'"},
    {"1e1,0,10,10", "'1e1'"},
    {"0x1,0,10,10", "'0x1'"},
    {"%200,0,10,10", "' 0'"},
    {"0,0,10,10%20", "'10 '"},
    {"4294967296,0,1,1", "4294967296 is larger than any picture"},
    {"0,0,18446744073709551615,1", "18446744073709551615 is larger"},
    {"0,0,18446744073709551617,1", "18446744073709551617 is larger"},
    {"0,99999999999999999999999999,1,1", "99999999999999999999999999 is larger"},
    {"0,99999999999999999999999999x,1,1", "is not a whole number"},
    {"pct:", "'pct:'"},
    {"pct:0,0,10", "'pct:0,0,10'"},
    {"PCT:0,0,10,10", "'PCT:0'"},
    {"pct:1e1,0,10,10", "'1e1'"},
    {"pct:-1,0,10,10", "'-1'"},
    {"pct:0,+1,10,10", "'+1'"},
    {"pct:1.2.3,0,10,10", "'1.2.3'"},
    {"pct:,0,10,10", "''"},
    {"pct:.,0,10,10", "'.'"},
    {"pct:..,0,10,10", "'..'"},
    {"pct:nan,0,10,10", "'nan'"},
    {"pct:inf,0,10,10", "'inf'"},
    {"pct:0.1234567890123456789,0,1,1", "more than 20 characters"},
    {"full%00", "'full%00': a byte of value zero"},
    {"%", "'%': two hexadecimal digits"},
    {"full%", "two hexadecimal digits"},
    {"full%4", "two hexadecimal digits"},
    {"full%zz", "two hexadecimal digits"},
    {"full%0g", "two hexadecimal digits"},
    {"full\xff", "'full?'"},
    {"fu\x01ll", "'fu?ll'"},
    {"full%0A", "'full?'"},
    {"full%7f", "'full?'"},
};

static void test_bad_regions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_regions / sizeof *bad_regions; i++) {
        char path[160];
        snprintf(path, sizeof path, "a/%s/max/0/default.jpg", bad_regions[i][0]);
        assert_refused(IIIF_2, path, RC_BAD_REQUEST, bad_regions[i][1]);
        assert_refused(IIIF_3, path, RC_BAD_REQUEST, bad_regions[i][1]);
    }
}

/* ---- sizes ---- */

enum { V2 = 1, V3 = 2, BOTH = 3 };

static const struct {
    int versions;
    const char *text;
    enum iiif_size_form form;
    bool upscale;
    uint32_t width_px, height_px;
    double percent;
} good_sizes[] = {
    {V2, "full", IIIF_SIZE_FULL, false, 0, 0, 0},
    {BOTH, "max", IIIF_SIZE_MAX, false, 0, 0, 0},
    {V3, "^max", IIIF_SIZE_MAX, true, 0, 0, 0},
    {BOTH, "150,", IIIF_SIZE_WIDTH, false, 150, 0, 0},
    {V3, "^150,", IIIF_SIZE_WIDTH, true, 150, 0, 0},
    {V3, "%5E150,", IIIF_SIZE_WIDTH, true, 150, 0, 0},
    {BOTH, ",150", IIIF_SIZE_HEIGHT, false, 0, 150, 0},
    {V3, "^,150", IIIF_SIZE_HEIGHT, true, 0, 150, 0},
    {BOTH, "pct:12.5", IIIF_SIZE_PERCENT, false, 0, 0, 12.5},
    {BOTH, "pct:0", IIIF_SIZE_PERCENT, false, 0, 0, 0},
    {BOTH, "pct:200", IIIF_SIZE_PERCENT, false, 0, 0, 200},
    {V3, "^pct:.5", IIIF_SIZE_PERCENT, true, 0, 0, 0.5},
    {BOTH, "15,4294967295", IIIF_SIZE_EXACT, false, 15, 4294967295, 0},
    {V3, "^15,16", IIIF_SIZE_EXACT, true, 15, 16, 0},
    {BOTH, "!15,16", IIIF_SIZE_CONFINED, false, 15, 16, 0},
    {BOTH, "%2115,16", IIIF_SIZE_CONFINED, false, 15, 16, 0},
    {V3, "^!15,16", IIIF_SIZE_CONFINED, true, 15, 16, 0},
};

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_sizes / sizeof *good_sizes; i++)
        for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
            if ((good_sizes[i].versions & (version == IIIF_2 ? V2 : V3)) == 0)
                continue;
            struct iiif_request request;
            char path[128];
            snprintf(path, sizeof path, "a/full/%s/0/default.jpg", good_sizes[i].text);
            parsed(version, path, &request);
            assert_int_equal(request.size_form, good_sizes[i].form);
            assert_int_equal(request.upscale, good_sizes[i].upscale);
            assert_int_equal(request.width_px, good_sizes[i].width_px);
            assert_int_equal(request.height_px, good_sizes[i].height_px);
            assert_true(request.size_percent == good_sizes[i].percent);
        }
}

static const struct {
    int versions;
    const char *text, *named;
} bad_sizes[] = {
    {V3, "full", "size 'full' belongs to version 2, version 3 says max"},
    {V3, "^full", "size '^full' is none of max"},
    {V2, "^max", "size '^max': the ^ belongs to version 3"},
    {V2, "^600,", "'^600,'"},
    {V2, "^pct:50", "'^pct:50'"},
    {V2, "^!100,100", "'^!100,100'"},
    {V2, "frob", "size 'frob' is none of full, max, w, ,h pct:n w,h and !w,h"},
    {V3, "frob", "size 'frob' is none of max, w, ,h pct:n w,h and !w,h, each with or without ^"},
    {BOTH, "", "size ''"},
    {BOTH, "0,", "size '0,' asks for a width of 0 pixels"},
    {BOTH, ",0", "size ',0' asks for a height of 0 pixels"},
    {BOTH, "00,10", "width of 0"},
    {BOTH, "10,0", "height of 0"},
    {BOTH, "!0,10", "width of 0"},
    {BOTH, "pct:", "''"},
    {BOTH, "pct:-50", "'-50'"},
    {BOTH, "pct:+50", "'+50'"},
    {BOTH, "pct:1e1", "'1e1'"},
    {BOTH, "pct:50%25", "'50%'"},
    {BOTH, "pct:nan", "'nan'"},
    {BOTH, ",", "size ','"},
    {BOTH, "!,", "size '!,'"},
    {BOTH, "!100,", "size '!100,'"},
    {BOTH, "!,100", "size '!,100'"},
    {BOTH, "100", "size '100'"},
    {BOTH, "100,100,100", "'100,100,100'"},
    {BOTH, "-100,", "'-100'"},
    {BOTH, "+100,", "'+100'"},
    {BOTH, "1e2,", "'1e2'"},
    {BOTH, "10.5,", "'10.5'"},
    {BOTH, "Max", "'Max'"},
    {BOTH, "!max", "'!max'"},
    {BOTH, "!pct:50", "'!pct:50'"},
    {BOTH, "!!100,100", "'!100'"},
    {BOTH, "!^100,100", "'^100'"},
    {V3, "^^100,", "'^100'"},
    {V3, "^", "'^'"},
    {V3, "^frob", "'^frob'"},
    {BOTH, "%20100,", "' 100'"},
    {BOTH, "4294967296,", "4294967296 is larger than any picture"},
    {BOTH, "99999999999999999999,", "99999999999999999999 is larger"},
    {BOTH, ",18446744073709551617", "18446744073709551617 is larger"},
    {BOTH, "100,%00", "zero"},
};

static void test_bad_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++) {
        char path[160];
        snprintf(path, sizeof path, "a/full/%s/0/default.jpg", bad_sizes[i].text);
        if (bad_sizes[i].versions & V2)
            assert_refused(IIIF_2, path, RC_BAD_REQUEST, bad_sizes[i].named);
        if (bad_sizes[i].versions & V3)
            assert_refused(IIIF_3, path, RC_BAD_REQUEST, bad_sizes[i].named);
    }
}

/* ---- rotations ---- */

static const struct {
    const char *text;
    bool mirror;
    double degrees;
} good_rotations[] = {
    {"0", false, 0},
    {"!0", true, 0},
    {"90", false, 90},
    {"%2190", true, 90},
    {"360", false, 0},
    {"!360", true, 0},
    {"360.000", false, 0},
    {"90.0", false, 90},
    {"22.50", false, 22.5},
    {".9", false, 0.9},
    {"!0.9", true, 0.9},
    {"090", false, 90},
    {"359.9", false, 359.9},
    {"359.99999999999", false, 0},
    {"0.00000000001", false, 0},
    {"1.23456789014", false, 1.2345678901},
};

static void test_rotations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_rotations / sizeof *good_rotations; i++)
        for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
            struct iiif_request request;
            char path[128];
            snprintf(path, sizeof path, "a/full/max/%s/default.jpg", good_rotations[i].text);
            parsed(version, path, &request);
            assert_int_equal(request.mirror, good_rotations[i].mirror);
            if (request.rotation_deg != good_rotations[i].degrees)
                fail_msg("%s: %.17g", good_rotations[i].text, request.rotation_deg);
        }
}

static const char *const bad_rotations[][2] = {
    {"", "rotation ''"},
    {"frob", "rotation 'frob'"},
    {"361", "rotation '361' is not between 0 and 360"},
    {"360.1", "'360.1'"},
    {"!720", "'!720'"},
    {"99999999999999999999", "'99999999999999999999'"},
    {"-1", "'-1'"},
    {"+90", "'+90'"},
    {"!-90", "'-90'"},
    {"!!90", "'!90'"},
    {"90!", "'90!'"},
    {"!", "rotation '!'"},
    {"1e1", "'1e1'"},
    {"nan", "'nan'"},
    {"0x5a", "'0x5a'"},
    {"90,", "'90,'"},
    {"22.5.1", "'22.5.1'"},
    {".", "'.'"},
    {"%2090", "' 90'"},
    {"90%20", "'90 '"},
    {"^90", "'^90'"},
    {"000000000000000000090", "more than 20 characters"},
};

static void test_bad_rotations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_rotations / sizeof *bad_rotations; i++) {
        char path[160];
        snprintf(path, sizeof path, "a/full/max/%s/default.jpg", bad_rotations[i][0]);
        assert_refused(IIIF_2, path, RC_BAD_REQUEST, bad_rotations[i][1]);
        assert_refused(IIIF_3, path, RC_BAD_REQUEST, bad_rotations[i][1]);
    }
}

/* ---- quality and format ---- */

static void test_qualities_and_formats(void **state)
{
    (void)state;
    static const char *const qualities[] = {"default", "color", "gray", "bitonal"};
    static const char *const formats[] = {"jpg", "png", "webp", "tif", "gif", "avif"};
    for (int q = 0; q < 4; q++)
        for (int f = 0; f < IIIF_FORMATS; f++) {
            struct iiif_request request;
            char path[128];
            snprintf(path, sizeof path, "a/full/max/0/%s.%s", qualities[q], formats[f]);
            parsed(IIIF_2, path, &request);
            parsed(IIIF_3, path, &request);
            assert_int_equal(request.quality, q);
            assert_int_equal(request.format, f);
            assert_string_equal(iiif_quality_name(request.quality), qualities[q]);
            assert_string_equal(iiif_format_name(request.format), formats[f]);
        }
    struct iiif_request request;
    parsed(IIIF_3, "a/full/max/0/%67ray%2Epng", &request);
    assert_int_equal(request.quality, IIIF_GRAY);
    assert_int_equal(request.format, IIIF_PNG);
}

static const char *const bad_lasts[][2] = {
    {"native.jpg", "quality 'native' is none of default, color, gray and bitonal"},
    {"grey.jpg", "quality 'grey'"},
    {"Default.jpg", "quality 'Default'"},
    {"GRAY.jpg", "quality 'GRAY'"},
    {"colour.jpg", "quality 'colour'"},
    {"defaultx.jpg", "quality 'defaultx'"},
    {".jpg", "quality ''"},
    {"default.jpg.png", "quality 'default.jpg'"},
    {"default.JPG", "format 'JPG' is none of jpg, png, webp, tif, gif and avif"},
    {"default.jpeg", "format 'jpeg'"},
    {"default.jp2", "format 'jp2'"},
    {"default.pdf", "format 'pdf'"},
    {"default.", "format ''"},
    {"default", "'default' is not quality.format"},
    {"", "'' is not quality.format"},
    {"default.jpg%00", "zero"},
    {"default.jpg%20", "format 'jpg '"},
};

static void test_bad_qualities_and_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_lasts / sizeof *bad_lasts; i++) {
        char path[160];
        snprintf(path, sizeof path, "a/full/max/0/%s", bad_lasts[i][0]);
        assert_refused(IIIF_2, path, RC_BAD_REQUEST, bad_lasts[i][1]);
        assert_refused(IIIF_3, path, RC_BAD_REQUEST, bad_lasts[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_bad_regions),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_rotations),
        cmocka_unit_test(test_bad_rotations),
        cmocka_unit_test(test_qualities_and_formats),
        cmocka_unit_test(test_bad_qualities_and_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
