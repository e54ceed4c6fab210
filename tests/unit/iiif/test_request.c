/* The text of a request: every form that is one, and for everything else the code and the part that the
 * sentence names. */
#include "worker/iiif/request.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum rc parse(enum iiif_version version, const char *path, struct iiif_request *request,
                     struct err *err)
{
    /* Exactly as large as the text, so that the sanitizer sees a read past its end. */
    size_t length = strlen(path);
    char *copy = malloc(length + (length == 0));
    for (size_t i = 0; i < length; i++)
        copy[i] = path[i];
    enum rc rc = iiif_request_parse(version, copy, length, request, err);
    free(copy);
    return rc;
}

static void parsed(enum iiif_version version, const char *path, struct iiif_request *request)
{
    struct err err = {0};
    if (parse(version, path, request, &err) != RC_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(request->version, version);
}

static void assert_refused(enum iiif_version version, const char *path, enum rc rc, const char *named)
{
    struct iiif_request request;
    struct err err = {0};
    memset(&request, 0x5a, sizeof request);
    enum rc found = parse(version, path, &request, &err);
    if (found != rc || err.rc != rc)
        fail_msg("version %d, %s: code %d and not %d: %s", version, path, found, rc, err.message);
    if (strstr(err.message, named) == NULL)
        fail_msg("version %d, %s: '%s' does not name '%s'", version, path, err.message, named);
    for (const char *c = err.message; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            fail_msg("%s: the sentence is not printable ASCII", path);
    for (size_t i = 0; i < sizeof request; i++)
        if (((const unsigned char *)&request)[i] != 0x5a)
            fail_msg("%s: a failure wrote its output", path);
}

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

/* ---- routes and identifiers ---- */

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum iiif_what what;
        const char *raw, *identifier;
    } rows[] = {
        {"a.tif", IIIF_BASE, "a.tif", "a.tif"},
        {"a.tif/info.json", IIIF_INFO, "a.tif", "a.tif"},
        {"a.tif/%69nfo.json", IIIF_INFO, "a.tif", "a.tif"},
        {"ark:%2F12025%2f654xz321/info.json", IIIF_INFO, "ark:%2F12025%2f654xz321", "ark:/12025/654xz321"},
        {"%aA%fF%0a%A9", IIIF_BASE, "%aA%fF%0a%A9", "\xaa\xff\n\xa9"},
        {"1:%253C69", IIIF_BASE, "1:%253C69", "1:%3C69"},
        {"a%252Fb/full/max/0/default.jpg", IIIF_IMAGE, "a%252Fb", "a%2Fb"},
        {"%D1%84/full/max/0/default.jpg", IIIF_IMAGE, "%D1%84", "\xd1\x84"},
        {"a\\^<>[]`\x80/full/max/0/default.jpg", IIIF_IMAGE, "a\\^<>[]`\x80", "a\\^<>[]`\x80"},
        {"a+b%2Db;2", IIIF_BASE, "a+b%2Db;2", "a+b-b;2"},
        {"full/full/max/0/default.jpg", IIIF_IMAGE, "full", "full"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_request request;
        parsed(IIIF_3, rows[i].path, &request);
        assert_int_equal(request.what, rows[i].what);
        assert_string_equal(request.raw_identifier, rows[i].raw);
        assert_string_equal(request.identifier, rows[i].identifier);
    }
}

static void test_no_routes(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "a/",
        "a/info.jso",
        "a/INFO.JSON",
        "a/info.xml",
        "a/info.json/",
        "a/b/info.json",
        "a/info.json%00",
        "a/full",
        "a/full/max",
        "a/full/max/0",
        "a/b/full/max/0/default.jpg",
        "a/full/max/0/default.jpg/",
        "/full/max/0/default.jpg",
        "/info.json",
        "a/full%2Fmax/0/default.jpg",
        "//////////",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_refused(IIIF_2, paths[i], RC_NOT_FOUND, "identifier");
        assert_refused(IIIF_3, paths[i], RC_NOT_FOUND, "identifier");
    }
    assert_refused(IIIF_3, "a%", RC_BAD_REQUEST, "identifier 'a%'");
    assert_refused(IIIF_3, "a%00b/info.json", RC_BAD_REQUEST, "identifier 'a%00b'");
    assert_refused(IIIF_3, "%zz/full/max/0/default.jpg", RC_BAD_REQUEST, "identifier '%zz'");
}

/* Every length around the bounds, plain and with each byte encoded. */
static void test_lengths(void **state)
{
    (void)state;
    char *path = malloc(20000);
    struct iiif_request request;
    memset(path, 'a', 20000);
    path[IIIF_MAX_IDENTIFIER_BYTES] = '\0';
    parsed(IIIF_3, path, &request);
    assert_string_equal(request.identifier, path);
    path[IIIF_MAX_IDENTIFIER_BYTES] = 'a';
    path[IIIF_MAX_IDENTIFIER_BYTES + 1] = '\0';
    assert_refused(IIIF_3, path, RC_NOT_FOUND, "longer than 1024 bytes");

    for (size_t i = 0; i < IIIF_MAX_IDENTIFIER_BYTES + 1; i++)
        memcpy(path + 3 * i, "%41", 3);
    path[3 * IIIF_MAX_IDENTIFIER_BYTES] = '\0';
    parsed(IIIF_3, path, &request);
    assert_int_equal(strlen(request.identifier), IIIF_MAX_IDENTIFIER_BYTES);
    assert_string_equal(request.raw_identifier, path);
    path[3 * IIIF_MAX_IDENTIFIER_BYTES] = '%';
    path[3 * IIIF_MAX_IDENTIFIER_BYTES + 3] = '\0';
    assert_refused(IIIF_3, path, RC_NOT_FOUND, "longer than 1024 bytes");

    /* A parameter of 127 bytes is read, one of 128 is not; what it says is cut in the sentence. */
    strcpy(path, "a/");
    memset(path + 2, '0', 127);
    strcpy(path + 2 + 120, "0,0,1,1/max/0/default.jpg");
    parsed(IIIF_3, path, &request);
    memset(path + 2, '0', 128);
    strcpy(path + 2 + 121, "0,0,1,1/max/0/default.jpg");
    assert_refused(IIIF_3, path, RC_BAD_REQUEST, "000...' is longer than 127 bytes");
    free(path);
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
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_no_routes),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
