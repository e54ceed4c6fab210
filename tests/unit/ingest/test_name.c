/* Names in lines and in JSON: every byte can be told, nothing moves a terminal's cursor. */
#include "worker/ingest/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef enum rc write_name(const char *name, struct bytes *out, struct err *err);

static void assert_written(write_name *write, const char *name, const char *wanted)
{
    struct bytes out = {0};
    struct err err = {0};
    assert_int_equal(write(name, &out, &err), RC_OK);
    assert_int_equal(bytes_append(&out, "", 1, &err), RC_OK);
    assert_string_equal((const char *)out.data, wanted);
    bytes_done(&out);
}

static void test_show(void **state)
{
    (void)state;
    assert_written(ingest_name_show, "plain name.tif", "plain name.tif");
    assert_written(ingest_name_show, "na\xc3\xafve \xe9\xb3\xa5", "na\xc3\xafve \xe9\xb3\xa5");
    assert_written(ingest_name_show, "a\nb\tc\\d", "a\\nb\\tc\\\\d");
    assert_written(ingest_name_show, "\x1b[2J\x7f\x01", "\\x1b[2J\\x7f\\x01");
    assert_written(ingest_name_show, "caf\xe9", "caf\\xe9");
    assert_written(ingest_name_show, "\xc2\x9b", "\\xc2\\x9b"); /* C1: a control sequence of one byte */
}

static void test_what_utf8_is(void **state)
{
    (void)state;
    static const char *const right[] = {"",
                                        "a",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf"};
    static const char *const wrong[] = {"\x80",
                                        "\xc0\xaf",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xe2\x82",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "a\xc3(b"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(ingest_name_is_utf8(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(ingest_name_is_utf8(wrong[i]));
}

static void test_percent_and_replace(void **state)
{
    (void)state;
    assert_written(ingest_name_percent, "a-b_c.d~/e f%\xe9\n", "a-b_c.d~/e%20f%25%E9%0A");
    assert_written(ingest_name_replace, "caf\xe9!", "caf\xef\xbf\xbd!");
    assert_written(ingest_name_replace, "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_show), cmocka_unit_test(test_what_utf8_is),
                                       cmocka_unit_test(test_percent_and_replace)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
