/* The pauses between lines that many requests give cause for. */
#include "base/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MINUTE_MS 60000
#define ASKERS    8

static void test_once_in_a_while(void **state)
{
    (void)state;
    struct log_pause pause = {0}, other = {0};
    assert_true(log_may_say(&pause, MINUTE_MS));
    assert_false(log_may_say(&pause, MINUTE_MS));
    assert_true(log_may_say(&other, MINUTE_MS)); /* each has its own */
    pause.said_ms -= MINUTE_MS - 10000;
    assert_false(log_may_say(&pause, MINUTE_MS));
    pause.said_ms -= 10000;
    assert_true(log_may_say(&pause, MINUTE_MS));
    assert_false(log_may_say(&pause, MINUTE_MS));
}

struct crowd {
    struct log_pause pause;
    pthread_barrier_t all_here;
    atomic_uint said;
};

static void *ask_often(void *argument)
{
    struct crowd *crowd = argument;
    pthread_barrier_wait(&crowd->all_here);
    for (int i = 0; i < 1000; i++)
        if (log_may_say(&crowd->pause, MINUTE_MS))
            atomic_fetch_add(&crowd->said, 1);
    return NULL;
}

static void test_one_of_many_threads(void **state)
{
    (void)state;
    struct crowd crowd = {.said = 0};
    pthread_t asker[ASKERS];
    assert_int_equal(pthread_barrier_init(&crowd.all_here, NULL, ASKERS), 0);
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&asker[i], NULL, ask_often, &crowd), 0);
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_join(asker[i], NULL), 0);
    pthread_barrier_destroy(&crowd.all_here);
    assert_int_equal(atomic_load(&crowd.said), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_a_while),
        cmocka_unit_test(test_one_of_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
