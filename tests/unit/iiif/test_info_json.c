/* info.json, member by member, as a JSON parser reads it. */
#include "worker/iiif/info_json.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct iiif_limits wide = {10000, 9000, 80000000, true, true};

static json_t *info(enum iiif_version version, const struct image_pyramid *pyramid,
                    const struct iiif_limits *limits)
{
    struct bytes out = {0};
    struct err err = {0};
    json_error_t fault;
    if (iiif_info_json(version, "http://h/iiif/x/a%2Fb.tif", pyramid, limits, &out, &err) != RC_OK)
        fail_msg("%s", err.message);
    assert_null(memchr(out.data, '\n', out.length));
    json_t *found = json_loadb((const char *)out.data, out.length, JSON_REJECT_DUPLICATES, &fault);
    if (found == NULL)
        fail_msg("not JSON: %s", fault.text);
    bytes_done(&out);
    return found;
}

/* `right` is JSON. */
static void assert_member(const json_t *object, const char *name, const char *right)
{
    const json_t *found = json_object_get(object, name);
    json_t *expected = json_loads(right, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    if (!json_equal(found, expected)) {
        char *text = found == NULL ? NULL : json_dumps(found, JSON_ENCODE_ANY);
        fail_msg("%s is %s and not %s", name, text == NULL ? "missing" : text, right);
    }
    json_decref(expected);
}

static void assert_missing(const json_t *object, const char *name)
{
    if (json_object_get(object, name) != NULL)
        fail_msg("%s has no place here", name);
}

static void assert_order(json_t *object, const char *const *names)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (*names == NULL)
            fail_msg("%s has no place here", name);
        assert_string_equal(name, *names);
        names++;
    }
    assert_null(*names);
}

/* 1001 x 777 in tiles of 256 x 128, three levels */
static struct image_pyramid tiled(void)
{
    return (struct image_pyramid){
        .level_count = 3,
        .page_count = 1,
        .orientation = 1,
        .has_colour = true,
        .level = {{{1001, 777}, {256, 128}, 1}, {{501, 389}, {256, 128}, 2}, {{251, 195}, {256, 128}, 4}},
    };
}

static struct image_pyramid flat(uint32_t width_px, uint32_t height_px)
{
    return (struct image_pyramid){.level_count = 1,
                                  .page_count = 1,
                                  .orientation = 1,
                                  .has_colour = true,
                                  .level = {{{width_px, height_px}, {0, 0}, 1}}};
}

static void test_version_3(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    json_t *found = info(IIIF_3, &pyramid, &wide);
    static const char *const order[] = {
        "@context",
        "id",
        "type",
        "protocol",
        "profile",
        "width",
        "height",
        "maxWidth",
        "maxHeight",
        "maxArea",
        "sizes",
        "tiles",
        "preferredFormats",
        "extraQualities",
        "extraFormats",
        "extraFeatures",
        NULL,
    };
    assert_order(found, order);
    assert_member(found, "@context", "\"http://iiif.io/api/image/3/context.json\"");
    assert_member(found, "id", "\"http://h/iiif/x/a%2Fb.tif\"");
    assert_member(found, "type", "\"ImageService3\"");
    assert_member(found, "protocol", "\"http://iiif.io/api/image\"");
    assert_member(found, "profile", "\"level2\"");
    assert_member(found, "width", "1001");
    assert_member(found, "height", "777");
    assert_member(found, "maxWidth", "10000");
    assert_member(found, "maxHeight", "9000");
    assert_member(found, "maxArea", "80000000");
    assert_member(found, "sizes",
                  "[{\"width\":251,\"height\":195},{\"width\":501,\"height\":389},"
                  "{\"width\":1001,\"height\":777}]");
    assert_member(found, "tiles", "[{\"width\":256,\"height\":128,\"scaleFactors\":[1,2,4]}]");
    assert_member(found, "preferredFormats", "[\"jpg\",\"webp\"]");
    assert_member(found, "extraQualities", "[\"color\",\"gray\",\"bitonal\"]");
    assert_member(found, "extraFormats", "[\"webp\",\"tif\",\"gif\",\"avif\"]");
    assert_member(found, "extraFeatures",
                  "[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\","
                  "\"rotationArbitrary\",\"sizeUpscaling\"]");
    json_decref(found);
}

