/* The render pool: every job runs once, in the order of cost and age; large ones leave room for small ones; refusals; the
 * memory budget. Threads meet at gates here, never by waiting some time. */
#include "worker/render/pool.h"

#include "base/clock.h"
#include "worker/render/queue.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BUDGET_BYTES ((uint64_t)100 << 20)

#define LARGE_MS 1000.0
#define SMALL_MS 1.0

struct test_job {
    struct render_job job; /* first */
    struct render_pool *pool;
    uint64_t memory_bytes;
    int number;
};

static struct shm_effort *effort;
static struct err err;
static int64_t wait_ms;

/* ---- what ran ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int order[64], ran, begun;
static bool gate_open;

static void note(int number)
{
    pthread_mutex_lock(&lock);
    order[ran++] = number;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void run_noted(struct render_job *job)
{
    note(((struct test_job *)job)->number);
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&lock);
    begun++;
    pthread_cond_broadcast(&changed);
    while (!gate_open)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void run_at_gate(struct render_job *job)
{
    wait_at_gate();
    note(((struct test_job *)job)->number);
}

static void open_gate(void)
{
    pthread_mutex_lock(&lock);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void await(const int *count, int least)
{
    pthread_mutex_lock(&lock);
    while (*count < least)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int setup(void **state)
{
    (void)state;
    free(effort);
    effort = aligned_alloc(64, sizeof *effort);
    memset(effort, 0, sizeof *effort);
    ran = begun = 0;
    gate_open = false;
    return 0;
}

static struct render_pool *start(uint32_t processors, uint32_t queue_length, int64_t deadline_ms)
{
    struct render_pool *pool = NULL;
    const struct render_pool_options options = {.processors = processors,
                                                .queue_length = queue_length,
                                                .deadline_ms = deadline_ms,
                                                .memory_bytes = BUDGET_BYTES,
                                                .effort = effort,
                                                .slot_count = 4};
    assert_int_equal(render_pool_start(&options, &pool, &err), RC_OK);
    return pool;
}

static struct test_job make_job(struct render_pool *pool, int number, double cost_ms,
                                void (*run)(struct render_job *job))
{
    return (struct test_job){.job = {.run = run, .cost_ms = cost_ms}, .pool = pool, .number = number};
}

static enum rc submit(struct test_job *job)
{
    return render_pool_submit(job->pool, &job->job, &wait_ms, &err);
}

/* ---- order ---- */

static void test_cheap_first_but_nobody_starves(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 100, 0);
    struct test_job gate = make_job(pool, 0, SMALL_MS, run_at_gate);
    assert_int_equal(submit(&gate), RC_OK);
    await(&begun, 1);
    int64_t now_ms = clock_monotonic_ms();
    const struct {
        double cost_ms;
        int64_t age_ms;
    } wanted[] = {{5, 0}, {1, 0}, {20, 0}, {LARGE_MS, 0}, {20, 5000}, {LARGE_MS, 60000}, {1, 0}};
    struct test_job job[7];
    for (int i = 0; i < 7; i++) {
        job[i] = make_job(pool, i + 1, wanted[i].cost_ms, run_noted);
        job[i].job.arrived_ms = now_ms - wanted[i].age_ms;
        assert_int_equal(submit(&job[i]), RC_OK);
    }
    open_gate();
    render_pool_stop(&pool);
    /* The large one of a minute ago, the middling one of five seconds ago, then by cost; equals as they came. */
    const int expected[] = {0, 6, 5, 2, 7, 1, 3, 4};
    assert_int_equal(ran, 8);
    assert_memory_equal(order, expected, sizeof expected);
}

static void test_large_jobs_leave_a_place_for_small_ones(void **state)
{
    (void)state;
    struct render_pool *pool = start(3, 100, 0);
    struct test_job large[6], small[8];
    for (int i = 0; i < 6; i++) {
        large[i] = make_job(pool, i, LARGE_MS, run_at_gate);
        assert_int_equal(submit(&large[i]), RC_OK);
    }
    await(&begun, 2);
    for (int i = 0; i < 8; i++) {
        small[i] = make_job(pool, 100 + i, SMALL_MS, run_noted);
        assert_int_equal(submit(&small[i]), RC_OK);
    }
    await(&ran, 8); /* though nobody opens the gate */
    for (int i = 0; i < 8; i++)
        assert_int_equal(order[i], 100 + i);
    assert_int_equal(begun, 2);
    open_gate();
    render_pool_stop(&pool);
    assert_int_equal(ran, 14);
}

