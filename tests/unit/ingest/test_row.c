/* Rows that lie in the blocks of a row of tiles, against the same rows in one piece; and the blocks themselves. */
#include "worker/ingest/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define TILE_PX   64u
#define ACROSS_PX 150u /* two tiles and 22 pixels of a third */
#define TILES     3u

static struct ingest_blocks blocks;
static struct ingest_block *block[TILES];

static void take_blocks(struct image_format format)
{
    struct err err;
    blocks = (struct ingest_blocks){.format = format, .size = {TILE_PX, TILE_PX}};
    for (uint32_t i = 0; i < TILES; i++)
        assert_int_equal(ingest_blocks_take(&blocks, &block[i], &err), RC_OK);
}

static void put_blocks(void)
{
    for (uint32_t i = 0; i < TILES; i++)
        ingest_blocks_put(&blocks, block[i]);
    ingest_blocks_done(&blocks);
    assert_null(blocks.spare);
}

static struct ingest_row row_of(unsigned plane, uint32_t number, const struct ingest_axis *across)
{
    return (struct ingest_row){
        .blocks = &blocks, .block = block, .plane = plane, .row = number, .across = across};
}

static void blocks_are_used_again(void **state)
{
    (void)state;
    struct ingest_block *again;
    struct err err;
    take_blocks(
        (struct image_format){.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1});
    for (unsigned plane = 0; plane < 3; plane++)
        for (uint32_t y = 0; y < (plane == 0 ? TILE_PX : TILE_PX / 2); y++)
            memset(image_planes_row(&block[0]->band, plane, y), 1, plane == 0 ? TILE_PX : TILE_PX / 2);
    ingest_blocks_put(&blocks, block[1]);
    ingest_blocks_put(&blocks, block[0]);
    assert_int_equal(ingest_blocks_take(&blocks, &again, &err), RC_OK);
    assert_ptr_equal(again, block[0]);
    assert_int_equal(ingest_blocks_take(&blocks, &again, &err), RC_OK);
    assert_ptr_equal(again, block[1]);
    put_blocks();
}

/* What was put lies in the tiles from left to right, in the row of its own, and comes out as it was. */
static void bytes_lie_in_their_tiles(void **state)
{
    (void)state;
    take_blocks(
        (struct image_format){.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1});
    const struct ingest_axis luma = ingest_axis_init(ACROSS_PX, 0), chroma = ingest_axis_init(ACROSS_PX, 1);
    for (unsigned plane = 0; plane < 2; plane++) {
        const struct ingest_axis *axis = plane == 0 ? &luma : &chroma;
        uint32_t wide = plane == 0 ? TILE_PX : TILE_PX / 2,
                 number = wide * 2 + 5; /* the third row of tiles */
        const struct ingest_row row = row_of(plane, number, axis);
        uint8_t from[ACROSS_PX];
        uint16_t to[ACROSS_PX], right[ACROSS_PX];
        for (uint32_t x = 0; x < axis->count; x++)
            from[x] = (uint8_t)(x * 37 + plane);
        ingest_row_put(&row, from);
        for (uint32_t x = 0; x < axis->count; x++)
            assert_int_equal(image_planes_row(&block[x / wide]->band, plane, 5)[x % wide], from[x]);
        ingest_row_wide(&row, to);
        ingest_widen(from, axis->count, right);
        assert_memory_equal(to, right, axis->count * sizeof *to);
        for (uint32_t x = 0; x < axis->count; x++)
            right[x] = (uint16_t)(right[x] ^ 0x5540);
        ingest_row_put_wide(&row, right);
        ingest_narrow(right, axis->count, from);
        for (uint32_t x = 0; x < axis->count; x++)
            assert_int_equal(image_planes_row(&block[x / wide]->band, plane, 5)[x % wide], from[x]);
    }
    put_blocks();
}

static void deep_samples_stay_as_they_are(void **state)
{
    (void)state;
    const struct ingest_axis axis = ingest_axis_init(ACROSS_PX, 0);
    uint16_t from[ACROSS_PX], to[ACROSS_PX];
    take_blocks((struct image_format){.model = IMAGE_GRAY, .depth_bits = 16});
    for (uint32_t x = 0; x < ACROSS_PX; x++)
        from[x] = (uint16_t)(x * 4001);
    const struct ingest_row row = row_of(0, 63, &axis);
    ingest_row_put_wide(&row, from);
    ingest_row_wide(&row, to);
    assert_memory_equal(to, from, sizeof to);
    assert_int_equal(((const uint16_t *)(const void *)image_planes_row(&block[2]->band, 0, 63))[21],
                     from[ACROSS_PX - 1]);
    put_blocks();
}

/* Halved piece by piece is halved in one piece, whatever the last sample stands for. */
static void halves_do_not_see_the_tiles(void **state)
{
    (void)state;
    take_blocks(
        (struct image_format){.model = IMAGE_YCBCR, .depth_bits = 8, .sub_x_log2 = 1, .sub_y_log2 = 1});
    for (uint32_t i = 0; i < 8; i++) {
        unsigned plane = i %
                         2; /* of chroma the last sample may stand for one pixel, the others stand for two */
        const struct ingest_axis axis = ingest_axis_init(ACROSS_PX - i / 2, plane);
        uint8_t above[ACROSS_PX], below[ACROSS_PX];
        uint16_t to[ACROSS_PX], right[ACROSS_PX];
        for (uint32_t x = 0; x < axis.count; x++) {
            above[x] = (uint8_t)(x * 91);
            below[x] = (uint8_t)(x * x);
        }
        const struct ingest_row upper = row_of(plane, 6, &axis), lower = row_of(plane, 7, &axis);
        ingest_row_put(&upper, above);
        ingest_row_put(&lower, below);
        ingest_row_halve(&lower, false, to);
        ingest_halve_narrow(above, below, &axis, right);
        assert_memory_equal(to, right, (axis.count + 1) / 2 * sizeof *to);
        ingest_row_halve(&lower, true, to);
        ingest_halve_narrow(below, below, &axis, right);
        assert_memory_equal(to, right, (axis.count + 1) / 2 * sizeof *to);
    }
    put_blocks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_used_again),
        cmocka_unit_test(bytes_lie_in_their_tiles),
        cmocka_unit_test(deep_samples_stay_as_they_are),
        cmocka_unit_test(halves_do_not_see_the_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