static void test_version_2(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    json_t *found = info(IIIF_2, &pyramid, &wide);
    static const char *const order[] = {"@context", "@id",   "@type", "protocol", "width",
                                        "height",   "sizes", "tiles", "profile",  NULL};
    static const char *const described_order[] = {"formats", "qualities", "maxWidth", "maxHeight",
                                                  "maxArea", "supports",  NULL};
    assert_order(found, order);
    assert_member(found, "@context", "\"http://iiif.io/api/image/2/context.json\"");
    assert_member(found, "@id", "\"http://h/iiif/x/a%2Fb.tif\"");
    assert_member(found, "@type", "\"iiif:Image\"");
    assert_member(found, "protocol", "\"http://iiif.io/api/image\"");
    assert_member(found, "width", "1001");
    assert_member(found, "height", "777");
    assert_member(found, "sizes",
                  "[{\"width\":251,\"height\":195},{\"width\":501,\"height\":389},"
                  "{\"width\":1001,\"height\":777}]");
    assert_member(found, "tiles", "[{\"width\":256,\"height\":128,\"scaleFactors\":[1,2,4]}]");
    json_t *profile = json_object_get(found, "profile"), *described = json_array_get(profile, 1);
    assert_int_equal(json_array_size(profile), 2);
    assert_string_equal(json_string_value(json_array_get(profile, 0)),
                        "http://iiif.io/api/image/2/level2.json");
    assert_order(described, described_order);
    assert_member(described, "formats", "[\"webp\",\"tif\",\"gif\",\"avif\"]");
    assert_member(described, "qualities", "[\"color\",\"gray\",\"bitonal\"]");
    assert_member(described, "maxWidth", "10000");
    assert_member(described, "maxHeight", "9000");
    assert_member(described, "maxArea", "80000000");
    assert_member(described, "supports",
                  "[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\",\"regionSquare\","
                  "\"rotationArbitrary\",\"sizeAboveFull\"]");
    json_decref(found);
}

static void test_tiles_that_join(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    struct iiif_limits limits = wide;
    static const char stored[] = "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,2,4]}]";
    for (uint32_t i = 0; i < pyramid.level_count; i++)
        pyramid.level[i].tile = (struct image_size){256, 256};
    for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
        pyramid.tiles_join = false;
        limits = wide;
        json_t *found = info(version, &pyramid, &limits);
        assert_member(found, "tiles", stored);
        json_decref(found);

        pyramid.tiles_join = true;
        found = info(version, &pyramid, &limits);
        assert_member(found, "tiles",
                      "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,2,4]},"
                      "{\"width\":1024,\"height\":1024,\"scaleFactors\":[1,2,4]},"
                      "{\"width\":512,\"height\":512,\"scaleFactors\":[1,2,4]}]");
        json_decref(found);

        limits.max_width_px = 600;
        found = info(version, &pyramid, &limits);
        assert_member(found, "tiles",
                      "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,2,4]},"
                      "{\"width\":512,\"height\":512,\"scaleFactors\":[1,2,4]}]");
        json_decref(found);

        limits.join_tiles = false;
        found = info(version, &pyramid, &limits);
        assert_member(found, "tiles", stored);
        json_decref(found);
    }
}

static void test_without_upscaling(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    const struct iiif_limits limits = {10000, 10000, UINT64_MAX, false, true};
    json_t *found = info(IIIF_3, &pyramid, &limits);
    assert_member(found, "extraFeatures",
                  "[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\",\"rotationArbitrary\"]");
    assert_member(found, "maxArea", "9223372036854775807");
    json_decref(found);
    found = info(IIIF_2, &pyramid, &limits);
    assert_member(json_array_get(json_object_get(found, "profile"), 1), "supports",
                  "[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\",\"regionSquare\","
                  "\"rotationArbitrary\"]");
    json_decref(found);
}

static void test_gray_and_alpha(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    pyramid.has_alpha = true;
    json_t *found = info(IIIF_3, &pyramid, &wide);
    assert_member(found, "extraQualities", "[\"color\",\"gray\",\"bitonal\"]");
    json_decref(found);
    pyramid.has_colour = false;
    found = info(IIIF_3, &pyramid, &wide);
    assert_member(found, "extraQualities", "[\"gray\",\"bitonal\"]");
    json_decref(found);
    found = info(IIIF_2, &pyramid, &wide);
    assert_member(json_array_get(json_object_get(found, "profile"), 1), "qualities",
                  "[\"gray\",\"bitonal\"]");
    json_decref(found);
}

static void test_orientation(void **state)
{
    (void)state;
    for (uint8_t orientation = 1; orientation <= 8; orientation++) {
        struct image_pyramid pyramid = tiled();
        pyramid.orientation = orientation;
        json_t *found = info(IIIF_3, &pyramid, &wide);
        bool turned = orientation >= 5;
        assert_member(found, "width", turned ? "777" : "1001");
        assert_member(found, "height", turned ? "1001" : "777");
        assert_member(found, "sizes",
                      turned ? "[{\"width\":195,\"height\":251},{\"width\":389,\"height\":501},"
                               "{\"width\":777,\"height\":1001}]"
                             : "[{\"width\":251,\"height\":195},{\"width\":501,\"height\":389},"
                               "{\"width\":1001,\"height\":777}]");
        assert_member(found, "tiles",
                      turned ? "[{\"width\":128,\"height\":256,\"scaleFactors\":[1,2,4]}]"
                             : "[{\"width\":256,\"height\":128,\"scaleFactors\":[1,2,4]}]");
        json_decref(found);
    }
}

