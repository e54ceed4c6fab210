/* The table of stored tiles: kept from the second time on, for one source, version and base URL; the longest unused leaves. */
#include "worker/kept_tiles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_BYTES 1000u

static struct err err;

static struct kept_tiles *new_tiles(uint64_t most_bytes)
{
    struct kept_tiles *tiles = NULL;
    assert_int_equal(kept_tiles_new(most_bytes, &tiles, &err), RC_OK);
    return tiles;
}

static struct http_content offer(struct kept_tiles *tiles, const struct kept_tile_name *name, uint8_t fill)
{
    struct bytes body = {.data = malloc(BODY_BYTES), .length = BODY_BYTES, .capacity = BODY_BYTES};
    memset(body.data, fill, BODY_BYTES);
    char etag[] = "\"e\"", link[] = "<link>";
    const struct http_representation representation = {.etag = etag,
                                                       .media_type = "image/jpeg",
                                                       .header_count = 2,
                                                       .header = {{"Link", "level"}, {"Link", link}}};
    struct http_content content;
    kept_tiles_offer(tiles, name, &representation, 7, &body, &content);
    assert_null(body.data);
    assert_int_equal(content.length, BODY_BYTES);
    assert_int_equal(content.data[BODY_BYTES - 1], fill);
    memset(etag, 0, sizeof etag); /* the caller's */
    memset(link, 0, sizeof link);
    return content;
}

static void offer_and_send(struct kept_tiles *tiles, const struct kept_tile_name *name, uint8_t fill)
{
    const struct http_content content = offer(tiles, name, fill);
    http_content_release(&content);
}

static const struct kept_tile_name name = {"/iiif/3/a/tile", "http://here", "a.tif", 1};

static void test_kept_from_the_second_time_on(void **state)
{
    (void)state;
    struct kept_tiles *tiles = new_tiles(1 << 20);
    assert_null(kept_tiles_find(tiles, &name, 0));
    offer_and_send(tiles, &name, 1);
    assert_null(kept_tiles_find(tiles, &name, 0));
    offer_and_send(tiles, &name, 2);
    struct kept_tile *tile = kept_tiles_find(tiles, &name, 0);
    assert_non_null(tile);
    assert_int_equal(tile->class, 7);
    assert_string_equal(tile->representation.etag, "\"e\"");
    assert_string_equal(tile->representation.header[1].value, "<link>");
    const struct http_content content = kept_tile_content(tile);
    assert_int_equal(content.data[0], 2);
    kept_tiles_free(&tiles);
    assert_int_equal(content.data[0], 2); /* it is still being sent */
    http_content_release(&content);
}

static void test_holds_for_one_source_only(void **state)
{
    (void)state;
    const struct kept_tile_name others[] = {{"/iiif/3/a/tile2", "http://here", "a.tif", 1},
                                            {"/iiif/3/a/tile", "https://here", "a.tif", 1},
                                            {"/iiif/3/a/tile", "http://here", "b.tif", 1},
                                            {"/iiif/3/a/tile", "http://here", "a.tif", 2}};
    struct kept_tiles *tiles = new_tiles(1 << 20);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        offer_and_send(tiles, &name, 1);
        offer_and_send(tiles, &name, 1);
        assert_non_null(kept_tiles_find(tiles, &name, 0));
        assert_null(kept_tiles_find(tiles, &others[i], 0));
    }
    kept_tiles_free(&tiles);
}

static void test_a_purge_empties_it(void **state)
{
    (void)state;
    struct kept_tiles *tiles = new_tiles(1 << 20);
    offer_and_send(tiles, &name, 1);
    offer_and_send(tiles, &name, 1);
    assert_non_null(kept_tiles_find(tiles, &name, 0));
    assert_null(kept_tiles_find(tiles, &name, 5));
    assert_null(kept_tiles_find(tiles, &name, 5));
    kept_tiles_free(&tiles);
}

static void test_the_longest_unused_leaves(void **state)
{
    (void)state;
    char target[3][16];
    struct kept_tile_name named[3];
    struct kept_tiles *tiles = new_tiles(2 * (BODY_BYTES + 500)); /* two, with what belongs to them */
    for (int i = 0; i < 3; i++) {
        snprintf(target[i], sizeof target[i], "/%d", i);
        named[i] = (struct kept_tile_name){target[i], "", "p", 1};
        offer_and_send(tiles, &named[i], (uint8_t)i);
        if (i == 2)
            assert_non_null(kept_tiles_find(tiles, &named[0], 0)); /* used again: 1 is the one to leave */
        offer_and_send(tiles, &named[i], (uint8_t)i);
    }
    assert_non_null(kept_tiles_find(tiles, &named[0], 0));
    assert_null(kept_tiles_find(tiles, &named[1], 0));
    assert_non_null(kept_tiles_find(tiles, &named[2], 0));
    kept_tiles_free(&tiles);
}

static void test_nothing_is_kept_without_memory_for_it(void **state)
{
    (void)state;
    struct kept_tiles *tiles = new_tiles(0);
    for (int i = 0; i < 3; i++)
        offer_and_send(tiles, &name, 1);
    assert_null(kept_tiles_find(tiles, &name, 0));
    kept_tiles_free(&tiles);
    assert_null(tiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_from_the_second_time_on),
        cmocka_unit_test(test_holds_for_one_source_only),
        cmocka_unit_test(test_a_purge_empties_it),
        cmocka_unit_test(test_the_longest_unused_leaves),
        cmocka_unit_test(test_nothing_is_kept_without_memory_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
