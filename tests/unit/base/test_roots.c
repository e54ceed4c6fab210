/* Image roots: what the lines of the setting mean. */
#include "base/roots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_taken_apart(void **state)
{
    (void)state;
    static const struct roots_root right[] = {{"", "/srv/images"},
                                              {"maps", "s3://bucket/maps?"},
                                              {"", "./a=b"},
                                              {"x.y-Z_1", "c=d"},
                                              {"", "https://host/a=b"}};
    const char *rest = "/srv/images\nmaps=s3://bucket/maps?\n./a=b\nx.y-Z_1=c=d\nhttps://host/a=b";
    assert_true(roots_any_is_remote(rest));
    assert_false(roots_any_is_remote("/a\n./s3://b"));
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct roots_root root;
        assert_true(roots_next(&rest, &root));
        assert_string_equal(root.name, right[i].name);
        assert_string_equal(root.place, right[i].place);
    }
    assert_false(roots_next(&rest, &(struct roots_root){.name = ""}));
}

static void test_below(void **state)
{
    (void)state;
    const struct roots_root all = {"", "/a"}, maps = {"maps", "/b"};
    assert_string_equal(roots_below(&all, "maps/x.tif"), "maps/x.tif");
    assert_string_equal(roots_below(&maps, "maps/x.tif"), "x.tif");
    assert_string_equal(roots_below(&maps, "maps/maps/x.tif"), "maps/x.tif");
    assert_null(roots_below(&maps, "maps"));
    assert_null(roots_below(&maps, "maps/"));
    assert_null(roots_below(&maps, "mapss/x.tif"));
    assert_null(roots_below(&maps, "Maps/x.tif"));
}

static void test_checked(void **state)
{
    (void)state;
    char many[256] = "", name[160], place[ROOTS_PLACE_BYTES + 8];
    for (int i = 0; i < 17; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s/a%d", i == 0 ? "" : "\n", i);
    snprintf(name, sizeof name, "%0*d=/a", 64, 0);
    memset(place, 'a', sizeof place);
    place[sizeof place - 1] = '\0';
    const struct {
        const char *images, *wrong;
    } cases[] = {{".", NULL},
                 {"/a\nmaps=/b\nmaps=/c\ns3://abc\nhttps://h", NULL},
                 {"", "a directory, s3://BUCKET or http(s)://HOST must be named"},
                 {"/a\n\n/b", "a directory, s3://BUCKET or http(s)://HOST must be named"},
                 {"maps=", "a directory, s3://BUCKET or http(s)://HOST must be named"},
                 {"/a\nftp://b", "addresses begin with s3://, http:// or https://"},
                 {"maps=ftp://b", "addresses begin with s3://, http:// or https://"},
                 {".maps=/b", "the name of an image root does not begin with a dot"},
                 {many, "there are more than 16 image roots"},
                 {name, "the name of an image root is too long"},
                 {place, "the place of an image root is too long"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *wrong = roots_check(cases[i].images);
        if (cases[i].wrong == NULL)
            assert_null(wrong);
        else
            assert_string_equal(wrong, cases[i].wrong);
    }
    *strrchr(many, '\n') = '\0';
    assert_null(roots_check(many));
}

static void test_as_text(void **state)
{
    (void)state;
    char text[16];
    roots_text("/a\nm=/b", text, sizeof text);
    assert_string_equal(text, "/a, m=/b");
    roots_text("/aaaaaaaaaa\n/bbbbbbbbbbbb", text, sizeof text);
    assert_true(strlen(text) < sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_apart),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