static void assert_sizes_and_tiles(const struct image_pyramid *pyramid, const struct iiif_limits *limits,
                                   const char *sizes, const char *tiles)
{
    for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
        json_t *found = info(version, pyramid, limits);
        if (sizes == NULL)
            assert_missing(found, "sizes");
        else
            assert_member(found, "sizes", sizes);
        assert_member(found, "tiles", tiles);
        json_decref(found);
    }
}

static void test_flat_pictures(void **state)
{
    (void)state;
    static const struct {
        uint32_t width_px, height_px;
        const char *sizes, *factors;
    } rows[] = {
        {1, 1, "[{\"width\":1,\"height\":1}]", "[1]"},
        {512, 512, "[{\"width\":512,\"height\":512}]", "[1]"},
        {513, 1, "[{\"width\":513,\"height\":1}]", "[1,2]"},
        {1, 1024, "[{\"width\":1,\"height\":1024}]", "[1,2]"},
        {1025, 7000, "[{\"width\":1025,\"height\":7000}]", "[1,2,4,8,16]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image_pyramid pyramid = flat(rows[i].width_px, rows[i].height_px);
        char tiles[128];
        snprintf(tiles, sizeof tiles, "[{\"width\":512,\"height\":512,\"scaleFactors\":%s}]",
                 rows[i].factors);
        assert_sizes_and_tiles(&pyramid, &wide, rows[i].sizes, tiles);
    }
    struct image_pyramid largest = flat(UINT32_MAX, 1);
    json_t *found = info(IIIF_3, &largest, &wide);
    assert_missing(found, "sizes");
    assert_int_equal(
        json_array_size(json_object_get(json_array_get(json_object_get(found, "tiles"), 0), "scaleFactors")),
        24);
    json_decref(found);
}

/* Nothing is promised that the limits refuse. */
static void test_limits_below_the_levels(void **state)
{
    (void)state;
    struct image_pyramid pyramid = tiled();
    const char *const two = "[{\"width\":251,\"height\":195},{\"width\":501,\"height\":389}]";
    const char *const one = "[{\"width\":251,\"height\":195}]";
    const char *const tiles = "[{\"width\":256,\"height\":128,\"scaleFactors\":[1,2,4]}]";
    assert_sizes_and_tiles(&pyramid, &(struct iiif_limits){1000, 1000, 1000000, true, false}, two, tiles);
    assert_sizes_and_tiles(&pyramid, &(struct iiif_limits){2000, 388, 1000000, true, false}, one, tiles);
    assert_sizes_and_tiles(&pyramid, &(struct iiif_limits){2000, 2000, 501 * 389 - 1, true, false}, one,
                           tiles);
    assert_sizes_and_tiles(&pyramid, &(struct iiif_limits){250, 250, 100000, true, false}, NULL,
                           "[{\"width\":128,\"height\":128,\"scaleFactors\":[1,2,4,8]}]");
    assert_sizes_and_tiles(&pyramid, &(struct iiif_limits){2000, 2000, 256 * 128 - 1, true, false}, NULL,
                           "[{\"width\":128,\"height\":128,\"scaleFactors\":[1,2,4,8]}]");
    struct image_pyramid strips = flat(600, 600);
    assert_sizes_and_tiles(&strips, &(struct iiif_limits){300, 400, 100000, true, false}, NULL,
                           "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,2,4]}]");
}

static void test_uneven_pyramids(void **state)
{
    (void)state;
    const char *const sizes = "[{\"width\":250,\"height\":200},{\"width\":500,\"height\":400},"
                              "{\"width\":1000,\"height\":800}]";
    struct image_pyramid pyramid = {
        .level_count = 3,
        .page_count = 1,
        .orientation = 1,
        .has_colour = true,
        .level = {{{1000, 800}, {256, 256}, 1}, {{500, 400}, {128, 128}, 2}, {{250, 200}, {256, 256}, 4}}};
    assert_sizes_and_tiles(&pyramid, &wide, sizes,
                           "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,4]},"
                           "{\"width\":128,\"height\":128,\"scaleFactors\":[2]}]");
    /* A level in one strip goes along with the tiled ones, wherever it is. */
    pyramid.level[2].tile = (struct image_size){0, 0};
    assert_sizes_and_tiles(&pyramid, &wide, sizes,
                           "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,4]},"
                           "{\"width\":128,\"height\":128,\"scaleFactors\":[2]}]");
    pyramid.level[0].tile = (struct image_size){0, 0};
    assert_sizes_and_tiles(&pyramid, &wide, sizes,
                           "[{\"width\":128,\"height\":128,\"scaleFactors\":[1,2,4]}]");
    pyramid.level[2].tile = (struct image_size){128, 256};
    assert_sizes_and_tiles(&pyramid, &wide, sizes,
                           "[{\"width\":128,\"height\":128,\"scaleFactors\":[1,2]},"
                           "{\"width\":128,\"height\":256,\"scaleFactors\":[4]}]");
    pyramid.level[2].tile = (struct image_size){0, 0};
    /* Levels of one size are one size. */
    pyramid.level[2].size = pyramid.level[1].size;
    assert_sizes_and_tiles(&pyramid, &wide,
                           "[{\"width\":500,\"height\":400},{\"width\":1000,\"height\":800}]",
                           "[{\"width\":128,\"height\":128,\"scaleFactors\":[1,2,4]}]");
}

/* Tiled, but nothing small in it: factors go on until one tile shows the whole picture. */
static void test_tiled_without_smaller_levels(void **state)
{
    (void)state;
    struct image_pyramid pyramid = {.level_count = 1,
                                    .page_count = 1,
                                    .orientation = 1,
                                    .has_colour = true,
                                    .level = {{{1000, 800}, {256, 256}, 1}}};
    assert_sizes_and_tiles(&pyramid, &wide, "[{\"width\":1000,\"height\":800}]",
                           "[{\"width\":256,\"height\":256,\"scaleFactors\":[1,2,4]}]");
    pyramid.level[0].size = (struct image_size){256, 256};
    assert_sizes_and_tiles(&pyramid, &wide, "[{\"width\":256,\"height\":256}]",
                           "[{\"width\":256,\"height\":256,\"scaleFactors\":[1]}]");
}

static void test_identifiers(void **state)
{
    (void)state;
    struct image_pyramid pyramid = flat(10, 10);
    struct bytes out = {0};
    struct err err = {0};
    assert_int_equal(bytes_append(&out, "before", 6, &err), RC_OK);
    assert_int_equal(iiif_info_json(IIIF_3, "http://h/a\"b\\c\xc3\xa9</", &pyramid, &wide, &out, &err),
                     RC_OK);
    assert_memory_equal(out.data, "before{\"@context\"", 16);
    json_t *found = json_loadb((const char *)out.data + 6, out.length - 6, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(found, "id")), "http://h/a\"b\\c\xc3\xa9</");
    json_decref(found);

    out.length = 6;
    assert_int_equal(iiif_info_json(IIIF_3, "http://h/\xff", &pyramid, &wide, &out, &err), RC_BAD_REQUEST);
    assert_non_null(strstr(err.message, "identifier is not UTF-8"));
    assert_int_equal(out.length, 6);
    bytes_done(&out);
}

