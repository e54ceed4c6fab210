/* The pyramid index: what was put is found by every process, and there is room for what is new. */
#include "tests/unit/shm/pyramid_index.h"

/* ---- what is put is found ---- */

static int child_finds_three(void)
{
    struct shm_index *index = open_index();
    int found = has_record(index, 1, 11, 150) + has_record(index, 2, 12, 5000) + has_record(index, 3, 13, 1);
    bool tiles = has_tiles(index, 2, 12, 0) && has_tiles(index, 2, 12, 5) && !has_tiles(index, 2, 13, 5);
    shm_index_close(&index);
    return tiles ? found : 100 + found;
}

static void test_found_by_others_and_after_a_restart(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    assert_int_equal(has_record(index, 1, 11, 150), 0);
    put_record(index, 1, 11, 150);
    put_record(index, 2, 12, 5000);
    put_record(index, 3, 13, 1);
    put_tiles(index, 2, 12, 0);
    put_tiles(index, 2, 12, 5);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 12, 5000), 1);
    assert_int_equal(in_child(child_finds_three), 3);
    shm_index_close(&index);
    assert_int_equal(in_child(child_finds_three), 3);
    assert_int_equal(value_of(&shared->hits), 7);
    assert_int_equal(value_of(&shared->misses), 1);
    assert_int_equal(value_of(&shared->written), 3);
}

static void test_closing_writes_what_is_queued(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    for (unsigned i = 0; i < 3000; i++)
        put_record(index, i, 5, 150);
    shm_index_close(&index);
    index = open_index();
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(has_record(index, i, 5, 150), 1);
    shm_index_close(&index);
}

static void test_keys_tell_apart(void **state)
{
    (void)state;
    const struct shm_index_key key[] = {shm_index_key(1, "a", 1), shm_index_key(1, "a", 2),
                                        shm_index_key(2, "a", 1), shm_index_key(1, "b", 1),
                                        shm_index_key(1, "", 1)};
    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&key[i], &key[j], sizeof key[0]);
}

static void test_a_new_version_ends_the_old_one(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    for (uint32_t level = 0; level < 7; level++)
        put_tiles(index, 1, 11, level);
    put_record(index, 1, 11, 150);
    put_tiles(index, 2, 12, 3);
    put_record(index, 2, 12, 150);
    put_record(index, 1, 11, 150); /* the same again: its tiles stay */
    shm_index_settle(index);
    put_record(index, 1, 11, 150);
    shm_index_settle(index);
    assert_true(has_tiles(index, 1, 11, 6));
    put_record(index, 1, 14, 160);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1, 14, 160), 1);
    for (uint32_t level = 0; level < 7; level++)
        assert_false(has_tiles(index, 1, 11, level));
    assert_true(has_tiles(index, 2, 12, 3));

    struct shm_index_key key = key_of(2);
    shm_index_remove(index, &key);
    shm_index_remove(index, &key);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 12, 150), 0);
    assert_false(has_tiles(index, 2, 12, 3));
    shm_index_close(&index);
}

static void test_blobs_are_stored_once(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 16 * MIB, 1);
    OWN(bytes_done) struct bytes profile = {0}, record = {0}, found = {0};
    make_record(1, 1, 100000, &profile);
    const struct shm_index_blob blob = {.id = shm_index_blob_id(profile.data, profile.length),
                                        .data = profile.data,
                                        .length = profile.length};
    for (unsigned i = 0; i < 500; i++) { /* 50 MB if each had its own */
        struct shm_index_key key = key_of(i);
        make_record(i, 1, 100, &record);
        shm_index_put(index, &key, 1, &record, &blob, 1);
        if (i % 50 == 0)
            shm_index_settle(index);
    }
    shm_index_settle(index);
    assert_int_equal(value_of(&shared->dropped), 0);
    assert_int_equal(value_of(&shared->generation), 0);
    assert_true(shm_index_get_blob(index, blob.id, &found));
    assert_int_equal(found.length, profile.length);
    assert_memory_equal(found.data, profile.data, found.length);
    assert_false(shm_index_get_blob(index, blob.id + 1, &found));

    /* Other bytes under that id: such a record is left out. */
    profile.data[5] ^= 1;
    struct shm_index_key key = key_of(1000);
    make_record(1000, 1, 100, &record);
    shm_index_put(index, &key, 1, &record, &blob, 1);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1000, 1, 100), 0);
    assert_int_equal(value_of(&shared->dropped), 1);
    shm_index_close(&index);
}

