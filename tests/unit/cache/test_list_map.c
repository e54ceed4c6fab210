/* Maps of lists: what was put is found, whole maps take the place of others, and nothing is left of those that are not ended. */
#include "cache/list_map.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MOST_BYTES (UINT64_C(16) << 20)

static const struct list_map_kind kind = {.what = "the map of numbers", .magic = 0x1122334455667788};
static const struct list_map_source source = {.magic = 0x1122334455667788, .text_bytes = 7};
static char folder[] = "/tmp/vitrine-lists-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/numbers.mdb", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* nothing else was left behind */
}

static unsigned files_there(void)
{
    DIR *directory = opendir(folder);
    unsigned count = 0;
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static uint64_t key_of(unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    return list_map_key(text, strlen(text));
}

static struct list_map_making *begun(uint64_t most_bytes)
{
    struct list_map_making *making = NULL;
    assert_int_equal(list_map_begin(&kind, path, &source, most_bytes, false, &making, NULL), RC_OK);
    return making;
}

static void made(unsigned count, unsigned times)
{
    struct list_map_making *making = begun(MOST_BYTES);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(list_map_put(making, key_of(i), &(unsigned){i * times}, sizeof i, NULL), RC_OK);
    assert_int_equal(list_map_end(making, NULL), RC_OK);
    list_map_making_free(&making);
}

static struct list_map *opened(void)
{
    struct list_map *map = NULL;
    assert_int_equal(list_map_open(&kind, path, &map, NULL), RC_OK);
    assert_true(list_map_is_of(map, &source));
    return map;
}

static void take(void *context, const uint8_t *value, size_t length)
{
    assert_int_equal(length, sizeof(unsigned));
    memcpy(context, value, length);
}

static void assert_holds(const struct list_map *map, unsigned number, unsigned value)
{
    unsigned found = 0;
    assert_true(list_map_find(map, key_of(number), take, &found));
    assert_int_equal(found, value);
}

static void test_whatever_was_put_is_found(void **state)
{
    (void)state;
    enum { MANY = 120001 }; /* more than one transaction has */
    made(MANY, 3);
    struct list_map *map = opened();
    for (unsigned i = 0; i < MANY; i++)
        assert_holds(map, i, i * 3);
    assert_false(list_map_find(map, key_of(MANY), take, NULL));
    list_map_close(&map);
    assert_null(map);
}

static void test_an_open_map_outlives_its_successor(void **state)
{
    (void)state;
    made(10, 2);
    struct list_map *before = opened();
    made(10, 5);
    struct list_map *after = opened();
    assert_holds(before, 9, 18);
    assert_holds(after, 9, 45);
    list_map_close(&before);
    list_map_close(&after);
}

static void test_what_is_not_ended_changes_nothing(void **state)
{
    (void)state;
    made(10, 2);
    struct list_map_making *making = begun(MOST_BYTES);
    assert_int_equal(list_map_put(making, key_of(9), "", 0, NULL), RC_OK);
    assert_int_equal(files_there(), 2);
    list_map_making_free(&making);
    assert_int_equal(files_there(), 1);
    struct list_map *map = opened();
    assert_holds(map, 9, 18);
    list_map_close(&map);
}

static void test_a_full_map(void **state)
{
    (void)state;
    static const char large[4000];
    struct list_map_making *making = begun(1u << 16);
    struct err err = {0};
    enum rc rc = RC_OK;
    for (unsigned i = 0; i < 100 && rc == RC_OK; i++)
        rc = list_map_put(making, key_of(i), large, sizeof large, &err);
    assert_int_equal(rc, RC_TOO_LARGE);
    assert_non_null(strstr(err.message, "the map of numbers"));
    list_map_making_free(&making);
}

static void test_maps_of_others(void **state)
{
    (void)state;
    const struct list_map_kind other = {.what = "another map", .magic = 5};
    struct list_map *map = NULL;
    struct err err = {0};
    made(1, 1);
    assert_int_equal(list_map_open(&other, path, &map, &err), RC_CORRUPT);
    assert_string_equal(err.message, "another map has another layout");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("no map", file);
    fclose(file);
    assert_int_equal(list_map_open(&kind, path, &map, &err), RC_CORRUPT);
    unlink(path);
    assert_int_equal(list_map_open(&kind, path, &map, &err), RC_NOT_FOUND);
    assert_null(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_was_put_is_found),
        cmocka_unit_test(test_an_open_map_outlives_its_successor),
        cmocka_unit_test(test_what_is_not_ended_changes_nothing),
        cmocka_unit_test(test_a_full_map),
        cmocka_unit_test(test_maps_of_others),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
