/* The order of renders, on a clock of the test's own: cheapest first within everybody's patience, in proportion beyond it;
 * a thousand clients that ask again as soon as they are answered. */
#include "worker/render/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1000000

static void add(struct render_queue *queue, struct render_job *job, double cost_ms, int64_t age_ms)
{
    *job = (struct render_job){.cost_ms = cost_ms, .arrived_ms = NOW_MS - age_ms};
    render_queue_add(queue, job);
}

static void test_the_cheapest_goes_first_while_all_are_patient(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job job[5];
    const double cost_ms[] = {70, 7, 0.3, 7, 500};
    for (size_t i = 0; i < 5; i++)
        add(&queue, &job[i], cost_ms[i], 200 - (int64_t)i);
    const size_t expected[] = {2, 1, 3, 0, 4};
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(render_queue_first(&queue, NOW_MS), &job[expected[i]]);
        render_queue_take(&queue, &job[expected[i]]);
    }
    assert_null(render_queue_first(&queue, NOW_MS));
    assert_int_equal(queue.count, 0);
}

/* An edge tile that has to be decoded does not stand behind all those that need not. */
static void test_what_takes_next_to_no_time_is_served_as_it_comes(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job slower, quicker;
    add(&queue, &slower, 1.2, 3);
    add(&queue, &quicker, 0.02, 2);
    assert_ptr_equal(render_queue_first(&queue, NOW_MS), &slower);
}

static void test_beyond_patience_waits_are_in_proportion(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job dear, cheap;
    add(&queue, &dear, 64, 9000); /* within its patience twice */
    add(&queue, &cheap, 1, 1000); /* 64 times cheaper: an eighth of the patience */
    assert_ptr_equal(render_queue_first(&queue, NOW_MS), &dear);
    assert_ptr_equal(render_queue_first(&queue, NOW_MS + 3000), &cheap); /* 12 s and 4 s */
    render_queue_take(&queue, &cheap);
    assert_ptr_equal(render_queue_first(&queue, NOW_MS), &dear);
}

static void test_who_comes_again_keeps_its_place(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job job[3];
    add(&queue, &job[0], 10, 50);
    add(&queue, &job[1], 10, 10);
    add(&queue, &job[2], 10, 30);
    const size_t expected[] = {0, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(render_queue_first(&queue, NOW_MS), &job[expected[i]]);
        render_queue_take(&queue, &job[expected[i]]);
    }
}

static void test_what_goes_before(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job job[4];
    add(&queue, &job[0], 1000, 0);
    add(&queue, &job[1], 1000, 20000);
    add(&queue, &job[2], 10, 100);
    add(&queue, &job[3], 11, 0);
    const struct render_turn middle = render_queue_turn(10, NOW_MS);
    assert_true(render_queue_ahead_ms(&queue, &middle, NOW_MS) == 1021);
    /* 8 s is the patience of the dear: after 20 s more they are 5 and 2.5 times beyond it, one of 10 ms 10 times. */
    assert_true(render_queue_ahead_ms(&queue, &middle, NOW_MS + 20000) == 21);
    const struct render_turn dear = render_queue_turn(900, NOW_MS);
    assert_true(render_queue_ahead_ms(&queue, &dear, NOW_MS) == 2021);
}

static bool has_left(struct render_job *job)
{
    return job->cost_ms >= 100;
}

static void test_who_has_left_is_brought_out(void **state)
{
    (void)state;
    struct render_queue queue = {0};
    struct render_job job[3];
    for (size_t i = 0; i < 3; i++) {
        job[i] = (struct render_job){.cost_ms = i == 1 ? 100 : 1, .arrived_ms = NOW_MS, .is_left = has_left};
        render_queue_add(&queue, &job[i]);
    }
    assert_int_equal(render_queue_bring_out_left(&queue), 1);
    assert_int_equal(render_queue_bring_out_left(&queue), 0);
    assert_ptr_equal(render_queue_first(&queue, NOW_MS), &job[1]);
    assert_true(queue.cost_ms == 2);
}

/* ---- many clients, two processors ---- */

#define CLIENTS 1000

struct client {
    struct render_job job; /* first */
    size_t kind;
};

/* Of the Getty's mix, what is not answered without a render. */
static const struct {
    double cost_ms;
    unsigned percent;
} kinds[] = {{0.3, 67}, {7, 27}, {76, 6}};

static void ask(struct render_queue *queue, struct client *client, int64_t now_ms)
{
    unsigned dice = (unsigned)rand() % 100;
    for (client->kind = 0; dice >= kinds[client->kind].percent; client->kind++)
        dice -= kinds[client->kind].percent;
    client->job = (struct render_job){.cost_ms = kinds[client->kind].cost_ms, .arrived_ms = now_ms};
    render_queue_add(queue, &client->job);
}

static void test_a_thousand_clients_in_proportion(void **state)
{
    (void)state;
    static struct client client[CLIENTS];
    struct render_queue queue = {0};
    double longest_ms[3] = {0}, clock_ms[2] = {NOW_MS, NOW_MS}; /* of the processors */
    size_t answered[3] = {0};
    srand(1);
    for (size_t i = 0; i < CLIENTS; i++)
        ask(&queue, &client[i], NOW_MS);
    while (clock_ms[0] < NOW_MS + 60000) {
        double *now_ms = &clock_ms[clock_ms[1] < clock_ms[0]];
        struct client *next = (struct client *)render_queue_first(&queue, (int64_t)*now_ms);
        render_queue_take(&queue, &next->job);
        double waited_ms = *now_ms - (double)next->job.arrived_ms;
        longest_ms[next->kind] = waited_ms > longest_ms[next->kind] ? waited_ms : longest_ms[next->kind];
        answered[next->kind]++;
        *now_ms += next->job.cost_ms;
        ask(&queue, next, (int64_t)*now_ms);
    }
    assert_true(longest_ms[0] < 3000);
    assert_true(longest_ms[1] < 10000);
    assert_true(longest_ms[2] < 30000 && answered[2] > 500); /* nothing starves */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_cheapest_goes_first_while_all_are_patient),
        cmocka_unit_test(test_what_takes_next_to_no_time_is_served_as_it_comes),
        cmocka_unit_test(test_beyond_patience_waits_are_in_proportion),
        cmocka_unit_test(test_who_comes_again_keeps_its_place),
        cmocka_unit_test(test_what_goes_before),
        cmocka_unit_test(test_who_has_left_is_brought_out),
        cmocka_unit_test(test_a_thousand_clients_in_proportion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
