/* Runs of bytes that grow, numbers of both byte orders, the hash. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_growth_keeps_contents(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t one = (uint8_t)(i * 31);
        assert_int_equal(bytes_append(&bytes, &one, 1, NULL), RC_OK);
    }
    assert_int_equal(bytes.length, 100000);
    assert_true(bytes.capacity >= bytes.length);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(bytes.data[i], (uint8_t)(i * 31));
    bytes_done(&bytes);
    assert_null(bytes.data);
    assert_int_equal(bytes.length, 0);
    bytes_done(&bytes);
}

static void test_format(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    assert_int_equal(bytes_format(&bytes, NULL, "%s=%d", "workers", 4), RC_OK);
    assert_int_equal(bytes_format(&bytes, NULL, "%s", ""), RC_OK);
    assert_int_equal(bytes_format(&bytes, NULL, ";"), RC_OK);
    assert_int_equal(bytes.length, 10);
    assert_memory_equal(bytes.data, "workers=4;", 11); /* terminated behind its end */
    char wide[5000];
    memset(wide, 'y', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    assert_int_equal(bytes_format(&bytes, NULL, "%s", wide), RC_OK);
    assert_int_equal(bytes.length, 10 + 4999);
    assert_memory_equal(bytes.data + 10, wide, 5000);
    bytes_done(&bytes);
}

static void test_too_much_is_refused_untouched(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct err err = {0};
    assert_int_equal(bytes_append(&bytes, "abc", 3, NULL), RC_OK);
    assert_int_equal(bytes_reserve(&bytes, SIZE_MAX - 1, &err), RC_NO_MEMORY);
    assert_int_equal(err.rc, RC_NO_MEMORY);
    assert_true(strlen(err.message) > 0);
    assert_int_equal(bytes.length, 3);
    assert_memory_equal(bytes.data, "abc", 3);
    bytes_done(&bytes);
}

static void test_numbers(void **state)
{
    (void)state;
    const uint8_t p[] = {0xfe, 0xdc, 0xba, 0x98};
    assert_int_equal(bytes_be16(p), 0xfedc);
    assert_int_equal(bytes_le16(p), 0xdcfe);
    assert_int_equal(bytes_be32(p), 0xfedcba98u);
    assert_int_equal(bytes_le32(p), 0x98badcfeu);
}

static void test_hash(void **state)
{
    (void)state;
    /* The published values of FNV-1a. */
    assert_true(bytes_hash(BYTES_HASH_START, "", 0) == 0xcbf29ce484222325u);
    assert_true(bytes_hash(BYTES_HASH_START, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(bytes_hash(BYTES_HASH_START, "foobar", 6) == 0x85944171f73967e8u);
    assert_true(bytes_hash(bytes_hash(BYTES_HASH_START, "foo", 3), "bar", 3) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth_keeps_contents),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_too_much_is_refused_untouched),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
