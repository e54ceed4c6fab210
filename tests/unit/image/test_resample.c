#include "tests/unit/image/resampling.h"

#include <math.h>
#include <stdio.h>

static void test_identity_keeps_every_sample(void **state)
{
    const struct image_format formats[] = {FORMAT_GRAY,
                                           FORMAT_RGB_ALPHA,
                                           FORMAT_YCC(1, 1),
                                           FORMAT_YCC(1, 0),
                                           {.model = IMAGE_CMYK, .depth_bits = 8},
                                           {.model = IMAGE_RGB, .depth_bits = 16}};
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct planes from = planes_new(formats[i], 77, 53);
        planes_fill(&from, 1);
        struct planes to = resample_whole(&from, formats[i], 77, 53);
        assert_int_equal(planes_difference(&from, &to), 0);
        planes_free(&to);
        planes_free(&from);
    }
}

/* Whole-pixel crops are copies, whatever the band's height. */
static void test_crop_is_a_copy(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(1, 1), 101, 67);
    planes_fill(&from, 2);
    for (uint32_t band = 2; band < 70; band += 14) {
        struct planes to = resample_window(&from, (struct image_window){20, 14, 81, 53}, FORMAT_YCC(1, 1), 81,
                                           53, band);
        for (uint32_t plane = 0; plane < 3; plane++)
            for (uint32_t y = 0; y < plane_height(&to, plane); y++)
                for (uint32_t x = 0; x < plane_width(&to, plane); x++)
                    assert_int_equal(sample(&to, plane, x, y),
                                     sample(&from, plane, x + (plane ? 10 : 20), y + (plane ? 7 : 14)));
        planes_free(&to);
    }
    planes_free(&from);
}

static uint32_t uncopied_bands;
static const uint8_t *uncopied_first;

static enum rc remember_plane(struct image_sink *sink, const struct image_band *band, struct err *err)
{
    (void)sink;
    (void)err;
    if (uncopied_bands++ == 0)
        uncopied_first = band->plane[0];
    return RC_OK;
}

static void test_identity_hands_on_the_readers_memory(void **state)
{
    static const struct image_sink_ops ops = {remember_plane, NULL, NULL};
    struct planes from = planes_new(FORMAT_GRAY, 32, 32);
    struct image_sink sink = {&ops, from.format, {8, 8}};
    struct image_reader *reader = planes_reader(&from, NULL, 32);
    (void)state;
    assert_int_equal(image_resample_run(reader, &(struct image_window){4, 2, 8, 8}, &sink, NULL, NULL, NULL),
                     RC_OK);
    assert_int_equal(uncopied_bands, 1);
    assert_ptr_equal(uncopied_first, ((struct planes_reader *)(void *)reader)->lent[0] + 2 * 32 + 4);
    image_reader_close(&reader);
    planes_free(&from);
}

/* The picture's last, partly covered column and row repeat the edge. */
static void test_overhang_repeats_the_edge(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(1, 1), 33, 21);
    planes_fill(&from, 3);
    struct planes to = resample_window(&from, (struct image_window){2, 4, 32, 18}, FORMAT_YCC(1, 1), 32, 18,
                                       8);
    for (uint32_t y = 0; y < 18; y++)
        for (uint32_t x = 0; x < 32; x++)
            assert_int_equal(sample(&to, 0, x, y),
                             sample(&from, 0, x < 31 ? x + 2 : 32, y < 17 ? y + 4 : 20));
    for (uint32_t y = 0; y < 9; y++)
        for (uint32_t x = 0; x < 16; x++)
            assert_int_equal(sample(&to, 1, x, y), sample(&from, 1, x + 1, y + 2));
    planes_free(&to);
    planes_free(&from);
}

