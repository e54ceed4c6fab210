/* The pauses between lines that many requests give cause for. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MINUTE_MS 60000

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
