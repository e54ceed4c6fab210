/* The render pool: every job runs once, a full queue says so, the memory budget holds. */
#include "worker/render/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

struct counted_job {
    struct render_job job; /* first */
    struct render_pool *pool;
    uint64_t memory_bytes;
};

static atomic_int jobs_run;
static _Atomic uint64_t held_bytes, most_held_bytes;
static atomic_int alone_violations;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void run_counted(struct render_job *job)
{
    struct counted_job *counted = (struct counted_job *)job;
    render_pool_claim(counted->pool, counted->memory_bytes);
    uint64_t held = atomic_fetch_add(&held_bytes, counted->memory_bytes) + counted->memory_bytes;
    for (uint64_t most = atomic_load(&most_held_bytes); held > most;)
        if (atomic_compare_exchange_weak(&most_held_bytes, &most, held))
            break;
    if (counted->memory_bytes > 100 && held != counted->memory_bytes)
        atomic_fetch_add(&alone_violations, 1);
    atomic_fetch_sub(&held_bytes, counted->memory_bytes);
    render_pool_return(counted->pool, counted->memory_bytes);
    atomic_fetch_add(&jobs_run, 1);
}

static void run_at_gate(struct render_job *job)
{
    (void)job;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&jobs_run, 1);
}

static void test_runs_every_job_within_the_budget(void **state)
{
    (void)state;
    struct render_pool *pool = NULL;
    struct err err;
    static struct counted_job job[2000];
    atomic_store(&jobs_run, 0);
    assert_int_equal(render_pool_start(4, 2000, 100, &pool, &err), RC_OK);
    for (size_t i = 0; i < 2000; i++) {
        job[i] = (struct counted_job){
            .job.run = run_counted, .pool = pool, .memory_bytes = i % 97 == 0 ? 1000 : i % 60};
        assert_int_equal(render_pool_submit(pool, &job[i].job, &err), RC_OK);
    }
    render_pool_stop(&pool);
    assert_null(pool);
    assert_int_equal(atomic_load(&jobs_run), 2000);
    assert_int_equal(atomic_load(&alone_violations), 0);
    assert_true(atomic_load(&most_held_bytes) <= 1000);
}

static void test_a_full_queue_is_busy(void **state)
{
    (void)state;
    struct render_pool *pool = NULL;
    struct err err;
    struct render_job job[4] = {
        {.run = run_at_gate}, {.run = run_at_gate}, {.run = run_at_gate}, {.run = run_at_gate}};
    atomic_store(&jobs_run, 0);
    pthread_mutex_lock(&gate);
    assert_int_equal(render_pool_start(1, 2, 100, &pool, &err), RC_OK);
    int taken = 0;
    enum rc rc = RC_OK;
    for (int i = 0; i < 4 && rc == RC_OK; i++) { /* one runs (perhaps not yet), two wait */
        rc = render_pool_submit(pool, &job[i], &err);
        taken += rc == RC_OK;
    }
    assert_int_equal(rc, RC_BUSY);
    assert_non_null(strstr(err.message, "2 requests wait"));
    assert_int_equal(render_pool_busy(pool), taken);
    pthread_mutex_unlock(&gate);
    render_pool_stop(&pool);
    assert_int_equal(atomic_load(&jobs_run), taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_every_job_within_the_budget),
        cmocka_unit_test(test_a_full_queue_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
