/* Dates of HTTP in their three forms; deadlines. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_http_date(void **state)
{
    (void)state;
    char text[CLOCK_HTTP_DATE_BYTES];
    clock_http_date(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT"); /* the example of RFC 9110 §5.6.7 */
    clock_http_date(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    clock_http_date(253402300799, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Every 17 days and a second less than an hour: the last and the first days of months and leap years are among them. */
static void test_dates_are_those_of_the_calendar(void **state)
{
    (void)state;
    for (time_t when = 0; when <= 253402300799; when += 17 * 86400 + 3599) {
        char text[CLOCK_HTTP_DATE_BYTES], expected[CLOCK_HTTP_DATE_BYTES];
        struct tm tm;
        clock_http_date(when, text);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
        assert_string_equal(text, expected);
    }
}

static void test_dates_without_a_form_become_some_date(void **state)
{
    (void)state;
    const time_t beyond[] = {-1, 253402300800, (time_t)INT64_MAX, (time_t)INT64_MIN};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        char text[CLOCK_HTTP_DATE_BYTES] = "";
        clock_http_date(beyond[i], text);
        assert_int_equal(strlen(text), CLOCK_HTTP_DATE_BYTES - 1);
    }
}

static void test_all_three_forms_are_read(void **state)
{
    (void)state;
    const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 3; i++) {
        time_t when = 0;
        assert_true(clock_parse_http_date(same[i], &when));
        assert_int_equal(when, 784111777);
    }
    for (time_t when = 1; when < 4000000000; when += 12345678) {
        char text[CLOCK_HTTP_DATE_BYTES];
        time_t back = 0;
        clock_http_date(when, text);
        assert_true(clock_parse_http_date(text, &back));
        assert_int_equal(back, when);
    }
}

static void test_what_is_no_date_is_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "yesterday",
                               "Sun, 06 Nov 1994 08:49:37",
                               "Sun, 06 Nov 1994 08:49:37 GMT+1",
                               "Sun, 06 Nov 1994 25:49:37 GMT",
                               "784111777",
                               "Sun, 06 Nov 1994 08:49:37 CET",
                               "Son, 06 Nov 1994 08:49:37 GMT"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        time_t when = 42;
        assert_false(clock_parse_http_date(bad[i], &when));
        assert_int_equal(when, 42);
    }
}

static void test_monotonic_goes_forward(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_ms();
    struct timespec pause = {.tv_nsec = 3000000};
    nanosleep(&pause, NULL);
    int64_t passed = clock_monotonic_ms() - before;
    assert_true(passed >= 2 && passed < 5000);
}

static void test_no_deadline_is_later_than_any(void **state)
{
    (void)state;
    assert_int_equal(clock_earlier_ms(0, 0), 0);
    assert_int_equal(clock_earlier_ms(0, 7), 7);
    assert_int_equal(clock_earlier_ms(7, 0), 7);
    assert_int_equal(clock_earlier_ms(7, 5), 5);
    assert_int_equal(clock_earlier_ms(5, 7), 5);
}

static void test_a_wait_ends_no_earlier_than_it_is_to(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    int64_t begun_ms = clock_monotonic_ms();
    pthread_mutex_lock(&mutex);
    while (clock_wait_until(&condition, &mutex, begun_ms + 3))
        continue; /* for no reason, which POSIX allows */
    assert_true(clock_monotonic_ms() >= begun_ms + 3);
    assert_false(clock_wait_until(&condition, &mutex, begun_ms));
    pthread_mutex_unlock(&mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_date),
        cmocka_unit_test(test_dates_are_those_of_the_calendar),
        cmocka_unit_test(test_dates_without_a_form_become_some_date),
        cmocka_unit_test(test_all_three_forms_are_read),
        cmocka_unit_test(test_what_is_no_date_is_refused),
        cmocka_unit_test(test_monotonic_goes_forward),
        cmocka_unit_test(test_no_deadline_is_later_than_any),
        cmocka_unit_test(test_a_wait_ends_no_earlier_than_it_is_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
