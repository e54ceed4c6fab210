/* The circuit breaker: when it breaks, for how long, and what mends it. */
#include "cache/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool probe;
static int64_t left_ms, break_ms;

/* Fails until it breaks, at 1000. */
static void break_it(struct breaker *breaker)
{
    breaker_init(breaker);
    for (unsigned i = 1; i < BREAKER_AFTER; i++)
        assert_int_equal(breaker_note(breaker, 1000, true, false, &break_ms), BREAKER_NO_NEWS);
    assert_true(breaker_may_ask(breaker, 1000, &probe, &left_ms));
    assert_false(probe);
    assert_int_equal(breaker_note(breaker, 1000, true, false, &break_ms), BREAKER_BREAKS);
    assert_int_equal(break_ms, BREAKER_FIRST_MS);
}

static void test_one_success_begins_anew(void **state)
{
    (void)state;
    struct breaker breaker;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 5 * BREAKER_AFTER; i++)
        assert_int_equal(breaker_note(&breaker, 1, i % BREAKER_AFTER != 0, false, &break_ms),
                         BREAKER_NO_NEWS);
    assert_true(breaker_may_ask(&breaker, 1, &probe, &left_ms));
    breaker_done(&breaker);
}

static void test_it_breaks_and_one_probe_mends_it(void **state)
{
    (void)state;
    struct breaker breaker;
    break_it(&breaker);
    assert_false(breaker_may_ask(&breaker, 1500, &probe, &left_ms));
    assert_int_equal(left_ms, 1500);
    /* Requests that were under way fail late: they neither lengthen it nor count as a probe. */
    assert_int_equal(breaker_note(&breaker, 2000, true, false, &break_ms), BREAKER_NO_NEWS);
    assert_false(breaker_may_ask(&breaker, 2999, &probe, &left_ms));
    assert_true(breaker_may_ask(&breaker, 3000, &probe, &left_ms));
    assert_true(probe);
    assert_false(breaker_may_ask(&breaker, 3000, &probe, &left_ms)); /* one at a time */
    assert_int_equal(breaker_note(&breaker, 3100, false, true, &break_ms), BREAKER_MENDS);
    assert_true(breaker_may_ask(&breaker, 3100, &probe, &left_ms));
    assert_false(probe);
    breaker_done(&breaker);
}

static void test_each_probe_that_fails_doubles_the_pause(void **state)
{
    (void)state;
    struct breaker breaker;
    int64_t now_ms = 1000, pause_ms = BREAKER_FIRST_MS;
    break_it(&breaker);
    for (unsigned i = 0; i < 8; i++) {
        assert_false(breaker_may_ask(&breaker, now_ms + pause_ms - 1, &probe, &left_ms));
        now_ms += pause_ms;
        assert_true(breaker_may_ask(&breaker, now_ms, &probe, &left_ms));
        assert_true(probe);
        assert_int_equal(breaker_note(&breaker, now_ms, true, true, &break_ms), BREAKER_BREAKS);
        pause_ms = pause_ms * 2 < BREAKER_LONGEST_MS ? pause_ms * 2 : BREAKER_LONGEST_MS;
        assert_int_equal(break_ms, pause_ms);
    }
    breaker_done(&breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_success_begins_anew),
        cmocka_unit_test(test_it_breaks_and_one_probe_mends_it),
        cmocka_unit_test(test_each_probe_that_fails_doubles_the_pause),
    };
    return cmocka_run_group_tests_name("cache/breaker", tests, NULL, NULL);
}
