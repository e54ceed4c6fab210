#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/manifest/text.h"

#include <stdlib.h>
#include <string.h>

static void test_utf8(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x96\xbc", "\xf4\x8f\xbf\xbf"};
    static const char *const broken[] = {"\xe9",
                                         "\xc3",
                                         "\xc0\xaf",
                                         "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xf8\x88\x80\x80\x80",
                                         "a\x80",
                                         "\xe0\x80\xaf",
                                         "\xf0\x80\x80\xaf"};
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        assert_true(manifest_text_is_utf8(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_false(manifest_text_is_utf8(broken[i], strlen(broken[i])));
}

static void assert_clean(const char *text, size_t length, size_t most, const char *clean)
{
    struct arena *arena = arena_new();
    assert_string_equal(manifest_text_clean(arena, text, length, most), clean);
    arena_free(arena);
}

static void test_clean(void **state)
{
    (void)state;
    assert_clean("  a line\r\n", 10, 100, "a line");
    assert_clean("tab\there\x7f!", 10, 100, "tab here !");
    assert_clean("before\0after", 12, 100, "before");
    assert_clean("caf\xe9 \xff", 6, 100, "caf\xc3\xa9 \xc3\xbf");
    assert_clean("caf\xc3\xa9", 5, 100, "caf\xc3\xa9");
    assert_clean("caf\xc3\xa9", 5, 4, "caf"); /* no half character */
    assert_clean("\xe9\xe9\xe9", 3, 5, "\xc3\xa9\xc3\xa9");
    assert_clean("", 0, 100, "");
    assert_clean(" \n", 2, 100, "");
}

static int compare(const void *a, const void *b)
{
    return manifest_text_natural(*(const char *const *)a, *(const char *const *)b);
}

static void test_natural_order(void **state)
{
    (void)state;
    static const char *const order[] = {"1r.tif",
                                        "1v.tif",
                                        "2.tif",
                                        "02.tif",
                                        "10.tif",
                                        "A2",
                                        "a3",
                                        "a10",
                                        "b",
                                        "B1",
                                        "page 9",
                                        "page 99999999999999999999998",
                                        "page 99999999999999999999999",
                                        "z",
                                        "z1"};
    enum { COUNT = sizeof order / sizeof order[0] };
    const char *mixed[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        mixed[i] = order[(i * 7 + 3) % COUNT];
    qsort(mixed, COUNT, sizeof mixed[0], compare);
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(order[i], "02.tif") != 0 && strcmp(order[i], "2.tif") != 0)
            assert_string_equal(mixed[i], order[i]);
    assert_int_equal(manifest_text_natural("x", "x"), 0);
    assert_true(manifest_text_natural("2", "02") * manifest_text_natural("02", "2") < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_natural_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
