/* The loops of this processor against the plain ones, and those against the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/image/resample_filter.h"

#include <math.h>
#include <stdlib.h>

static uint32_t dice = 1;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static struct image_resample_taps taps_of(double start, double step, uint32_t count,
                                          enum image_resample_kernel kernel, uint32_t extent)
{
    const struct image_resample_axis axis = {.start = start, .step = step, .count = count};
    struct image_resample_taps taps;
    assert_int_equal(image_resample_taps_make(&axis, kernel, extent, &taps, NULL), RC_OK);
    return taps;
}

/* Every weight within the rounding of a share, all of them exactly one, all samples there, never a step back.
 */
static void test_weights(void **state)
{
    static const double steps[] = {0.01, 0.3, 1, 1.0001, 1.37, 2, 3.5, 17, 499.9, 2000};
    (void)state;
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
        for (int kernel = IMAGE_RESAMPLE_BICUBIC; kernel <= IMAGE_RESAMPLE_BILINEAR; kernel++)
            for (uint32_t extent = 1; extent < 3000; extent = extent * 3 + 1)
                for (int overhang = 0; overhang < 3; overhang++) {
                    uint32_t count = (uint32_t)fmax(1, ceil(extent / steps[s]));
                    double start = fmax(0, extent - count * steps[s]) + overhang * 0.49;
                    struct image_resample_taps t = taps_of(start, steps[s], count,
                                                           (enum image_resample_kernel)kernel, extent);
                    for (uint32_t i = 0; i < count; i++) {
                        int32_t sum = 0;
                        for (uint32_t tap = 0; tap < t.stride; tap++) {
                            int16_t weight = t.weight[(size_t)i * t.stride + tap];
                            assert_true(tap < t.taps || weight == 0);
                            sum += weight;
                        }
                        assert_int_equal(sum, 1 << IMAGE_RESAMPLE_ONE_LOG2);
                        assert_true(t.first[i] + t.taps <= extent);
                        assert_true(i == 0 || t.first[i] >= t.first[i - 1]);
                    }
                    image_resample_taps_done(&t);
                }
}

/* The same place has the same weights, wherever the window begins and however its step was rounded. */
static void test_weights_know_no_window(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t wanted = 301 + roll(3000), at = roll(wanted - 300);
        double step = 5000.0 / wanted, start = at * step;
        uint32_t skip = start < 1 ? 0 : roll((uint32_t)start);
        struct image_resample_taps all = taps_of(0, step, wanted, IMAGE_RESAMPLE_BICUBIC, 5000),
                                   part = taps_of(start - skip, 300 * step / 300, 300, IMAGE_RESAMPLE_BICUBIC,
                                                  5000 + 200 - skip);
        for (uint32_t x = 20; x < 280; x++) {
            if (all.first[at + x] < skip + 40 || all.first[at + x] > 4950)
                continue; /* mirrored in one of them */
            assert_int_equal(all.first[at + x], part.first[x] + skip);
            assert_memory_equal(all.weight + (size_t)(at + x) * all.stride,
                                part.weight + (size_t)x * part.stride, all.stride * sizeof *all.weight);
        }
        image_resample_taps_done(&all);
        image_resample_taps_done(&part);
    }
}

enum { MOST_WIDTH = 300, MOST_ROWS = 40 };

struct rows {
    uint8_t *row[MOST_ROWS]; /* each in memory of its own and no longer than it must be */
    int16_t weight[MOST_ROWS];
};

static struct rows rows_new(uint32_t width, uint32_t count, uint32_t sample_bytes)
{
    struct rows rows;
    int32_t left = 1 << IMAGE_RESAMPLE_ONE_LOG2;
    for (uint32_t i = 0; i < count; i++) {
        rows.row[i] = malloc((size_t)width * sample_bytes);
        for (uint32_t x = 0; x < width * sample_bytes; x++)
            rows.row[i][x] = (uint8_t)(roll(5) == 0 ? roll(2) * 255 : roll(256));
        int32_t weight = i == count - 1 ? left : (int32_t)roll(6000) - 1000;
        rows.weight[i] = (int16_t)(weight < -2000 ? -2000 : weight);
        left -= rows.weight[i];
    }
    return rows;
}

