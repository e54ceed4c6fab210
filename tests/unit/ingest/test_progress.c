/* The bar: never wider than the terminal, and what it says is so. */
#include "worker/ingest/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct ingest_figures half = {
    .files = 500, .ended = 250, .pixels = 3e9, .bytes = 1000, .bytes_ended = 500, .elapsed_ms = 100000};

static const char *bar(const struct ingest_figures *figures, unsigned columns)
{
    static struct bytes out;
    struct err err;
    out.length = 0;
    assert_int_equal(ingest_progress_bar(figures, columns, &out, &err), RC_OK);
    assert_true(out.length <= columns);
    assert_int_equal(bytes_append(&out, "", 1, &err), RC_OK);
    return (const char *)out.data;
}

static void test_what_it_says(void **state)
{
    (void)state;
    assert_string_equal(bar(&half, 100),
                        "[####################--------------------]  250/500 files  30.0 Mpx/s  1:40 left");
    struct ingest_figures figures = half;
    figures.failed = 2;
    figures.bytes_ended = 250;
    assert_string_equal(bar(&figures, 60), "[##--------]  250/500 files  30.0 Mpx/s  5:00 left  2 failed");
}

static void test_widths(void **state)
{
    (void)state;
    for (unsigned columns = 0; columns < 200; columns++)
        (void)bar(&half, columns);
    assert_string_equal(bar(&half, 40), "250/500 files  30.0 Mpx/s  1:40 left");
    assert_string_equal(bar(&half, 13), "250/500 files");
    assert_string_equal(bar(&half, 0), "");
}

static void test_nothing_and_everything(void **state)
{
    (void)state;
    const struct ingest_figures nothing = {0};
    struct ingest_figures figures = half;
    assert_string_equal(bar(&nothing, 60), "[----------------------------------------]  0/0 files");
    figures.bytes_ended = 2000; /* a master that grew */
    assert_null(strstr(bar(&figures, 100), "-"));
    assert_null(strstr(bar(&figures, 100), "left"));
    figures.bytes_ended = -5;
    assert_null(strstr(bar(&figures, 100), "#"));
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *wanted;
    } sample[] = {{0, "0 s"},          {59.4, "59 s"},     {59.6, "1:00"},       {125, "2:05"},
                  {3599.6, "1:00:00"}, {10925, "3:02:05"}, {1e300, "1000:00:00"}};
    for (size_t i = 0; i < sizeof sample / sizeof sample[0]; i++) {
        char text[INGEST_PROGRESS_TIME_BYTES];
        ingest_progress_time(sample[i].seconds, text);
        assert_string_equal(text, sample[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_it_says), cmocka_unit_test(test_widths),
                                       cmocka_unit_test(test_nothing_and_everything),
                                       cmocka_unit_test(test_times)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
