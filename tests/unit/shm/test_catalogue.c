/* The catalogue: counts right, gives up the right ones, and is repaired where somebody died in it. */
#include "tests/bench/eviction.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct shm_sketch *sketch;
static struct shm_catalogue *catalogue;

static void *map(size_t bytes)
{
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    return mapped;
}

static int setup(void **state)
{
    (void)state;
    sketch = map(shm_sketch_bytes(1000));
    catalogue = map(shm_catalogue_bytes(1000));
    shm_sketch_init(sketch, 1000);
    shm_catalogue_init(catalogue, 1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(sketch, shm_sketch_bytes(1000));
    munmap(catalogue, shm_catalogue_bytes(1000));
    return 0;
}

static bool add(uint32_t thing, uint64_t size_bytes)
{
    const struct shm_catalogue_item item = {
        .key = eviction_key(thing), .size_bytes = size_bytes, .mark = thing};
    struct shm_catalogue_item victim;
    assert_true(shm_catalogue_add(catalogue, sketch, &item, &victim));
    return victim.key.low != 0;
}

static void test_files_and_bytes_are_counted(void **state)
{
    (void)state;
    uint64_t known = 0;
    for (uint32_t i = 0; i < 100; i++)
        assert_false(add(i, 4096));
    add(7, 8192); /* corrected */
    assert_int_equal(shm_catalogue_files(catalogue), 100);
    assert_int_equal(shm_catalogue_size_bytes(catalogue), 101 * 4096);
    assert_true(shm_catalogue_touch(catalogue, eviction_key(7), 5, 1, &known));
    assert_int_equal(known, 8192);
    assert_true(shm_catalogue_remove(catalogue, eviction_key(7)));
    assert_false(shm_catalogue_remove(catalogue, eviction_key(7)));
    assert_false(shm_catalogue_touch(catalogue, eviction_key(7), 5, 1, &known));
    assert_int_equal(shm_catalogue_size_bytes(catalogue), 99 * 4096);
    struct shm_catalogue_item item;
    uint64_t cursor = 0;
    uint32_t seen = 0, marks = 0;
    while (shm_catalogue_next(catalogue, &cursor, &item)) {
        seen++;
        marks += item.mark;
    }
    assert_int_equal(seen, 99);
    assert_int_equal(marks, 99 * 100 / 2 - 7);
}

/* A bucket holds sixteen: the seventeenth takes a place, and says whose. */
static void test_more_than_there_is_room_for(void **state)
{
    (void)state;
    uint32_t pushed_out = 0;
    for (uint32_t i = 0; i < 5000; i++)
        pushed_out += add(i, 1000);
    assert_true(pushed_out > 0);
    assert_int_equal(shm_catalogue_files(catalogue), 5000 - pushed_out);
    assert_int_equal(shm_catalogue_size_bytes(catalogue), (5000 - pushed_out) * 1024);
}

static void test_the_popular_and_the_small_stay(void **state)
{
    (void)state;
    struct shm_catalogue_item victim;
    for (uint32_t i = 0; i < 30; i++)
        add(i, i == 11 ? 400000 : 4000);
    for (uint32_t i = 0; i < 30; i++)
        for (int times = 0; times < (i == 12 ? 1 : 4); times++)
            shm_sketch_add(sketch, eviction_key(i), 30);
    assert_true(shm_catalogue_choose(catalogue, sketch, 1, &victim));
    assert_int_equal(victim.mark, 11); /* as popular as the others, and a hundred times as large */
    shm_catalogue_remove(catalogue, victim.key);
    assert_true(shm_catalogue_choose(catalogue, sketch, 2, &victim));
    assert_int_equal(victim.mark, 12);
    assert_true(shm_sketch_count(sketch, eviction_key(12)) < shm_sketch_count(sketch, eviction_key(13)));
    for (uint32_t i = 0; i < 200000; i++)
        shm_sketch_add(sketch, eviction_key(1000 + i % 50), 30);
    assert_true(shm_sketch_count(sketch, eviction_key(13)) <= 1); /* faded */
}

static void test_a_death_with_a_stripe(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 300; i++)
        add(i, 4096);
    pid_t child = fork();
    if (child == 0) { /* in the middle of everything, with every stripe */
        for (uint32_t i = 0; i < SHM_CATALOGUE_STRIPES; i += 2)
            shm_stripe_take(&catalogue->stripe[i].stripe, 0);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    atomic_store(&catalogue->incomplete, 0);
    for (uint32_t i = 300; i < 700; i++)
        add(i, 4096);
    assert_int_equal(atomic_load(&catalogue->incomplete), 1); /* the janitor is to count again */
    struct shm_catalogue_item item;
    uint64_t cursor = 0, files = 0;
    while (shm_catalogue_next(catalogue, &cursor, &item))
        files++;
    assert_int_equal(shm_catalogue_files(catalogue), files);
    assert_int_equal(shm_catalogue_size_bytes(catalogue), files * 4096);
    assert_in_range(files, 400, 600);
}

/* Measured on longer traces by tests/bench/eviction: 0.12 to 0.16 above. */
static void test_better_than_least_recently_used(void **state)
{
    (void)state;
    const struct eviction_options options = {.requests = 60000,
                                             .popular = 3000,
                                             .exponent = 0.9,
                                             .scan_every = 10000,
                                             .scan_length = 1500,
                                             .drift_every = 100,
                                             .seed = 20261121};
    struct eviction_trace trace;
    eviction_trace_make(&options, &trace);
    uint64_t bytes = eviction_all_bytes(&trace, options.popular) / 20;
    struct eviction_result ours = eviction_ours(&trace, bytes, 6000), lru = eviction_lru(&trace, bytes),
                           belady = eviction_belady(&trace, bytes);
    print_message("hits: ours %.3f, LRU %.3f, Belady %.3f; of bytes: %.3f, %.3f, %.3f\n", ours.hit_ratio,
                  lru.hit_ratio, belady.hit_ratio, ours.byte_hit_ratio, lru.byte_hit_ratio,
                  belady.byte_hit_ratio);
    assert_true(ours.hit_ratio > lru.hit_ratio + 0.10);
    assert_true(ours.byte_hit_ratio > lru.byte_hit_ratio);
    assert_true(belady.hit_ratio > ours.hit_ratio);
    eviction_trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_and_bytes_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_there_is_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_popular_and_the_small_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_death_with_a_stripe, setup, teardown),
        cmocka_unit_test(test_better_than_least_recently_used),
    };
    return cmocka_run_group_tests_name("shm/catalogue", tests, NULL, NULL);
}
