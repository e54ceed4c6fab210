/* What renders of all workers hold and cost: the budget, who waits long, a dead worker's share, the averages. */
#include "shm/effort.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 4u
#define MOST  100u

static struct shm_effort *effort;

static int setup(void **state)
{
    (void)state;
    free(effort);
    effort = aligned_alloc(64, sizeof *effort);
    memset(effort, 0, sizeof *effort);
    return 0;
}

static bool claim(uint32_t slot, uint64_t bytes, bool urgent)
{
    return shm_effort_claim(effort, SLOTS, slot, bytes, MOST, urgent);
}

static void test_all_workers_share(void **state)
{
    (void)state;
    assert_true(claim(0, 60, false));
    assert_true(claim(1, 40, false));
    assert_false(claim(2, 1, false));
    assert_int_equal(shm_effort_held(effort, SLOTS), 100);
    shm_effort_return(effort, 0, 60);
    assert_true(claim(2, 60, false));
    shm_effort_take(effort, 3, 5); /* small ones do not ask */
    assert_int_equal(shm_effort_held(effort, SLOTS), 105);
}

static void test_more_than_all_runs_alone(void **state)
{
    (void)state;
    assert_true(claim(0, 1, false));
    assert_false(claim(1, 5000, false));
    shm_effort_return(effort, 0, 1);
    assert_true(claim(1, 5000, false));
    assert_false(claim(0, 1, false));
    assert_false(claim(1, 1, false));
}

static void test_a_dead_worker_gives_back(void **state)
{
    (void)state;
    assert_true(claim(0, 10, false));
    assert_true(claim(3, 90, false));
    shm_effort_reset(effort, 3);
    assert_int_equal(shm_effort_held(effort, SLOTS), 10);
    assert_true(claim(1, 90, false));
}

/* Others' claims would fit all the time, and keep the large one waiting for ever. */
static void test_who_waits_long_gets_the_turn(void **state)
{
    (void)state;
    assert_true(claim(0, 60, false));
    assert_false(claim(1, 90, true)); /* from now on it is slot 1's turn */
    assert_false(claim(2, 30, false));
    assert_false(claim(0, 30, true));
    shm_effort_return(effort, 0, 60);
    assert_false(claim(2, 30, false));
    assert_true(claim(1, 90, true));
    shm_effort_return(effort, 1, 90);
    assert_true(claim(2, 30, false)); /* and over */
}

static void test_a_turn_ends_with_its_holder(void **state)
{
    (void)state;
    assert_true(claim(0, 60, false));
    assert_false(claim(1, 90, true));
    uint64_t ms = (uint64_t)clock_monotonic_ms();
    atomic_store(&effort->turn, (ms - 1) << 8 | 1);
    assert_true(claim(2, 30, false));
    atomic_store(&effort->turn, (ms + 1000000) << 8 | 1); /* nonsense is no turn */
    assert_true(claim(2, 10, false));
}

static void test_costs_follow_what_was_measured(void **state)
{
    (void)state;
    assert_int_equal(shm_effort_step_ps(effort, 2, 777), 777);
    shm_effort_learn(effort, 2, 4000, 1000); /* 4 ns each */
    assert_int_equal(shm_effort_step_ps(effort, 2, 777), 4000);
    for (int i = 0; i < 100; i++)
        shm_effort_learn(effort, 2, 8000, 1000);
    uint64_t ps = shm_effort_step_ps(effort, 2, 777);
    assert_true(ps > 7800 && ps <= 8000);
    shm_effort_learn(effort, 2, 80000, 1000); /* one odd one moves it a little */
    assert_true(shm_effort_step_ps(effort, 2, 777) < 13000);
    shm_effort_learn(effort, 2, -1, 1000);
    shm_effort_learn(effort, 2, 5, 0);
    shm_effort_learn(effort, 3, 1, 1000000); /* next to nothing is not the same as never */
    assert_int_equal(shm_effort_step_ps(effort, 3, 777), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_workers_share, setup),
        cmocka_unit_test_setup(test_more_than_all_runs_alone, setup),
        cmocka_unit_test_setup(test_a_dead_worker_gives_back, setup),
        cmocka_unit_test_setup(test_who_waits_long_gets_the_turn, setup),
        cmocka_unit_test_setup(test_a_turn_ends_with_its_holder, setup),
        cmocka_unit_test_setup(test_costs_follow_what_was_measured, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