/* A photograph stands in as slopes, blobs and some noise, band-limited as a camera's picture is. */
static struct planes scene(uint32_t width_px, uint32_t height_px)
{
    struct planes p = planes_new(FORMAT_GRAY, width_px, height_px);
    for (uint32_t y = 0; y < height_px; y++)
        for (uint32_t x = 0; x < width_px; x++) {
            double v = 110 + 50 * sin(x * 0.021 + y * 0.013) + 40 * sin(x * 0.17) * cos(y * 0.11) +
                       25 * sin(x * y * 0.0009) + 20 * sin(x * 0.9 + y * 0.4);
            set_sample(&p, 0, x, y, (uint32_t)fmin(fmax(v, 0), 255));
        }
    return p;
}

static double area_average(const struct planes *p, double x0, double x1, double y0, double y1)
{
    double sum = 0, area = 0;
    for (uint32_t y = (uint32_t)y0; y < y1 && y < p->size.height_px; y++)
        for (uint32_t x = (uint32_t)x0; x < x1 && x < p->size.width_px; x++) {
            double w = (fmin(x + 1.0, x1) - fmax(x, x0)) * (fmin(y + 1.0, y1) - fmax(y, y0));
            sum += w * sample(p, 0, x, y);
            area += w;
        }
    return sum / area;
}

static double psnr_against_area(const struct planes *from, const struct planes *to)
{
    double sx = (double)from->size.width_px / to->size.width_px,
           sy = (double)from->size.height_px / to->size.height_px, sum = 0;
    for (uint32_t y = 0; y < to->size.height_px; y++)
        for (uint32_t x = 0; x < to->size.width_px; x++) {
            double d = sample(to, 0, x, y) - area_average(from, x * sx, (x + 1) * sx, y * sy, (y + 1) * sy);
            sum += d * d;
        }
    return 10 * log10(255 * 255 / (sum / ((double)to->size.width_px * to->size.height_px)));
}

static void test_reduction_is_close_to_the_area_average(void **state)
{
    const uint32_t sizes[][2] = {{500, 375}, {333, 250}, {250, 188}, {100, 75}, {20, 15}, {5, 4}};
    (void)state;
    struct planes from = scene(1000, 750);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct planes to = resample_whole(&from, FORMAT_GRAY, sizes[i][0], sizes[i][1]);
        double psnr = psnr_against_area(&from, &to);
        print_message("1000x750 -> %ux%u: %.1f dB from the area average\n", sizes[i][0], sizes[i][1], psnr);
        assert_true(psnr > (sizes[i][0] > 5 ? 38 : 30));
        planes_free(&to);
    }
    planes_free(&from);
}

/* A zone plate has every frequency; what the small picture cannot hold must become gray, not rings of its
 * own. */
static void test_zone_plate_does_not_alias(void **state)
{
    enum { N = 800, M = 200 };
    (void)state;
    struct planes from = planes_new(FORMAT_GRAY, N, N);
    for (uint32_t y = 0; y < N; y++)
        for (uint32_t x = 0; x < N; x++) {
            double r2 = (x - N / 2.0) * (x - N / 2.0) + (y - N / 2.0) * (y - N / 2.0);
            set_sample(&from, 0, x, y, (uint32_t)lrint(127.5 + 127.5 * cos(3.14159265 * r2 / N)));
        }
    struct planes to = resample_whole(&from, FORMAT_GRAY, M, M);
    double sum = 0, count = 0;
    for (uint32_t y = 0; y < M; y++)
        for (uint32_t x = 0; x < M; x++) {
            double r = hypot(x - M / 2.0, y - M / 2.0);
            if (r < M * 0.25 || r > M * 0.48) /* there: 2 to 4 times what the small picture can hold */
                continue;
            sum += (sample(&to, 0, x, y) - 127.5) * (sample(&to, 0, x, y) - 127.5);
            count++;
        }
    print_message("zone plate: %.2f levels left of what cannot be shown (pixel dropping: 90)\n",
                  sqrt(sum / count));
    assert_true(sqrt(sum / count) < 6);
    planes_free(&to);
    planes_free(&from);
}

