/* Sightings: the last one is found, an older one does not replace it, and half of one is none. */
#include "shm/sightings.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shm_sightings *sightings;

static int setup(void **state)
{
    (void)state;
    sightings = aligned_alloc(64, sizeof *sightings);
    if (sightings != NULL)
        memset(sightings, 0, sizeof *sightings);
    return sightings != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(sightings);
    return 0;
}

static struct shm_index_key key_of(unsigned number)
{
    char path[32];
    snprintf(path, sizeof path, "%u.tif", number);
    return shm_index_key(1, path, 1);
}

static bool seen(unsigned number, uint64_t version, int64_t at_ms)
{
    struct shm_index_key key = key_of(number);
    uint64_t found_version = 0;
    int64_t found_at_ms = 0;
    return shm_sightings_find(sightings, &key, &found_version, &found_at_ms) && found_version == version &&
           found_at_ms == at_ms;
}

static void note(unsigned number, uint64_t version, int64_t at_ms)
{
    struct shm_index_key key = key_of(number);
    shm_sightings_note(sightings, &key, version, at_ms);
}

static void test_the_last_one_counts(void **state)
{
    (void)state;
    struct shm_index_key none = {{0, 0}}, key = key_of(1);
    uint64_t version;
    int64_t at_ms;
    assert_false(shm_sightings_find(sightings, &none, &version, &at_ms));
    assert_false(seen(1, 11, 100));
    note(1, 11, 100);
    note(2, 12, 100);
    assert_true(seen(1, 11, 100));
    note(1, 13, 200);
    assert_true(seen(1, 13, 200));
    note(1, 11, 150); /* began before */
    assert_true(seen(1, 13, 200));
    shm_sightings_forget(sightings, &key);
    assert_false(seen(1, 13, 200));
    assert_true(seen(2, 12, 100));
}

static void test_the_oldest_makes_room(void **state)
{
    (void)state;
    enum { COUNT = 2 * SHM_SIGHTINGS };
    unsigned found = 0;
    for (unsigned i = 0; i < COUNT; i++)
        note(i, i, 1000 + i);
    for (unsigned i = 0; i < COUNT; i++)
        found += seen(i, i, 1000 + i);
    assert_true(found > SHM_SIGHTINGS * 9 / 10);
    assert_true(seen(COUNT - 1, COUNT - 1, 1000 + COUNT - 1));
}

static void test_any_word_that_is_another(void **state)
{
    (void)state;
    note(1, 11, 100);
    for (unsigned i = 0; i < SHM_SIGHTINGS; i++)
        for (unsigned w = 0; w < SHM_SIGHTING_WORDS; w++) {
            uint64_t was = atomic_load(&sightings->entry[i][w]);
            if (was == 0)
                continue;
            struct shm_index_key key = key_of(1);
            uint64_t version;
            int64_t at_ms;
            atomic_store(&sightings->entry[i][w], was ^ 4);
            assert_false(shm_sightings_find(sightings, &key, &version, &at_ms));
            atomic_store(&sightings->entry[i][w], was);
        }
    assert_true(seen(1, 11, 100));
}

/* Two threads write the same few entries; a third sees only what belongs together. */
static void *note_for_a_while(void *context)
{
    unsigned step = *(unsigned *)context;
    for (unsigned i = 0; i < 200000; i++)
        note(i % 3, 7 * (uint64_t)(i / 100 + step), i / 100 + step);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t thread[2];
    unsigned step[2] = {0, 5}, found = 0;
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, note_for_a_while, &step[i]);
    for (unsigned i = 0; i < 200000; i++) {
        struct shm_index_key key = key_of(i % 3);
        uint64_t version;
        int64_t at_ms;
        if (!shm_sightings_find(sightings, &key, &version, &at_ms))
            continue;
        found++;
        assert_int_equal(version, 7 * (uint64_t)at_ms);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_true(found > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_last_one_counts),
        TEST(test_the_oldest_makes_room),
        TEST(test_any_word_that_is_another),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
