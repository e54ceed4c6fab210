#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/iiif/zoom.h"

#include <string.h>

static struct image_pyramid picture(uint32_t width_px, uint32_t height_px)
{
    struct image_pyramid pyramid = {.level_count = 1, .orientation = 1, .has_colour = true};
    pyramid.level[0] = (struct image_level){{width_px, height_px}, {256, 256}, 1};
    return pyramid;
}

static enum rc parse(enum iiif_zoom_protocol protocol, const char *path, struct iiif_request *ret,
                     struct err *err)
{
    return iiif_zoom_parse(protocol, path, strlen(path), ret, err);
}

static void assert_tile(enum iiif_zoom_protocol protocol, const char *path,
                        const struct image_pyramid *pyramid, const double region[4], uint32_t width_px,
                        uint32_t height_px)
{
    struct iiif_request request;
    struct err err = {.message = ""};
    if (parse(protocol, path, &request, &err) != RC_OK || iiif_zoom_resolve(&request, pyramid, &err) != RC_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(request.what, IIIF_IMAGE);
    for (int i = 0; i < 4; i++)
        assert_true(request.region[i] == region[i]);
    assert_int_equal(request.width_px, width_px);
    assert_int_equal(request.height_px, height_px);
}

static void test_deepzoom_tiles(void **state)
{
    (void)state;
    const struct image_pyramid p = picture(1000, 700); /* level 10 is full size, level 9 is 500 × 350 */
    assert_tile(IIIF_ZOOM_DEEPZOOM, "a%2Fb.tif_files/10/0_0.jpg", &p, (double[]){0, 0, 256, 256}, 256, 256);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/10/3_2.jpg", &p, (double[]){768, 512, 232, 188}, 232, 188);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/9/1_1.png", &p, (double[]){512, 512, 488, 188}, 244, 94);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/7/0_0.webp", &p, (double[]){0, 0, 1000, 700}, 125, 88);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/0/0_0.jpg", &p, (double[]){0, 0, 1000, 700}, 1, 1);
}

static void test_zoomify_tiles(void **state)
{
    (void)state;
    const struct image_pyramid p = picture(1000, 700); /* tier 2 is full size */
    assert_tile(IIIF_ZOOM_ZOOMIFY, "b/TileGroup0/2-3-2.jpg", &p, (double[]){768, 512, 232, 188}, 232, 188);
    assert_tile(IIIF_ZOOM_ZOOMIFY, "b/TileGroup7/0-0-0.jpg", &p, (double[]){0, 0, 1000, 700}, 250, 175);
    const struct image_pyramid odd = picture(513, 10); /* halved to 256: two tiers */
    assert_tile(IIIF_ZOOM_ZOOMIFY, "b/TileGroup0/1-2-0.jpg", &odd, (double[]){512, 0, 1, 10}, 1, 10);
}

static void test_the_largest_picture(void **state)
{
    (void)state;
    const struct image_pyramid p = picture(UINT32_MAX, UINT32_MAX);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/0/0_0.jpg", &p, (double[]){0, 0, UINT32_MAX, UINT32_MAX}, 1, 1);
    assert_tile(IIIF_ZOOM_DEEPZOOM, "b_files/32/16777215_16777215.jpg", &p,
                (double[]){4294967040.0, 4294967040.0, 255, 255}, 255, 255);
}

static void test_tiles_that_are_not_there(void **state)
{
    (void)state;
    static const char *const deepzoom[] = {"b_files/11/0_0.jpg", "b_files/10/4_0.jpg", "b_files/10/0_3.jpg",
                                           "b_files/9/2_0.jpg", "b_files/4294967295/0_0.jpg"};
    const struct image_pyramid p = picture(1000, 700);
    for (size_t i = 0; i < sizeof deepzoom / sizeof deepzoom[0]; i++) {
        struct iiif_request request;
        struct err err;
        assert_int_equal(parse(IIIF_ZOOM_DEEPZOOM, deepzoom[i], &request, &err), RC_OK);
        assert_int_equal(iiif_zoom_resolve(&request, &p, &err), RC_NOT_FOUND);
    }
}