static void test_an_overdue_large_job_counts_as_small(void **state)
{
    (void)state;
    struct render_pool *pool = start(2, 100, 0);
    struct test_job first = make_job(pool, 0, LARGE_MS, run_at_gate);
    struct test_job fresh = make_job(pool, 1, LARGE_MS, run_at_gate);
    struct test_job overdue = make_job(pool, 2, LARGE_MS, run_noted);
    overdue.job.arrived_ms = clock_monotonic_ms() - (int64_t)RENDER_QUEUE_MOST_PATIENCE_MS - 1;
    assert_int_equal(submit(&first), RC_OK);
    await(&begun, 1); /* it has the one place for large jobs */
    assert_int_equal(submit(&fresh), RC_OK);
    assert_int_equal(submit(&overdue), RC_OK);
    await(&ran, 1);
    assert_int_equal(order[0], 2);
    assert_int_equal(begun, 1);
    open_gate();
    render_pool_stop(&pool);
    assert_int_equal(ran, 3);
}

static struct test_job overtaker;

/* A large job that lets small ones go first in its middle. */
static void run_in_two_bands(struct render_job *job)
{
    struct test_job *two = (struct test_job *)job;
    assert_false(render_pool_is_wanted(two->pool));
    overtaker = make_job(two->pool, 2, SMALL_MS, run_noted);
    assert_int_equal(submit(&overtaker), RC_OK);
    assert_true(render_pool_is_wanted(two->pool));
    note(1);
    render_pool_yield(two->pool);
    note(3);
}

static void test_a_large_job_yields_between_bands(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 100, 0);
    struct test_job job = make_job(pool, 0, LARGE_MS, run_in_two_bands);
    assert_int_equal(submit(&job), RC_OK);
    await(&ran, 3);
    assert_memory_equal(order, ((const int[]){1, 2, 3}), 3 * sizeof(int));
    render_pool_stop(&pool);
}

static void run_parked(struct render_job *job)
{
    struct test_job *parked = (struct test_job *)job;
    render_pool_park(parked->pool);
    wait_at_gate();
    render_pool_unpark(parked->pool);
    note(parked->number);
}

/* Jobs that wait for something else, be they many, keep nobody from running. */
static void test_parked_jobs_hold_no_place(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 100, 0);
    struct test_job parked[20], other[2];
    for (int i = 0; i < 20; i++) {
        parked[i] = make_job(pool, i, i % 2 == 0 ? LARGE_MS : SMALL_MS, run_parked);
        assert_int_equal(submit(&parked[i]), RC_OK);
    }
    await(&begun, 20);
    for (int i = 0; i < 2; i++) {
        other[i] = make_job(pool, 100 + i, i == 0 ? LARGE_MS : SMALL_MS, run_noted);
        assert_int_equal(submit(&other[i]), RC_OK);
    }
    await(&ran, 2);
    assert_int_equal(order[0] + order[1], 201);
    open_gate();
    render_pool_stop(&pool);
    assert_int_equal(ran, 22);
}

/* ---- refusals ---- */

static void test_a_full_queue_is_busy(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 2, 0);
    struct test_job job[4];
    job[0] = make_job(pool, 0, SMALL_MS, run_at_gate);
    assert_int_equal(submit(&job[0]), RC_OK);
    await(&begun, 1);
    for (int i = 1; i < 4; i++) {
        job[i] = make_job(pool, i, SMALL_MS, run_noted);
        assert_int_equal(submit(&job[i]), i < 3 ? RC_OK : RC_BUSY);
    }
    assert_non_null(strstr(err.message, "2 requests wait"));
    open_gate();
    render_pool_stop(&pool);
    assert_int_equal(ran, 3);
}

static bool has_left(struct render_job *job)
{
    return ((struct test_job *)job)->number >= 50;
}

static void test_too_long_a_wait_is_refused_at_once(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 100, 10500);
    struct test_job job[15], cheap;
    job[0] = make_job(pool, 0, LARGE_MS, run_at_gate);
    assert_int_equal(submit(&job[0]), RC_OK);
    await(&begun, 1);
    for (int i = 1; i <= 11; i++) {
        job[i] = make_job(pool, i, LARGE_MS, run_noted);
        assert_int_equal(submit(&job[i]), RC_OK);
    }
    job[12] = make_job(pool, 12, LARGE_MS, run_noted); /* would wait for eleven seconds of work */
    assert_int_equal(submit(&job[12]), RC_BUSY);
    assert_true(wait_ms > 10000 && wait_ms < 12000);
    assert_non_null(strstr(err.message, "11 s"));
    cheap = make_job(pool, 13, SMALL_MS, run_noted); /* goes before all of them */
    assert_int_equal(submit(&cheap), RC_OK);
    job[5].number = 55; /* its client leaves: there is room for another one */
    job[5].job.is_left = has_left;
    assert_int_equal(submit(&job[12]), RC_OK);
    open_gate();
    render_pool_stop(&pool);
    assert_int_equal(ran, 14);
    assert_int_equal(order[1], 55); /* brought forward, to be answered */
    assert_int_equal(order[2], 13);
}

