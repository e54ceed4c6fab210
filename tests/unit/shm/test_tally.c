/* Tallies: buckets hold what they say, sums outlive workers, lately is about a minute. */
#include "shm/tally.h"
#include "shm/troubles.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shm_tally *tally;
static struct shm_tally_sum *sum;

static int setup(void **state)
{
    (void)state;
    tally = aligned_alloc(64, sizeof *tally);
    sum = calloc(1, sizeof *sum);
    if (tally == NULL || sum == NULL)
        return -1;
    memset(tally, 0, sizeof *tally);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(tally);
    free(sum);
    return 0;
}

static void read_at(int64_t now_ms)
{
    memset(sum, 0, sizeof *sum);
    shm_tally_sum_add(sum, tally, now_ms);
}

static uint64_t below(const uint64_t *count, uint64_t us)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < SHM_TALLY_BUCKETS && shm_tally_bound_us(i) <= us; i++)
        all += count[i];
    return all;
}

/* Prometheus's "le": a time that equals a bound is counted below it. */
static void test_bounds(void **state)
{
    (void)state;
    for (unsigned i = 0; i + 1 < SHM_TALLY_BUCKETS; i++) {
        memset(tally, 0, sizeof *tally);
        uint64_t bound = shm_tally_bound_us(i);
        assert_true(bound < shm_tally_bound_us(i + 1));
        shm_tally_time(tally, SHM_TALLY_TILE, bound, 1000);
        shm_tally_time(tally, SHM_TALLY_TILE, bound + 1, 1000);
        read_at(1000);
        assert_int_equal(below(sum->count[SHM_TALLY_TILE], bound), 1);
        assert_int_equal(sum->count[SHM_TALLY_TILE][i], 1);
        assert_int_equal(sum->sum_us[SHM_TALLY_TILE], 2 * bound + 1);
    }
    shm_tally_time(tally, SHM_TALLY_INFO, UINT64_MAX / 2, 1000);
    shm_tally_time(tally, SHM_TALLY_INFO, 0, 1000);
    read_at(1000);
    assert_int_equal(sum->count[SHM_TALLY_INFO][SHM_TALLY_BUCKETS - 1], 1);
    assert_int_equal(sum->count[SHM_TALLY_INFO][0], 1);
}

static void test_quantiles(void **state)
{
    (void)state;
    assert_true(shm_tally_quantile_us(sum->count[SHM_TALLY_FULL], 0.5) == 0);
    for (unsigned us = 1; us <= 10000; us++)
        shm_tally_time(tally, SHM_TALLY_CLASSES + SHM_TALLY_DECODE, us, 50000);
    read_at(50000);
    const uint64_t *count = sum->count[SHM_TALLY_CLASSES + SHM_TALLY_DECODE];
    assert_true(fabs(shm_tally_quantile_us(count, 0.5) - 5000) < 100);
    assert_true(fabs(shm_tally_quantile_us(count, 0.99) - 9900) < 400);
    assert_true(shm_tally_quantile_us(count, 1) >= 10000);
}

static void test_lately(void **state)
{
    (void)state;
    const int64_t begun_ms = 1000 * SHM_TALLY_WINDOW_S * 500;
    const int64_t reach_ms = 1000 * SHM_TALLY_WINDOW_S * SHM_TALLY_WINDOWS;
    shm_tally_time(tally, SHM_TALLY_TILE, 100, begun_ms);
    read_at(begun_ms + reach_ms - 1);
    assert_int_equal(below(sum->lately[SHM_TALLY_TILE], 1000), 1);
    read_at(begun_ms + reach_ms);
    assert_int_equal(below(sum->lately[SHM_TALLY_TILE], 1000), 0);
    assert_int_equal(below(sum->count[SHM_TALLY_TILE], 1000), 1);
    shm_tally_time(tally, SHM_TALLY_TILE, 100, begun_ms + reach_ms); /* the same window again, cleared */
    read_at(begun_ms + reach_ms);
    assert_int_equal(below(sum->lately[SHM_TALLY_TILE], 1000), 1);
    assert_true(shm_tally_lately_s(begun_ms + 5000, begun_ms) == 65);
    assert_true(shm_tally_lately_s(begun_ms, 2000) == 2);
}

static void test_requests(void **state)
{
    (void)state;
    unsigned known = 0, other = 0;
    for (unsigned status = 100; status < 600; status++)
        shm_tally_request(tally, SHM_TALLY_TILE, SHM_TALLY_IIIF_2, status);
    read_at(1);
    for (unsigned i = 0; i < SHM_TALLY_STATUSES; i++)
        if (shm_tally_status(i) != 0)
            known += sum->requests[SHM_TALLY_TILE][SHM_TALLY_IIIF_2][i] == 1;
        else
            other += (unsigned)sum->requests[SHM_TALLY_TILE][SHM_TALLY_IIIF_2][i];
    assert_int_equal(known, SHM_TALLY_STATUSES - 1);
    assert_int_equal(known + other, 500);
}

static void test_troubles(void **state)
{
    (void)state;
    struct shm_troubles *troubles = aligned_alloc(64, sizeof *troubles);
    struct shm_trouble trouble;
    char text[1024];
    assert_non_null(troubles);
    memset(troubles, 0, sizeof *troubles);
    assert_false(shm_troubles_get(troubles, 0, &trouble));
    assert_false(shm_troubles_get(troubles, 1, &trouble));
    for (unsigned i = 1; i <= SHM_TROUBLES_ENTRIES + 3; i++) {
        snprintf(text, sizeof text, "trouble %u", i);
        shm_troubles_add(troubles, 1, "a-request", text);
    }
    assert_int_equal(shm_troubles_count(troubles), SHM_TROUBLES_ENTRIES + 3);
    assert_false(shm_troubles_get(troubles, 3, &trouble));
    assert_true(shm_troubles_get(troubles, 4, &trouble));
    assert_string_equal(trouble.text, "trouble 4");
    assert_string_equal(trouble.id, "a-request");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    shm_troubles_add(troubles, 0, text, text);
    assert_true(shm_troubles_get(troubles, SHM_TROUBLES_ENTRIES + 4, &trouble));
    assert_int_equal(strlen(trouble.text), SHM_TROUBLES_TEXT_BYTES - 1);
    atomic_fetch_add(&troubles->entry[(SHM_TROUBLES_ENTRIES + 4) % SHM_TROUBLES_ENTRIES][20], 1);
    assert_false(shm_troubles_get(troubles, SHM_TROUBLES_ENTRIES + 4, &trouble));
    free(troubles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lately, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test(test_troubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
