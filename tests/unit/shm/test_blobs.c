/* Blobs: what comes out is what went in, whatever others do meanwhile and whoever dies. */
#include "shm/blobs.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTENT (UINT64_C(1) << 20)

static struct shm_sketch *sketch;
static struct shm_blobs *blobs;

static int setup(void **state)
{
    (void)state;
    sketch = mmap(NULL, shm_sketch_bytes(1000), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    blobs = mmap(NULL, shm_blobs_bytes(CONTENT), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shm_sketch_init(sketch, 1000);
    shm_blobs_init(blobs, CONTENT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(sketch, shm_sketch_bytes(1000));
    munmap(blobs, shm_blobs_bytes(CONTENT));
    return 0;
}

static struct shm_key key_of(uint64_t thing)
{
    return (struct shm_key){thing * UINT64_C(0x9e3779b97f4a7c15) | 1,
                            thing * UINT64_C(0xc2b2ae3d27d4eb4f) + 77};
}

/* Bytes that tell what they belong to. */
static void fill(uint8_t *data, size_t length, uint64_t thing)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(thing * 31 + i * 7 + i / 251);
}

static size_t length_of(uint64_t thing)
{
    return (size_t)(1 + thing * 2657 % 9000);
}

static bool put(uint64_t thing, enum shm_blobs_admit admit)
{
    uint8_t data[9000];
    size_t length = length_of(thing);
    fill(data, length, thing);
    const struct shm_blob_part part[] = {{data, length / 3}, {data + length / 3, length - length / 3}};
    return shm_blobs_put(blobs, sketch, key_of(thing), part, 2, admit);
}

/* 0: it is not there; 1: it is, and right; -1: wrong. */
static int look(uint64_t thing)
{
    uint8_t data[9000];
    struct bytes out = {0};
    int found = 0;
    if (shm_blobs_get(blobs, key_of(thing), 1, &out)) {
        fill(data, length_of(thing), thing);
        found = out.length == length_of(thing) && memcmp(out.data, data, out.length) == 0 ? 1 : -1;
    }
    bytes_done(&out);
    return found;
}

static void test_in_and_out(void **state)
{
    (void)state;
    uint8_t large[CONTENT / 8] = {0};
    const struct shm_blob_part too_large = {large, sizeof large};
    for (uint64_t i = 0; i < 40; i++)
        assert_true(put(i, SHM_BLOBS_ALWAYS));
    assert_true(put(3, SHM_BLOBS_ALWAYS)); /* again */
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(look(i), 1);
    assert_int_equal(look(41), 0);
    assert_int_equal(shm_blobs_count(blobs), 40);
    uint64_t used = shm_blobs_used_bytes(blobs), cursor = 0, seen = 0;
    struct shm_key key;
    while (shm_blobs_next(blobs, &cursor, &key))
        seen++;
    assert_int_equal(seen, 40);
    shm_blobs_remove(blobs, key_of(3));
    assert_int_equal(look(3), 0);
    assert_int_equal(shm_blobs_used_bytes(blobs), used - (length_of(3) + 1023) / 1024 * 1024);
    assert_false(shm_blobs_put(blobs, sketch, key_of(1), &too_large, 1, SHM_BLOBS_ALWAYS));
}

static void test_what_is_asked_for_stays(void **state)
{
    (void)state;
    for (int times = 0; times < 9; times++)
        for (uint64_t i = 0; i < 20; i++)
            shm_sketch_add(sketch, key_of(i), 1000);
    for (uint64_t i = 0; i < 20; i++)
        put(i, SHM_BLOBS_ALWAYS);
    for (uint64_t i = 1000; i < 3000; i++) {
        shm_sketch_add(sketch, key_of(i), 1000);
        assert_true(put(i, SHM_BLOBS_ALWAYS));
    }
    int stayed = 0;
    for (uint64_t i = 0; i < 20; i++)
        stayed += look(i) == 1;
    assert_true(stayed >= 8); /* by chance it would be two */
    assert_true(shm_blobs_used_bytes(blobs) <= CONTENT);
    assert_int_equal(look(2999), 1); /* what was put in last is in: others wait for it */
    shm_sketch_add(sketch, key_of(5000), 1000);
    int refused = 0;
    for (uint64_t i = 5000; i < 5050; i++)
        refused += !put(i, SHM_BLOBS_IF_WORTH);
    assert_true(refused > 0);
}

static _Atomic bool ends;

static void *write_all(void *argument)
{
    for (uint64_t i = (uintptr_t)argument; !ends; i++)
        put(i % 500, SHM_BLOBS_ALWAYS);
    return NULL;
}

static void test_readers_beside_writers(void **state)
{
    (void)state;
    pthread_t writer[2];
    uint64_t found = 0;
    ends = false;
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&writer[i], NULL, write_all, (void *)(i * 250));
    for (uint64_t i = 0; i < 20000 || (found < 100 && i < 50000000); i++) {
        int one = look(i % 500);
        assert_int_not_equal(one, -1);
        found += one == 1;
    }
    ends = true;
    for (int i = 0; i < 2; i++)
        pthread_join(writer[i], NULL);
    assert_true(found >= 100);
}

/* A process is killed while it writes, again and again: the others read nothing wrong and go on writing. */
static void test_deaths(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        pid_t child = fork();
        if (child == 0)
            for (uint64_t i = 0;; i++)
                put(i % 500, SHM_BLOBS_ALWAYS);
        usleep(2000);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        for (uint64_t i = 0; i < 500; i++)
            assert_int_not_equal(look(i), -1);
        for (uint64_t i = 0; i < 40; i++)
            assert_true(put(i, SHM_BLOBS_ALWAYS));
        for (uint64_t i = 30; i < 40; i++)
            assert_int_equal(look(i), 1);
    }
}

static void test_none_at_all(void **state)
{
    (void)state;
    static uint8_t space[65536] __attribute__((aligned(64)));
    assert_true(shm_blobs_bytes(0) <= sizeof space);
    struct shm_blobs *none = (struct shm_blobs *)space;
    struct bytes out = {0};
    const struct shm_blob_part part = {"x", 1};
    shm_blobs_init(none, 0);
    assert_false(shm_blobs_put(none, sketch, key_of(1), &part, 1, SHM_BLOBS_ALWAYS));
    assert_false(shm_blobs_get(none, key_of(1), 1, &out));
    shm_blobs_remove(none, key_of(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_and_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_asked_for_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_beside_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deaths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none_at_all, setup, teardown),
    };
    return cmocka_run_group_tests_name("shm/blobs", tests, NULL, NULL);
}
