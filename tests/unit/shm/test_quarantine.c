/* The quarantine: what goes in is found until its time is over, and half of an entry is none. */
#include "shm/quarantine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shm_quarantine *quarantine;

static int setup(void **state)
{
    (void)state;
    quarantine = aligned_alloc(64, sizeof *quarantine);
    if (quarantine != NULL)
        memset(quarantine, 0, sizeof *quarantine);
    return quarantine != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(quarantine);
    return 0;
}

static void test_in_and_out(void **state)
{
    (void)state;
    assert_false(shm_quarantine_is_used(quarantine, 1000));
    assert_true(shm_quarantine_add(quarantine, "a/b.tif", 2, 77, 11, 2, 1000, 500));
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/b.tif", 2, 77, 1100), 400);
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/b.tif", 1, 77, 1100), 0);
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/b.tif", 2, 78, 1100), 0);
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/c.tif", 2, 77, 1100), 0);
    assert_true(shm_quarantine_is_used(quarantine, 1499));
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/b.tif", 2, 77, 1499), 1);
    assert_int_equal(shm_quarantine_left_ms(quarantine, "a/b.tif", 2, 77, 1500), 0);
    assert_false(shm_quarantine_is_used(quarantine, 1500));
    assert_true(shm_quarantine_add(quarantine, "a/b.tif", 2, 77, 11, 2, 1600, 500)); /* new again */
}

static uint32_t count(int64_t now_ms, struct shm_quarantine_case *ret_last)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES; i++)
        found += shm_quarantine_get(quarantine, i, now_ms, ret_last);
    return found;
}

static void test_a_second_time_prolongs(void **state)
{
    (void)state;
    struct shm_quarantine_case one;
    assert_true(shm_quarantine_add(quarantine, "x", 1, 5, 11, 2, 1000, 500));
    assert_false(shm_quarantine_add(quarantine, "x", 1, 5, 9, 3, 1200, 500));
    assert_int_equal(count(1300, &one), 1);
    assert_int_equal(one.until_ms, 1700);
    assert_int_equal(one.fault_signal, 9);
    assert_int_equal(one.strikes, 3);
    assert_string_equal(one.path, "x");
}

static void test_long_paths(void **state)
{
    (void)state;
    char path[1200], other[1200];
    struct shm_quarantine_case one;
    memset(path, 'p', sizeof path);
    memcpy(other, path, sizeof other);
    path[1199] = other[1199] = '\0';
    other[1198] = 'q';
    assert_true(shm_quarantine_add(quarantine, path, 1, 5, 11, 2, 1000, 500));
    assert_int_equal(shm_quarantine_left_ms(quarantine, path, 1, 5, 1000), 500);
    assert_int_equal(shm_quarantine_left_ms(quarantine, other, 1, 5, 1000), 0);
    assert_int_equal(count(1000, &one), 1);
    assert_int_equal(strlen(one.path), SHM_QUARANTINE_PATH_BYTES - 1);
    assert_int_equal(one.path_bytes, 1199);
}

/* A full table keeps what ends last of each part, and stays within itself. */
static void test_full(void **state)
{
    (void)state;
    char path[16];
    struct shm_quarantine_case one;
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "%d", i);
        assert_true(shm_quarantine_add(quarantine, path, 1, 5, 11, 2, i, 100000));
        assert_true(shm_quarantine_left_ms(quarantine, path, 1, 5, i) > 0);
    }
    assert_true(count(2000, &one) > SHM_QUARANTINE_ENTRIES / 2);
}

/* Whatever word of an entry is not yet written, or was written by somebody else: it is no entry, and its
 * place is used again. */
static void test_half_an_entry_is_none(void **state)
{
    (void)state;
    struct shm_quarantine_case one;
    for (uint32_t word = 0; word < SHM_QUARANTINE_WORDS; word++) {
        memset(quarantine, 0, sizeof *quarantine);
        shm_quarantine_add(quarantine, "half", 1, 5, 11, 2, 1000, 500);
        for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES; i++)
            if (quarantine->entry[i][1] != 0)
                quarantine->entry[i][word] ^= 0x10000;
        assert_int_equal(shm_quarantine_left_ms(quarantine, "half", 1, 5, 1100), 0);
        assert_int_equal(count(1100, &one), 0);
        assert_true(shm_quarantine_add(quarantine, "half", 1, 5, 11, 2, 1000, 500));
        assert_int_equal(shm_quarantine_left_ms(quarantine, "half", 1, 5, 1100), 400);
    }
}

static void *write_all_the_time(void *own)
{
    for (int i = 0; i < 3000; i++)
        shm_quarantine_add(quarantine, own, 1, 5, (uint32_t)i % 32, 2, i, 1000000);
    return NULL;
}

/* Writers at the same time may lose entries, and never mix them. */
static void test_writers_at_once(void **state)
{
    (void)state;
    static char name[4][32] = {"first", "the second", "the third of them", "4"};
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, write_all_the_time, name[i]);
    for (int round = 0; round < 300; round++)
        for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES; i++) {
            struct shm_quarantine_case one;
            if (!shm_quarantine_get(quarantine, i, 0, &one))
                continue;
            bool known = false;
            for (int n = 0; n < 4; n++)
                known |= strcmp(one.path, name[n]) == 0 && one.path_bytes == strlen(name[n]);
            assert_true(known);
        }
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_and_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_second_time_prolongs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_an_entry_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writers_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