static void test_what_is_no_such_path(void **state)
{
    (void)state;
    static const struct {
        enum iiif_zoom_protocol protocol;
        const char *path;
        enum rc rc;
    } wrong[] = {
        {IIIF_ZOOM_DEEPZOOM, "", RC_NOT_FOUND},
        {IIIF_ZOOM_DEEPZOOM, ".dzi", RC_NOT_FOUND},
        {IIIF_ZOOM_DEEPZOOM, "b.tif", RC_NOT_FOUND},
        {IIIF_ZOOM_DEEPZOOM, "b.dzi/0/0_0.jpg", RC_NOT_FOUND},
        {IIIF_ZOOM_DEEPZOOM, "b_files/x/0_0.jpg", RC_BAD_REQUEST},
        {IIIF_ZOOM_DEEPZOOM, "b_files/0/0-0.jpg", RC_BAD_REQUEST},
        {IIIF_ZOOM_DEEPZOOM, "b_files/0/0_0.bmp", RC_BAD_REQUEST},
        {IIIF_ZOOM_DEEPZOOM, "b_files/0/0_0.jpg/x", RC_BAD_REQUEST},
        {IIIF_ZOOM_DEEPZOOM, "b_files/99999999999/0_0.jpg", RC_BAD_REQUEST},
        {IIIF_ZOOM_DEEPZOOM, "b%2_files/0/0_0.jpg", RC_BAD_REQUEST},
        {IIIF_ZOOM_ZOOMIFY, "b/ImageProperties.xml.", RC_NOT_FOUND},
        {IIIF_ZOOM_ZOOMIFY, "/ImageProperties.xml", RC_NOT_FOUND},
        {IIIF_ZOOM_ZOOMIFY, "b/TileGroup/0-0-0.jpg", RC_NOT_FOUND},
        {IIIF_ZOOM_ZOOMIFY, "b/TileGroup0/0-0_0.jpg", RC_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct iiif_request request = {.what = IIIF_BASE};
        struct err err;
        if (parse(wrong[i].protocol, wrong[i].path, &request, &err) != wrong[i].rc)
            fail_msg("'%s' is read as something", wrong[i].path);
    }
}

static void test_descriptors(void **state)
{
    (void)state;
    struct image_pyramid p = picture(1000, 700);
    struct bytes out = {0};
    struct err err;
    p.orientation = 6; /* upright it is 700 × 1000 */
    assert_int_equal(iiif_zoom_descriptor(IIIF_ZOOM_ZOOMIFY, &p, &out, &err), RC_OK);
    /* 3 × 4 + 2 × 2 + 1 tiles */
    assert_int_equal(bytes_append(&out, "", 1, &err), RC_OK);
    assert_string_equal((char *)out.data,
                        "<IMAGE_PROPERTIES WIDTH=\"700\" HEIGHT=\"1000\" NUMTILES=\"17\" NUMIMAGES=\"1\" "
                        "VERSION=\"1.8\" TILESIZE=\"256\" />\n");
    out.length = 0;
    assert_int_equal(iiif_zoom_descriptor(IIIF_ZOOM_DEEPZOOM, &p, &out, &err), RC_OK);
    assert_int_equal(bytes_append(&out, "", 1, &err), RC_OK);
    assert_non_null(strstr((char *)out.data,
                           "TileSize=\"256\" Overlap=\"0\" Format=\"jpg\">\n  <Size Width=\"700\" "
                           "Height=\"1000\"/>"));
    bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deepzoom_tiles),       cmocka_unit_test(test_zoomify_tiles),
        cmocka_unit_test(test_the_largest_picture),  cmocka_unit_test(test_tiles_that_are_not_there),
        cmocka_unit_test(test_what_is_no_such_path), cmocka_unit_test(test_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
