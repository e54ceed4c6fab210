/* The arithmetic of a pyramid against plain averages in doubles. */
#include "worker/ingest/levels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

static void sizes_are_halved_and_rounded_up(void **state)
{
    (void)state;
    struct ingest_levels levels;
    ingest_levels_init(&levels, (struct image_size){1001, 257}, 256);
    const struct image_size right[] = {{1001, 257}, {501, 129}, {251, 65}};
    assert_int_equal(levels.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(levels.size[i].width_px, right[i].width_px);
        assert_int_equal(levels.size[i].height_px, right[i].height_px);
    }
    ingest_levels_init(&levels, (struct image_size){256, 256}, 256);
    assert_int_equal(levels.count, 1);
    ingest_levels_init(&levels, (struct image_size){1, 257}, 256);
    assert_int_equal(levels.count, 2);
    assert_int_equal(levels.size[1].width_px, 1);
    ingest_levels_init(&levels, (struct image_size){INT32_MAX, INT32_MAX}, 64);
    assert_true(levels.count <= IMAGE_MAX_LEVELS);
    assert_int_equal(levels.size[levels.count - 1].width_px, 64);
}

static void an_axis_counts_its_last_sample(void **state)
{
    (void)state;
    struct ingest_axis axis = ingest_axis_init(1001, 3);
    assert_int_equal(axis.count, 126);
    assert_int_equal(axis.full, 8);
    assert_int_equal(axis.last, 1);
    axis = ingest_axis_init(1024, 3);
    assert_int_equal(axis.count, 128);
    assert_int_equal(axis.last, 8);
    axis = ingest_axis_init(3, 5);
    assert_int_equal(axis.count, 1);
    assert_int_equal(axis.last, 3);
}

/* A row of `extent` pixels, halved `levels` times (both rows the same), against the mean of the pixels behind each sample. */
static void check_row(uint32_t extent, unsigned levels, uint8_t most)
{
    uint8_t *pixel = malloc(extent);
    uint16_t *line[2] = {malloc(extent * 2), malloc(extent * 2)};
    for (uint32_t i = 0; i < extent; i++)
        pixel[i] = (uint8_t)(most == 0 ? (i * 7919 + i * i * 31) % 256 : most);
    struct ingest_axis axis = ingest_axis_init(extent, 0);
    ingest_halve_narrow(pixel, pixel, &axis, line[1]);
    for (unsigned level = 1; level < levels; level++) {
        axis = ingest_axis_init(extent, level);
        ingest_halve_wide(line[level % 2], line[level % 2], &axis, line[1 - level % 2]);
    }
    axis = ingest_axis_init(extent, levels);
    for (uint32_t i = 0; i < axis.count; i++) {
        uint64_t first = i * axis.full, count = i + 1 == axis.count ? axis.last : axis.full;
        double sum = 0;
        for (uint64_t x = first; x < first + count; x++)
            sum += pixel[x];
        double seen = line[levels % 2][i] / 256.0;
        if (fabs(seen - sum / (double)count) > 0.01)
            fail_msg("%u pixels, level %u, sample %u: %f is not %f", extent, levels, i, seen,
                     sum / (double)count);
    }
    free(pixel);
    free(line[0]);
    free(line[1]);
}

static void samples_are_means_of_their_pixels(void **state)
{
    (void)state;
    const uint32_t extents[] = {1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 65, 67, 127, 1001, 2572};
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++)
        for (unsigned level = 1; level < 7; level++) {
            check_row(extents[i], level, 0);
            check_row(extents[i], level, 255); /* nothing overflows */
        }
}

static void rows_weigh_what_they_stand_for(void **state)
{
    (void)state;
    uint16_t above[3] = {0, 65535, 25600}, below[3] = {65280, 65535, 0};
    ingest_blend_rows(above, below, 3, 8, 2);
    assert_int_equal(above[0], 13056);
    assert_int_equal(above[1], 65535);
    assert_int_equal(above[2], 20480);
}

static void wide_and_narrow_are_inverse(void **state)
{
    (void)state;
    uint8_t bytes[259], back[259];
    uint16_t wide[259];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    ingest_widen(bytes, sizeof bytes, wide);
    ingest_narrow(wide, sizeof bytes, back);
    assert_memory_equal(bytes, back, sizeof bytes);
    wide[0] = 127, wide[1] = 128, wide[2] = 65280;
    ingest_narrow(wide, 3, back);
    assert_int_equal(back[0], 0);
    assert_int_equal(back[1], 1);
    assert_int_equal(back[2], 255);
}

static void what_does_not_cover_does_not_count(void **state)
{
    (void)state;
    const struct ingest_axis axis = ingest_axis_init(5, 0);
    const uint16_t colour[2][5] = {{100, 900, 7, 7, 500}, {100, 900, 7, 7, 100}};
    const uint16_t alpha[2][5] = {{65280, 0, 0, 0, 3}, {65280, 0, 0, 0, 1}};
    uint16_t to[3];
    ingest_halve_covered(colour[0], colour[1], alpha[0], alpha[1], 1, 1, &axis, to);
    assert_int_equal(to[0], 100);
    assert_int_equal(to[1], 7);
    assert_int_equal(to[2], 400);
}

/* What lies midway between two values goes down as often as up. */
static void narrowing_keeps_the_mean(void **state)
{
    (void)state;
    uint16_t wide[100];
    uint8_t narrow[100];
    for (uint32_t count = 2; count <= 100; count += 2) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < count; i++)
            wide[i] = 99 * 256 + 128;
        ingest_narrow(wide, count, narrow);
        for (uint32_t i = 0; i < count; i++)
            sum += narrow[i];
        assert_int_equal(2 * sum, (2 * 99 + 1) * count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_halved_and_rounded_up),
        cmocka_unit_test(an_axis_counts_its_last_sample),
        cmocka_unit_test(samples_are_means_of_their_pixels),
        cmocka_unit_test(rows_weigh_what_they_stand_for),
        cmocka_unit_test(wide_and_narrow_are_inverse),
        cmocka_unit_test(narrowing_keeps_the_mean),
        cmocka_unit_test(what_does_not_cover_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
