/* Identifiers: what of them is the path, what the page, and what never reaches the file system. */
#include "worker/iiif/identifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *identifier, *path;
        uint32_t page;
    } rows[] = {
        {"a.tif", "a.tif", 1},
        {"a/b/c.tif", "a/b/c.tif", 1},
        {"a.tif;1", "a.tif", 1},
        {"a.tif;2", "a.tif", 2},
        {"a/b.tif;37", "a/b.tif", 37},
        {"a;b.tif", "a;b.tif", 1},
        {"a.tif;", "a.tif;", 1},
        {"a.tif;x", "a.tif;x", 1},
        {"a.tif;2x", "a.tif;2x", 1},
        {"a.tif;2;1", "a.tif;2", 1},
        {"a.tif;-1", "a.tif;-1", 1},
        {"a.tif;+1", "a.tif;+1", 1},
        {"a..b/c.", "a..b/c.", 1},
        {"2", "2", 1},
        {"a.tif;4294967295", "a.tif", 4294967295},
        {"a b\\c%2F:\xff", "a b\\c%2F:\xff", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_identifier identifier;
        struct err err = {0};
        if (iiif_identifier_read(rows[i].identifier, &identifier, &err) != RC_OK)
            fail_msg("%s: %s", rows[i].identifier, err.message);
        assert_string_equal(identifier.path, rows[i].path);
        assert_int_equal(identifier.page, rows[i].page);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "the identifier is empty"},
        {"/a.tif", "'/a.tif' names no image: it has an empty part"},
        {"/etc/passwd", "empty part"},
        {"a//b.tif", "empty part"},
        {"a/", "empty part"},
        {"/", "empty part"},
        {";1", "empty part"},
        {"a/;1", "empty part"},
        {"..", "begins with a dot"},
        {".", "begins with a dot"},
        {"a/../b.tif", "'a/../b.tif' names no image: it has a part that begins with a dot"},
        {"../a.tif", "begins with a dot"},
        {"a/..", "begins with a dot"},
        {"a/./b.tif", "begins with a dot"},
        {".hidden.tif", "begins with a dot"},
        {"a/.hidden/b.tif;2", "begins with a dot"},
        {"..;1", "begins with a dot"},
        {"a\nb.tif", "'a?b.tif' names no image: it holds a control byte"},
        {"\x1b.tif", "control byte"},
        {"a\x7f", "control byte"},
        {"a/b\x01.tif", "control byte"},
        {"a.tif;0", "names no page"},
        {"a.tif;01", "names no page"},
        {"a.tif;4294967296", "names no page"},
        {"a.tif;99999999999999999999", "names no page"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_identifier identifier;
        struct err err = {0};
        memset(&identifier, 0x5a, sizeof identifier);
        if (iiif_identifier_read(rows[i][0], &identifier, &err) != RC_NOT_FOUND || err.rc != RC_NOT_FOUND)
            fail_msg("%s: not refused", rows[i][0]);
        if (strstr(err.message, rows[i][1]) == NULL)
            fail_msg("%s: '%s' does not say '%s'", rows[i][0], err.message, rows[i][1]);
        assert_int_equal(identifier.path[0], 0x5a);
        assert_int_equal(identifier.page, 0x5a5a5a5a);
    }
}

static void test_length(void **state)
{
    (void)state;
    char text[IIIF_MAX_IDENTIFIER_BYTES + 2];
    struct iiif_identifier identifier;
    struct err err = {0};
    memset(text, 'a', sizeof text);
    text[IIIF_MAX_IDENTIFIER_BYTES] = '\0';
    assert_int_equal(iiif_identifier_read(text, &identifier, &err), RC_OK);
    assert_string_equal(identifier.path, text);
    text[IIIF_MAX_IDENTIFIER_BYTES] = 'a';
    text[IIIF_MAX_IDENTIFIER_BYTES + 1] = '\0';
    assert_int_equal(iiif_identifier_read(text, &identifier, &err), RC_NOT_FOUND);
    assert_non_null(strstr(err.message, "longer than 1024 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
