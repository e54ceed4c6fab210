/* Sentences: bounded, terminated, harmless in a log line or an answer. */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_code_and_sentence(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set(&err, RC_UNSUPPORTED, "rotation %d is not a quarter turn", 45), RC_UNSUPPORTED);
    assert_int_equal(err.rc, RC_UNSUPPORTED);
    assert_int_equal(err.os_errno, 0);
    assert_string_equal(err.message, "rotation 45 is not a quarter turn");
    assert_int_equal(err_set(NULL, RC_BUSY, "nobody listens"), RC_BUSY);
    assert_int_equal(err_set_errno(NULL, RC_IO, EIO, "nobody listens"), RC_IO);
}

static void test_system_error(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set_errno(&err, RC_IO, ENOENT, "%s cannot be opened", "a.tif"), RC_IO);
    assert_int_equal(err.os_errno, ENOENT);
    assert_string_equal(err.message, "a.tif cannot be opened: No such file or directory");
}

static void test_long_sentences_are_cut(void **state)
{
    (void)state;
    char wide[1000];
    memset(wide, 'z', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    struct err err;
    memset(&err, 0x55, sizeof err);
    err_set(&err, RC_BAD_REQUEST, "%s", wide);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    memset(&err, 0x55, sizeof err);
    err_set_errno(&err, RC_IO, ENOENT, "%s", wide);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    /* The system's text begins within the last bytes. */
    wide[sizeof err.message - 4] = '\0';
    err_set_errno(&err, RC_IO, ENOENT, "%s", wide);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void test_control_bytes_are_replaced(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, RC_BAD_REQUEST, "'%s' is odd", "a\r\nb\x1b[0m\x7f\t\xc3\xa9");
    assert_string_equal(err.message, "'a??b?[0m??\xc3\xa9' is odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_and_sentence),
        cmocka_unit_test(test_system_error),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_control_bytes_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
