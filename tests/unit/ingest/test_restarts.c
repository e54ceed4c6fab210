/* What restart intervals may cost. */
#include "worker/ingest/restarts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Whatever comes in whatever order, the file stays below 1 % more. */
static void test_never_more_than_one_percent(void **state)
{
    (void)state;
    for (unsigned short round = 0; round < 200; round++) {
        unsigned short seed[3] = {round, 5, 11};
        struct ingest_restarts account = {0};
        size_t with_bytes = 0, without_bytes = 0, kept = 0;
        for (unsigned i = 0; i < 500; i++) {
            size_t plain = 300 + (size_t)(erand48(seed) * (round % 20 + 1) * 600);
            size_t cost = 40 + (size_t)(erand48(seed) * 60), whole = plain + cost;
            bool keeps = ingest_restarts_are_kept(&account, whole, cost, false);
            kept += keeps;
            with_bytes += keeps ? whole : plain;
            without_bytes += plain;
        }
        assert_true(with_bytes * 100 < without_bytes * 101);
        assert_true(round % 20 < 15 || kept > 300); /* most of those that can have them do */
    }
}

static void test_dense_tiles_pay_for_flat_ones(void **state)
{
    (void)state;
    struct ingest_restarts account = {0};
    assert_false(ingest_restarts_are_kept(&account, 3060, 60, false)); /* nothing was saved yet */
    assert_true(ingest_restarts_are_kept(&account, 20060, 60, false));
    assert_true(ingest_restarts_are_kept(&account, 3060, 60, false));
    assert_true(ingest_restarts_are_kept(&account, 3060, 60, false));
    assert_false(ingest_restarts_are_kept(&account, 1060, 1000,
                                          false)); /* too much for so small a tile, with all that is left */
    assert_true(ingest_restarts_are_kept(&account, 500, 0, false)); /* costs nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_more_than_one_percent),
        cmocka_unit_test(test_dense_tiles_pay_for_flat_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