/* ---- memory ---- */

static _Atomic uint64_t held_bytes;
static atomic_int jobs_run, violations;

static void run_counted(struct render_job *job)
{
    struct test_job *counted = (struct test_job *)job;
    bool claimed = render_pool_claim(counted->pool, counted->memory_bytes, NULL, NULL);
    uint64_t held = atomic_fetch_add(&held_bytes, counted->memory_bytes) + counted->memory_bytes;
    if (held > BUDGET_BYTES &&
        held != counted->memory_bytes) /* what is larger than all there is runs alone */
        atomic_fetch_add(&violations, 1);
    sched_yield(); /* so that others come while this one holds it */
    atomic_fetch_sub(&held_bytes, counted->memory_bytes);
    render_pool_return(counted->pool, counted->memory_bytes);
    atomic_fetch_add(&jobs_run, claimed);
}

static void test_all_run_within_the_budget(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct render_pool *pool = start(4, COUNT, 0);
    static struct test_job job[COUNT];
    for (int i = 0; i < COUNT; i++) {
        job[i] = make_job(pool, i, i % 10 == 0 ? LARGE_MS : SMALL_MS, run_counted);
        job[i].memory_bytes = (uint64_t)(i % 97 == 0 ? 1000 : 5 + i % 60) << 20;
        assert_int_equal(submit(&job[i]), RC_OK);
    }
    render_pool_stop(&pool);
    assert_null(pool);
    assert_int_equal(atomic_load(&jobs_run), COUNT);
    assert_int_equal(atomic_load(&violations), 0);
    assert_int_equal(shm_effort_held(effort, 4), 0);
}

static bool is_gone(void *context)
{
    return *(atomic_bool *)context;
}

static atomic_bool client_gone;

static void run_claim_in_vain(struct render_job *job)
{
    struct test_job *vain = (struct test_job *)job;
    note(render_pool_claim(vain->pool, vain->memory_bytes, is_gone, &client_gone) ? 1 : 0);
}

/* Another worker holds it all: small claims pass, large ones wait without a place, until their clients leave. */
static void test_memory_that_others_hold(void **state)
{
    (void)state;
    struct render_pool *pool = start(1, 100, 0);
    struct test_job large = make_job(pool, 0, LARGE_MS, run_claim_in_vain),
                    small = make_job(pool, 0, SMALL_MS, run_claim_in_vain);
    shm_effort_take(effort, 3, (uint64_t)90 << 20);
    large.memory_bytes = (uint64_t)20 << 20;
    small.memory_bytes = (uint64_t)2 << 20;
    assert_int_equal(submit(&large), RC_OK);
    assert_int_equal(submit(&small), RC_OK);
    await(&ran, 1);
    assert_int_equal(order[0], 1);
    atomic_store(&client_gone, true);
    await(&ran, 2);
    assert_int_equal(order[1], 0);
    atomic_store(&client_gone, false);
    ran = 0;
    assert_int_equal(submit(&large), RC_OK);
    shm_effort_reset(effort, 3); /* that worker has died */
    await(&ran, 1);
    assert_int_equal(order[0], 1);
    render_pool_stop(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cheap_first_but_nobody_starves, setup),
        cmocka_unit_test_setup(test_large_jobs_leave_a_place_for_small_ones, setup),
        cmocka_unit_test_setup(test_an_overdue_large_job_counts_as_small, setup),
        cmocka_unit_test_setup(test_a_large_job_yields_between_bands, setup),
        cmocka_unit_test_setup(test_parked_jobs_hold_no_place, setup),
        cmocka_unit_test_setup(test_a_full_queue_is_busy, setup),
        cmocka_unit_test_setup(test_too_long_a_wait_is_refused_at_once, setup),
        cmocka_unit_test_setup(test_all_run_within_the_budget, setup),
        cmocka_unit_test_setup(test_memory_that_others_hold, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
