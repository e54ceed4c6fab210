/* Samples in another layout: gray and RGB, alpha of every kind, black and white. */
#include "tests/unit/image/planes.h"

#include "worker/image/colour.h"

#include <math.h>

static struct planes laid_out(const struct planes *from, struct image_format format)
{
    struct planes to = planes_new(format, from->size.width_px, from->size.height_px);
    struct image_sink *sink = NULL;
    assert_int_equal(image_colour_to_layout(&from->format, planes_sink(&to), &sink, NULL), RC_OK);
    assert_int_equal(planes_write(from, sink, 19, NULL), RC_OK);
    return to;
}

/* Every pair of layouts, against floating point. */
static void test_layouts(void **state)
{
    (void)state;
    for (uint32_t pair = 0; pair < 36; pair++) {
        struct image_format f = {
            .model = pair % 2 ? IMAGE_RGB : IMAGE_GRAY, .alpha = pair / 2 % 3, .depth_bits = 8};
        struct image_format t = {
            .model = pair / 6 % 2 ? IMAGE_RGB : IMAGE_GRAY, .alpha = pair / 12, .depth_bits = 8};
        uint32_t from_colours = f.model == IMAGE_RGB ? 3 : 1, to_colours = t.model == IMAGE_RGB ? 3 : 1;
        struct planes from = planes_new(f, 61, 37);
        planes_fill(&from, pair);
        for (uint32_t y = 0; y < 37; y++) /* premultiplied colour is never above its alpha */
            for (uint32_t x = 0; x < 61 && f.alpha == IMAGE_ALPHA_PREMULTIPLIED; x++)
                for (uint32_t i = 0; i < from_colours; i++)
                    set_sample(&from, i, x, y,
                               sample(&from, i, x, y) * sample(&from, from_colours, x, y) / 255);
        struct planes to = laid_out(&from, t);
        for (uint32_t y = 0; y < 37; y++)
            for (uint32_t x = 0; x < 61; x++) {
                double alpha = f.alpha ? sample(&from, from_colours, x, y) / 255.0 : 1, c[3];
                for (uint32_t i = 0; i < 3; i++) {
                    double v = sample(&from, from_colours == 3 ? i : 0, x, y);
                    if (f.alpha == IMAGE_ALPHA_PREMULTIPLIED && t.alpha != IMAGE_ALPHA_PREMULTIPLIED)
                        v = alpha > 0 ? v / alpha : 0;
                    if (f.alpha == IMAGE_ALPHA_STRAIGHT && t.alpha == IMAGE_ALPHA_PREMULTIPLIED)
                        v *= alpha;
                    if (t.alpha == IMAGE_ALPHA_NONE)
                        v = v * alpha + 255 * (1 - alpha);
                    c[i] = v;
                }
                if (from_colours == 3 && to_colours == 1)
                    c[0] = 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
                for (uint32_t i = 0; i < to_colours; i++)
                    assert_near(sample(&to, i, x, y), c[i], 1.01);
                if (t.alpha != IMAGE_ALPHA_NONE)
                    assert_int_equal(sample(&to, to_colours, x, y), lrint(255 * alpha));
            }
        planes_free(&to);
        planes_free(&from);
    }
}

static void test_layout_that_fits_is_no_step(void **state)
{
    (void)state;
    struct planes to = planes_new(FORMAT_YCC(1, 1), 4, 4);
    struct image_sink *next = planes_sink(&to), *sink = NULL;
    assert_int_equal(image_colour_to_layout(&to.format, next, &sink, NULL), RC_OK);
    assert_ptr_equal(sink, next);
    image_sink_close(&sink);
    planes_free(&to);
}

static void test_threshold(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_GRAY_ALPHA, 256, 40), to = planes_new(FORMAT_GRAY_ALPHA, 256, 40);
    struct image_sink *sink = NULL;
    for (uint32_t i = 0; i < 256 * 40; i++) {
        set_sample(&from, 0, i % 256, i / 256, i % 256);
        set_sample(&from, 1, i % 256, i / 256, i / 256);
    }
    assert_int_equal(image_colour_threshold(planes_sink(&to), &sink, NULL), RC_OK);
    assert_int_equal(planes_write(&from, sink, 40, NULL), RC_OK);
    for (uint32_t i = 0; i < 256 * 40; i++) {
        assert_int_equal(sample(&to, 0, i % 256, i / 256), i % 256 < 128 ? 0 : 255);
        assert_int_equal(sample(&to, 1, i % 256, i / 256), i / 256);
    }
    planes_free(&from);
    planes_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_layout_that_fits_is_no_step),
        cmocka_unit_test(test_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