static void test_media_types(void **state)
{
    (void)state;
    const char *const json = "application/json";
    const char *const linked_2 = "application/ld+json";
    const char *const linked_3 = "application/ld+json;profile=\"http://iiif.io/api/image/3/context.json\"";
    /* Without a preference each version has its own default. */
    static const char *const open[] = {NULL,
                                       "",
                                       "*/*",
                                       "application/*",
                                       "text/html",
                                       ";;;,,,",
                                       "*/*;q=0",
                                       "application/json,application/ld+json",
                                       "text/html,*/*;q=0.8"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        assert_string_equal(iiif_info_media_type(IIIF_2, open[i]), json);
        assert_string_equal(iiif_info_media_type(IIIF_3, open[i]), linked_3);
    }
    for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
        const char *linked = version == IIIF_2 ? linked_2 : linked_3;
        assert_string_equal(iiif_info_media_type(version, "application/json"), json);
        assert_string_equal(iiif_info_media_type(version, "application/json, */*"), json);
        assert_string_equal(iiif_info_media_type(version, "application/ld+json;q=0, */*"), json);
        assert_string_equal(iiif_info_media_type(version, "application/ld+json"), linked);
        assert_string_equal(iiif_info_media_type(version, "application/ld+json;profile=\"x\", */*"), linked);
        assert_string_equal(iiif_info_media_type(version, "application/json;q=0, */*"), linked);
        assert_string_equal(iiif_info_media_type(version, "application/*, application/ld+json"), linked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_3),       cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_tiles_that_join), cmocka_unit_test(test_without_upscaling),
        cmocka_unit_test(test_gray_and_alpha),  cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_flat_pictures),   cmocka_unit_test(test_limits_below_the_levels),
        cmocka_unit_test(test_uneven_pyramids), cmocka_unit_test(test_tiled_without_smaller_levels),
        cmocka_unit_test(test_identifiers),     cmocka_unit_test(test_media_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
