#include "worker/http/conditional.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DATE         "Tue, 14 Nov 2023 22:13:20 GMT"
#define DATE_SECONDS 1700000000

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        bool right;
    } cases[] = {
        {NULL, false},
        {"", false},
        {",,,", false},
        {"*", true},
        {" * ", true},
        {"*, \"tag\"", false},
        {"\"tag\"", true},
        {"W/\"tag\"", true},
        {"w/\"tag\"", false},
        {"tag", false},
        {"\"", false},
        {"\"tag", false},
        {"\"ta\"", false},
        {"\"tagg\"", false},
        {"\"TAG\"", false},
        {"\"other\", \"tag\"", true},
        {"\"tag\",\"other\"", true},
        {" ,\t\"a,b\" , W/\"c\",,\"tag\" ,", true},
        {"\"a,\"tag\"\"", false},
        {"\"a\"\"tag\"", false},
        {"\"a\" x, \"tag\"", false},
        {"\"tag\" x", true},
        {"bare, \"tag\"", false},
        {"\"\", \"tag\"", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("           %s\n", cases[i].field == NULL ? "(none)" : cases[i].field);
        assert_int_equal(http_conditional_names(cases[i].field, "\"tag\""), cases[i].right);
    }
}

static void test_is_current(void **state)
{
    (void)state;
    assert_false(http_conditional_is_current(NULL, NULL, "\"t\"", DATE_SECONDS));
    assert_true(http_conditional_is_current("\"t\"", NULL, "\"t\"", 0));
    assert_true(http_conditional_is_current(NULL, DATE, "\"t\"", DATE_SECONDS));
    assert_true(http_conditional_is_current(NULL, DATE, "\"t\"", DATE_SECONDS - 1));
    assert_false(http_conditional_is_current(NULL, DATE, "\"t\"", DATE_SECONDS + 1));
    assert_false(http_conditional_is_current(NULL, DATE, "\"t\"", 0));
    assert_false(http_conditional_is_current(NULL, "yesterday", "\"t\"", DATE_SECONDS));
    assert_false(
        http_conditional_is_current("\"u\"", DATE, "\"t\"", DATE_SECONDS)); /* the tag decides alone */
    assert_false(http_conditional_is_current("", DATE, "\"t\"", DATE_SECONDS));
    assert_true(http_conditional_is_current("\"t\"", "Thu, 01 Jan 1970 00:00:00 GMT", "\"t\"", DATE_SECONDS));
}

static void test_if_range(void **state)
{
    (void)state;
    assert_true(http_conditional_allows_range(NULL, "\"t\""));
    assert_true(http_conditional_allows_range("\"t\"", "\"t\""));
    assert_true(http_conditional_allows_range(" \"t\" ", "\"t\""));
    assert_false(http_conditional_allows_range("W/\"t\"", "\"t\""));
    assert_false(http_conditional_allows_range("\"t\", \"t\"", "\"t\""));
    assert_false(http_conditional_allows_range("\"u\"", "\"t\""));
    assert_false(http_conditional_allows_range("\"t", "\"t\""));
    assert_false(http_conditional_allows_range("*", "\"t\""));
    assert_false(http_conditional_allows_range("", "\"t\""));
    assert_false(http_conditional_allows_range(DATE, "\"t\""));
}

static void test_range(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        enum http_range verdict;
        uint64_t first, last;
    } cases[] = {
        {"bytes=0-9", HTTP_RANGE_PART, 0, 9},
        {"bytes=10-", HTTP_RANGE_PART, 10, 99},
        {"bytes=-5", HTTP_RANGE_PART, 95, 99},
        {"bytes=-100", HTTP_RANGE_PART, 0, 99},
        {"bytes=-101", HTTP_RANGE_PART, 0, 99},
        {"bytes=99-99", HTTP_RANGE_PART, 99, 99},
        {"bytes=0-0", HTTP_RANGE_PART, 0, 0},
        {"bytes=5-99999999999999999999999", HTTP_RANGE_PART, 5, 99},
        {"bytes=0005-07", HTTP_RANGE_PART, 5, 7},
        {"BYTES=1-3", HTTP_RANGE_PART, 1, 3},
        {"bytes= ,1-3 , ", HTTP_RANGE_PART, 1, 3},
        {"bytes=100-", HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=100-100", HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=99999999999999999999999-", HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=18446744073709551615-18446744073709551615", HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", HTTP_RANGE_OUTSIDE, 0, 0},
        {NULL, HTTP_RANGE_ALL, 0, 0},
        {"", HTTP_RANGE_ALL, 0, 0},
        {"bytes", HTTP_RANGE_ALL, 0, 0},
        {"bytes=", HTTP_RANGE_ALL, 0, 0},
        {"bytes=-", HTTP_RANGE_ALL, 0, 0},
        {"bytes=--5", HTTP_RANGE_ALL, 0, 0},
        {"bytes=a-b", HTTP_RANGE_ALL, 0, 0},
        {"bytes=9-3", HTTP_RANGE_ALL, 0, 0},
        {"bytes=1 - 3", HTTP_RANGE_ALL, 0, 0},
        {"bytes=+1-3", HTTP_RANGE_ALL, 0, 0},
        {"bytes=1-2-3", HTTP_RANGE_ALL, 0, 0},
        {"bytes=1-3x", HTTP_RANGE_ALL, 0, 0},
        {"bytes=5", HTTP_RANGE_ALL, 0, 0},
        {"bytes=0-1,2-3", HTTP_RANGE_ALL, 0, 0},
        {"lines=0-9", HTTP_RANGE_ALL, 0, 0},
        {"0-9", HTTP_RANGE_ALL, 0, 0},
        {"bytes 0-9", HTTP_RANGE_ALL, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t first = 0, last = 0;
        print_message("           %s\n", cases[i].field == NULL ? "(none)" : cases[i].field);
        assert_int_equal(http_conditional_range(cases[i].field, 100, &first, &last), cases[i].verdict);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(last, cases[i].last);
    }
}

static void test_range_of_extreme_sizes(void **state)
{
    (void)state;
    uint64_t first = 1, last = 1;
    assert_int_equal(http_conditional_range("bytes=0-", 0, &first, &last), HTTP_RANGE_OUTSIDE);
    assert_int_equal(http_conditional_range("bytes=-5", 0, &first, &last), HTTP_RANGE_OUTSIDE);
    assert_int_equal(http_conditional_range("bytes=-1", UINT64_MAX, &first, &last), HTTP_RANGE_PART);
    assert_int_equal(first, UINT64_MAX - 1);
    assert_int_equal(last, UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_is_current),
        cmocka_unit_test(test_if_range),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_range_of_extreme_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
