/* What becomes of the samples' values while their number changes: colour, depth, alpha. */
#include "tests/unit/image/resampling.h"

#include <math.h>

static void test_constant_stays_constant(void **state)
{
    const struct image_format formats[] = {
        FORMAT_GRAY, FORMAT_RGB_ALPHA, FORMAT_YCC(1, 1), {.model = IMAGE_LAB, .depth_bits = 16}};
    const uint32_t sizes[][2] = {{50, 30}, {99, 71}, {100, 72}, {205, 150}, {1, 1}, {3, 90}, {100, 9}};
    (void)state;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (uint32_t value = 0; value < 256; value += value < 3 ? 1 : value > 250 ? 1 : 31)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                struct planes from = planes_new(formats[f], 100, 72);
                uint32_t stored = formats[f].depth_bits == 16 ? value * 257 : value,
                         count = image_format_planes(&formats[f]);
                for (uint32_t plane = 0; plane < count; plane++)
                    for (uint32_t y = 0; y < plane_height(&from, plane); y++)
                        for (uint32_t x = 0; x < plane_width(&from, plane); x++)
                            set_sample(&from, plane, x, y, formats[f].alpha && plane == 3 ? 255 : stored);
                struct planes to = resample_whole(&from, formats[f], sizes[s][0], sizes[s][1]);
                for (uint32_t plane = 0; plane < count; plane++)
                    for (uint32_t y = 0; y < plane_height(&to, plane); y++)
                        for (uint32_t x = 0; x < plane_width(&to, plane); x++)
                            assert_int_equal(sample(&to, plane, x, y),
                                             formats[f].alpha && plane == 3 ? 255 : stored);
                planes_free(&to);
                planes_free(&from);
            }
}

static void test_ycbcr_to_rgb_is_jfif(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(0, 0), 256, 16);
    for (uint32_t y = 0; y < 16; y++)
        for (uint32_t x = 0; x < 256; x++) {
            set_sample(&from, 0, x, y, x);
            set_sample(&from, 1, x, y, (x * 7 + y * 16) & 255);
            set_sample(&from, 2, x, y, (x * 3 + y * 19) & 255);
        }
    struct planes to = resample_whole(&from, FORMAT_RGB, 256, 16);
    for (uint32_t y = 0; y < 16; y++)
        for (uint32_t x = 0; x < 256; x++) {
            double l = sample(&from, 0, x, y), b = sample(&from, 1, x, y) - 128.0,
                   r = sample(&from, 2, x, y) - 128.0;
            const double rgb[3] = {l + 1.402 * r, l - 0.344136 * b - 0.714136 * r, l + 1.772 * b};
            for (uint32_t plane = 0; plane < 3; plane++)
                assert_true(fabs(sample(&to, plane, x, y) - fmin(fmax(rgb[plane], 0), 255)) <= 0.51);
        }
    planes_free(&to);
    to = resample_whole(&from, FORMAT_GRAY, 256, 16);
    assert_memory_equal(to.data[0], from.data[0], 256 * 16);
    planes_free(&to);
    planes_free(&from);
}

static void test_sixteen_bits_round_to_eight(void **state)
{
    (void)state;
    struct planes from = planes_new((struct image_format){.model = IMAGE_GRAY, .depth_bits = 16}, 256, 256);
    for (uint32_t i = 0; i < 65536; i++)
        set_sample(&from, 0, i % 256, i / 256, i);
    struct planes to = resample_whole(&from, FORMAT_GRAY, 256, 256);
    for (uint32_t i = 0; i < 65536; i++)
        assert_int_equal(sample(&to, 0, i % 256, i / 256), (i + 128) / 257);
    planes_free(&to);
    planes_free(&from);
}

/* What is transparent has no say in the colour; a picture without weights would bleed its green. */
static void test_straight_alpha_weighs_colour(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_RGB_ALPHA, 64, 64);
    for (uint32_t y = 0; y < 64; y++)
        for (uint32_t x = 0; x < 64; x++) {
            bool there = x % 2 == 0;
            set_sample(&from, 0, x, y, there ? 200 : 0);
            set_sample(&from, 1, x, y, there ? 0 : 255);
            set_sample(&from, 3, x, y, there ? 255 : 0);
        }
    struct planes to = resample_whole(&from, FORMAT_RGB_ALPHA, 32, 32);
    for (uint32_t y = 0; y < 32; y++)
        for (uint32_t x = 2; x < 30; x++) {
            assert_in_range(sample(&to, 0, x, y), 199, 201);
            assert_in_range(sample(&to, 1, x, y), 0, 1);
            assert_in_range(sample(&to, 3, x, y), 127, 128);
        }
    planes_free(&to);
    planes_free(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_stays_constant),
        cmocka_unit_test(test_ycbcr_to_rgb_is_jfif),
        cmocka_unit_test(test_sixteen_bits_round_to_eight),
        cmocka_unit_test(test_straight_alpha_weighs_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