/* Tiles of a resampled picture are crops of it, for any scale, layout and position. */
static void test_regions_are_crops_of_the_whole(void **state)
{
    static const struct {
        struct image_format from, to;
    } kinds[] = {
        {{.model = IMAGE_GRAY, .depth_bits = 8}, {.model = IMAGE_GRAY, .depth_bits = 8}},
        {{.model = IMAGE_RGB, .depth_bits = 16}, {.model = IMAGE_RGB, .depth_bits = 8}},
        {{.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1},
         {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1}},
        {{.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1},
         {.model = IMAGE_RGB, .depth_bits = 8}},
        {{.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 2, .sub_y_log2 = 0},
         {.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1}},
        {{.model = IMAGE_RGB, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8},
         {.model = IMAGE_RGB, .alpha = IMAGE_ALPHA_STRAIGHT, .depth_bits = 8}},
    };
    static const uint32_t sizes[][2] = {{1001, 777}, {500, 388},   {503, 377},
                                        {77, 61},    {1300, 1000}, {1001, 300}};
    uint32_t worst = 0;
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct planes from = planes_new(kinds[k].from, 1001, 777);
        planes_fill(&from, (uint32_t)k);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const uint32_t w = sizes[s][0], h = sizes[s][1];
            const double sx = 1001.0 / w, sy = 777.0 / h;
            struct planes all = resample_whole(&from, kinds[k].to, w, h);
            for (uint32_t i = 0; i < 7; i++) {
                /* even corners, so that the crop's chroma lies on the whole's */
                uint32_t x = (w * i / 8) & ~3u, y = (h * ((i * 3) % 7) / 8) & ~3u;
                uint32_t tw = i == 0 || w - x < 64 ? w - x : 64 - i % 2,
                         th = h - y < 64 || i == 5 ? h - y : 64 - i % 3;
                struct planes tile = resample_window(
                    &from, (struct image_window){x * sx, y * sy, tw * sx, th * sy}, kinds[k].to, tw, th, 32);
                for (uint32_t plane = 0; plane < image_format_planes(&tile.format); plane++) {
                    bool chroma = tile.format.model == IMAGE_YCBCR && (plane == 1 || plane == 2);
                    uint32_t cx = chroma ? x >> tile.format.sub_x_log2 : x,
                             cy = chroma ? y >> tile.format.sub_y_log2 : y;
                    for (uint32_t ty = 0; ty < plane_height(&tile, plane); ty++)
                        for (uint32_t tx = 0; tx < plane_width(&tile, plane); tx++) {
                            uint32_t one = sample(&tile, plane, tx, ty),
                                     two = sample(&all, plane, tx + cx, ty + cy);
                            uint32_t d = one > two ? one - two : two - one;
                            if (d > 1)
                                print_error("kind %zu size %zu tile %u plane %u at %u,%u: %u, not %u\n", k, s,
                                            i, plane, tx, ty, one, two);
                            assert_true(d <= 1);
                            worst = d > worst ? d : worst;
                        }
                }
                planes_free(&tile);
            }
            planes_free(&all);
        }
        planes_free(&from);
    }
    print_message("regions differ from the crop by at most %u\n", worst);
}

/* Stripes are an inner affair: large pictures, cut into many, are as if made in one piece. */
static void test_stripes_leave_no_trace(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(1, 1), 3001, 2999);
    planes_fill(&from, 9);
    struct planes big = resample_whole(&from, FORMAT_YCC(1, 1), 1777, 1801);
    struct planes low = resample_window(
        &from, (struct image_window){0, 1000 * (2999.0 / 1801), 3001, 200 * (2999.0 / 1801)},
        FORMAT_YCC(1, 1), 1777, 200, 64);
    for (uint32_t plane = 0; plane < 3; plane++)
        for (uint32_t y = 0; y < plane_height(&low, plane); y++)
            for (uint32_t x = 0; x < plane_width(&low, plane); x++)
                assert_int_equal(sample(&low, plane, x, y), sample(&big, plane, x, y + (plane ? 500 : 1000)));
    planes_free(&low);
    planes_free(&big);
    planes_free(&from);
}