/* All `count` rows, in parts that begin at each of `cuts`. */
static void sum_rows(const struct image_resample_filter *filter, struct rows *rows, uint32_t width,
                     uint32_t count, uint32_t cut, bool deep, void *to)
{
    int32_t *sum = malloc(image_resample_sums(width) * sizeof *sum);
    for (uint32_t from = 0, until; from < count; from = until) {
        until = from < cut ? cut : count;
        struct image_resample_part part = {.rows = (const uint8_t *const *)&rows->row[from],
                                           .weights = rows->weight + from,
                                           .count = until - from,
                                           .width = width,
                                           .begins = from == 0,
                                           .ends = until == count,
                                           .sum = sum};
        if (deep)
            filter->down_deep(&part, to);
        else
            filter->down(&part, to);
    }
    free(sum);
}

static void test_down(void **state)
{
    const struct image_resample_filter *sets[] = {&image_resample_filter_plain, image_resample_filter_best()};
    (void)state;
    for (uint32_t round = 0; round < 600; round++) {
        uint32_t width = 1 + roll(MOST_WIDTH), count = 1 + roll(12), cut = roll(count);
        bool deep = round % 4 == 0;
        struct rows rows = rows_new(width, count, deep ? 2 : 1);
        for (size_t s = 0; s < 2; s++) {
            int16_t shallow[MOST_WIDTH + 32];
            int32_t full[MOST_WIDTH + 32];
            sum_rows(sets[s], &rows, width, count, cut, deep, deep ? (void *)full : shallow);
            for (uint32_t x = 0; x < width; x++) {
                double exact = 0;
                for (uint32_t i = 0; i < count; i++)
                    exact += (deep ? ((const uint16_t *)(const void *)rows.row[i])[x] : rows.row[i][x]) *
                             rows.weight[i] / 16384.0;
                assert_int_equal(deep ? full[x] : shallow[x], (int32_t)floor(exact * (deep ? 16 : 64) + 0.5));
            }
        }
        for (uint32_t i = 0; i < count; i++)
            free(rows.row[i]);
    }
}

static void test_along(void **state)
{
    const struct image_resample_filter *sets[] = {&image_resample_filter_plain, image_resample_filter_best()};
    (void)state;
    for (uint32_t round = 0; round < 600; round++) {
        uint32_t width = 1 + roll(MOST_WIDTH), count = 1 + roll(round % 3 == 0 ? 20 : MOST_WIDTH);
        struct image_resample_taps x = taps_of(0, (double)width / count, count,
                                               (enum image_resample_kernel)(round % 2), width);
        int16_t *from = malloc((width + x.stride) * sizeof *from);
        int32_t *from_deep = malloc((width + x.stride) * sizeof *from_deep);
        for (uint32_t i = 0; i < width + x.stride; i++) {
            from[i] = (int16_t)((int32_t)roll(255 * 64 + 6000) - 3000);
            from_deep[i] = from[i] * 64;
        }
        for (size_t s = 0; s < 2; s++) {
            uint8_t to[MOST_WIDTH + 8];
            uint16_t deep[MOST_WIDTH + 8];
            sets[s]->along(from, &x, to);
            sets[s]->along_deep(from_deep, &x, deep);
            for (uint32_t i = 0; i < count; i++) {
                double exact = 0;
                for (uint32_t tap = 0; tap < x.taps; tap++)
                    exact += from[x.first[i] + tap] * x.weight[(size_t)i * x.stride + tap] / 16384.0;
                assert_int_equal(to[i], (int)fmin(fmax(floor(exact / 64 + 0.5), 0), 255));
                assert_int_equal(deep[i], (int)fmin(fmax(floor(exact * 4 + 0.5), 0), 65535));
            }
        }
        free(from);
        free(from_deep);
        image_resample_taps_done(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_weights_know_no_window),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