static void test_another_dialect_is_not_understood(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    put_record(index, 1, 11, 150);
    shm_index_close(&index);
    index = open_sized(MIB, 64 * MIB, 2);
    assert_int_equal(has_record(index, 1, 11, 150), 0);
    assert_int_equal(value_of(&shared->refused), 1);
    put_record(index, 1, 11, 150);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1, 11, 150), 1);
    shm_index_close(&index);
}

/* ---- size ---- */

static void test_bytes_of_a_record(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct shm_index *index = open_sized(64 * MIB, 64 * MIB, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        put_record(index, i, 5, 120);
        if (i % 20000 == 0)
            shm_index_settle(index);
    }
    shm_index_close(&index);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    print_message("%.1f bytes of the file for each of %d records\n", (double)st.st_size / COUNT, COUNT);
    assert_true(st.st_size / COUNT <= 300);
    assert_int_equal(value_of(&shared->dropped), 0);
}

static int child_reads_what_has_grown(void)
{
    struct shm_index *index = open_sized(MIB, 64 * MIB, 1);
    int found = has_record(index, 1, 1, 150);
    atomic_store(&shared->written, 1000000); /* tell the parent, and wait until it has grown the file */
    while (atomic_load(&shared->written) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < 5000 && has_record(index, 9999, 1, 150) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (unsigned i = 0; i < 10000; i += 99)
        found += has_record(index, i, 1, 150);
    put_record(index, 77777, 1, 150);
    shm_index_close(&index);
    return found == 103 ? 0 : 1;
}

static void test_grows_under_other_processes(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 64 * MIB, 1);
    put_record(index, 1, 1, 150);
    shm_index_settle(index);
    begin_child(child_reads_what_has_grown);
    while (atomic_load(&shared->written) != 1000000)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (unsigned i = 0; i < 10000; i++)
        put_record(index, i, 1, 150);
    for (unsigned i = 0; i < 500; i++)
        put_tiles(index, i, 1, 0);
    shm_index_settle(index);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_true((size_t)st.st_size > 3 * MIB);
    atomic_store(&shared->written, 0);
    assert_int_equal(end_child(), 0);
    assert_int_equal(has_record(index, 77777, 1, 150), 1);
    assert_int_equal(value_of(&shared->generation), 0);
    shm_index_close(&index);
}

static void test_begins_anew_when_it_is_full(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 2 * MIB, 1);
    for (unsigned i = 0; i < 30000; i++) {
        put_record(index, i, 1, 150);
        if (i % 1000 == 0)
            shm_index_settle(index);
    }
    shm_index_settle(index);
    assert_int_equal(has_record(index, 29999, 1, 150), 1);
    assert_int_equal(has_record(index, 0, 1, 150), 0);
    assert_true(value_of(&shared->generation) > 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_true((size_t)st.st_size <= 2 * MIB);
    shm_index_close(&index);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_found_by_others_and_after_a_restart),
        TEST(test_closing_writes_what_is_queued),
        TEST(test_keys_tell_apart),
        TEST(test_a_new_version_ends_the_old_one),
        TEST(test_blobs_are_stored_once),
        TEST(test_another_dialect_is_not_understood),
        TEST(test_bytes_of_a_record),
        TEST(test_grows_under_other_processes),
        TEST(test_begins_anew_when_it_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
