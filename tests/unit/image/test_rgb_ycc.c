/* RGB to YCbCr against the formula in doubles, over a grid of colours and rows of every length; YCbCr to RGB against what libjpeg
 * computes, of every colour. */
#include "worker/image/rgb_ycc.h"
#include "worker/image/ycc_rgb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#define NEAR 0.52

static double luma_of(double r, double g, double b)
{
    return 0.299 * r + 0.587 * g + 0.114 * b;
}

static void check(double seen, double right, const char *what)
{
    double clipped = right > 255 ? 255 : right;
    if (fabs(seen - clipped) > NEAR)
        fail_msg("%s: %f is not %f", what, seen, right);
}

static void every_colour(void **state)
{
    (void)state;
    uint8_t plane[3][256], luma[256], cb[256], cr[256];
    const uint8_t *const rgb[3] = {plane[0], plane[1], plane[2]};
    uint8_t *const chroma[2] = {cb, cr};
    for (unsigned r = 0; r < 256; r += 5)
        for (unsigned g = 0; g < 256; g += 5) {
            for (unsigned b = 0; b < 256; b++) {
                plane[0][b] = (uint8_t)r;
                plane[1][b] = (uint8_t)g;
                plane[2][b] = (uint8_t)b;
            }
            image_rgb_to_luma(rgb, luma, 256);
            image_rgb_to_chroma(rgb, chroma, 256);
            for (unsigned b = 0; b < 256; b++) {
                double y = luma_of(r, g, b);
                check(luma[b], y, "luma");
                check(cb[b], (b - y) / 1.772 + 128, "blue");
                check(cr[b], (r - y) / 1.402 + 128, "red");
            }
        }
}

/* Rows of `width` pixels; what lies behind their end stays as it is. */
static void check_halved(uint32_t width)
{
    uint8_t plane[2][3][80], cb[48], cr[48];
    memset(cb, 77, sizeof cb);
    for (unsigned row = 0; row < 2; row++)
        for (unsigned c = 0; c < 3; c++)
            for (uint32_t x = 0; x < width; x++)
                plane[row][c][x] = (uint8_t)((x * 37 + row * 91 + c * 53) % 256);
    const uint8_t *const above[3] = {plane[0][0], plane[0][1], plane[0][2]};
    const uint8_t *const below[3] = {plane[1][0], plane[1][1], plane[1][2]};
    image_rgb_to_halved_chroma(above, below, (uint8_t *const[2]){cb, cr}, width);
    for (uint32_t i = 0; i < (width + 1) / 2; i++) {
        double mean[3] = {0};
        uint32_t last = 2 * i + 1 < width ? 2 * i + 1 : 2 * i;
        for (unsigned c = 0; c < 3; c++)
            mean[c] = (plane[0][c][2 * i] + plane[0][c][last] + plane[1][c][2 * i] + plane[1][c][last]) / 4.0;
        double y = luma_of(mean[0], mean[1], mean[2]);
        check(cb[i], (mean[2] - y) / 1.772 + 128, "halved blue");
        check(cr[i], (mean[0] - y) / 1.402 + 128, "halved red");
    }
    assert_int_equal(cb[(width + 1) / 2], 77);
}

static void every_width(void **state)
{
    (void)state;
    for (uint32_t width = 1; width <= 80; width++)
        check_halved(width);
}

static uint8_t clipped(long value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* As libjpeg has it: factors in 1/65536, rounded once per channel and green once for both parts. */
static void back_as_libjpeg(void **state)
{
    (void)state;
    enum { ROOM = 32 };
    uint8_t ycc[3][256], rgb[3][256 + ROOM];
    for (unsigned b = 0; b < 256; b++)
        for (unsigned r = 0; r < 256; r++) {
            for (unsigned y = 0; y < 256; y++) {
                ycc[0][y] = (uint8_t)y;
                ycc[1][y] = (uint8_t)b;
                ycc[2][y] = (uint8_t)r;
            }
            image_ycc_to_rgb((const uint8_t *const[3]){ycc[0], ycc[1], ycc[2]},
                             (uint8_t *const[3]){rgb[0], rgb[1], rgb[2]}, 256);
            long blue = (long)b - 128, red = (long)r - 128;
            for (unsigned y = 0; y < 256; y++) {
                assert_int_equal(rgb[0][y], clipped((long)y + ((91881 * red + 32768) >> 16)));
                assert_int_equal(rgb[1][y], clipped((long)y + ((-22554 * blue - 46802 * red + 32768) >> 16)));
                assert_int_equal(rgb[2][y], clipped((long)y + ((116130 * blue + 32768) >> 16)));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_colour), cmocka_unit_test(back_as_libjpeg),
                                       cmocka_unit_test(every_width)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