/* By a whole factor every stripe has the geometry of the one before, and what was built for it serves
 * again. */
static void test_equal_stripes(void **state)
{
    static const uint32_t widths[] = {64, 48, 128, 20};
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(1, 1), 64, 400000);
    planes_fill(&from, 5);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct planes big = resample_whole(&from, FORMAT_YCC(1, 1), widths[i], 200000);
        struct planes low = resample_window(&from, (struct image_window){0, 380000, 64, 20000},
                                            FORMAT_YCC(1, 1), widths[i], 10000, 64);
        for (uint32_t plane = 0; plane < 3; plane++)
            assert_memory_equal(low.data[plane],
                                big.data[plane] + (plane ? 95000 : 190000) * big.stride_bytes[plane],
                                plane_height(&low, plane) * low.stride_bytes[plane]);
        planes_free(&low);
        planes_free(&big);
    }
    planes_free(&from);
}

/* Bounded, whatever is asked. */
static void test_extreme_reductions(void **state)
{
    (void)state;
    struct planes from = planes_new(FORMAT_YCC(1, 1), 9001, 2003);
    planes_fill(&from, 4);
    struct planes to = resample_whole(&from, FORMAT_YCC(1, 1), 50, 11);
    planes_free(&to);
    to = resample_whole(&from, FORMAT_RGB, 1, 1);
    assert_in_range(sample(&to, 1, 0, 0), 60, 200);
    planes_free(&to);
    to = resample_whole(&from, FORMAT_GRAY, 9001, 1);
    planes_free(&to);
    planes_free(&from);

    from = planes_new(FORMAT_GRAY, 1, 1);
    set_sample(&from, 0, 0, 0, 77);
    to = resample_whole(&from, FORMAT_GRAY, 300, 200);
    for (uint32_t i = 0; i < 300 * 200; i++)
        assert_int_equal(to.data[0][i], 77);
    planes_free(&to);
    planes_free(&from);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static enum rc no_more(struct image_reader *reader, struct image_band *band, struct err *err)
{
    (void)reader;
    (void)band;
    return err_set(err, RC_CORRUPT, "the tile ends early");
}

static void test_failures_come_through(void **state)
{
    static const struct image_reader_ops ops = {no_more, NULL};
    struct image_reader reader = {&ops, FORMAT_GRAY, {100, 100}};
    struct planes to = planes_new(FORMAT_GRAY, 50, 50);
    struct image_sink *sink = planes_sink(&to);
    struct image_window window = {0, 0, 100, 100};
    struct err err;
    (void)state;
    assert_int_equal(image_resample_run(&reader, &window, sink, always, NULL, &err), RC_CANCELLED);
    assert_int_equal(image_resample_run(&reader, &window, sink, NULL, NULL, &err), RC_CORRUPT);
    assert_string_equal(err.message, "the tile ends early");

    reader.size = (struct image_size){2000000000, 2000000000};
    window = (struct image_window){0, 0, 2e9, 2e9};
    assert_int_equal(image_resample_run(&reader, &window, sink, NULL, NULL, &err), RC_TOO_LARGE);
    image_sink_close(&sink);
    planes_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_keeps_every_sample),
        cmocka_unit_test(test_crop_is_a_copy),
        cmocka_unit_test(test_identity_hands_on_the_readers_memory),
        cmocka_unit_test(test_overhang_repeats_the_edge),
        cmocka_unit_test(test_reduction_is_close_to_the_area_average),
        cmocka_unit_test(test_zone_plate_does_not_alias),
        cmocka_unit_test(test_regions_are_crops_of_the_whole),
        cmocka_unit_test(test_stripes_leave_no_trace),
        cmocka_unit_test(test_equal_stripes),
        cmocka_unit_test(test_extreme_reductions),
        cmocka_unit_test(test_failures_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
