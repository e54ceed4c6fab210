#include "worker/web/page.h"

#include "base/own.h"
#include "worker/web/assets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_blanks_are_escaped_and_filled_once(void **state)
{
    (void)state;
    OWN(bytes_done) struct bytes page = {0};
    struct err err;
    const struct web_blank blanks[] = {
        {"status", "404"}, {"headline", "<&>"}, {"sentence", "\"{{status}}' {{ \xfc"}};
    assert_int_equal(web_page_write("problem.html", "https://host:1/a/'b", blanks, 3, &page, &err), RC_OK);
    assert_int_equal(bytes_append(&page, "", 1, &err), RC_OK);
    const char *text = (const char *)page.data;
    assert_non_null(strstr(text, "<h1>&lt;&amp;&gt;</h1>"));
    assert_non_null(strstr(text, "<p>&quot;{{status}}&#39; {{ \xfc</p>"));
    assert_non_null(strstr(text, "data-base=\"/a/&#39;b\""));
    assert_non_null(strstr(text, "href=\"/a/&#39;b/assets/"));
    assert_null(strstr(text, "{{base}}"));
}

static void test_the_path_of_a_base_url(void **state)
{
    (void)state;
    assert_string_equal(web_page_base("http://host"), "");
    assert_string_equal(web_page_base("http://host:80/a/b"), "/a/b");
    assert_string_equal(web_page_base("nonsense"), "");
}

static void test_assets_have_one_version_and_pages_are_none(void **state)
{
    (void)state;
    char path[64];
    bool is_current = false;
    assert_int_equal(strlen(web_assets_version()), WEB_VERSION_DIGITS);
    snprintf(path, sizeof path, "%s/base.css", web_assets_version());
    assert_non_null(web_assets_find(path, strlen(path), &is_current));
    assert_true(is_current);
    assert_non_null(web_assets_find("0/base.css", 10, &is_current));
    assert_false(is_current);
    assert_null(web_assets_find("0/view.html", 11, &is_current));
    assert_null(web_assets_find("base.css", 8, &is_current));
    assert_null(web_assets_find("0/a/base.css", 12, &is_current));
    assert_null(web_assets_find("", 0, &is_current));
}

static void test_each_coding_is_made_once(void **state)
{
    (void)state;
    const struct web_file *style = web_file_find("base.css", 8);
    struct web_asset_body plain, packed, again;
    assert_true(web_asset_body(style, HTTP_IDENTITY, false, &plain));
    assert_int_equal(plain.length, style->end - style->data);
    assert_false(web_asset_body(style, HTTP_GZIP, false, &packed));
    assert_true(web_asset_body(style, HTTP_GZIP, true, &packed));
    assert_int_equal(packed.coding, HTTP_GZIP);
    assert_true(packed.length < plain.length);
    assert_true(web_asset_body(style, HTTP_GZIP, false, &again));
    assert_ptr_equal(again.data, packed.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blanks_are_escaped_and_filled_once),
        cmocka_unit_test(test_the_path_of_a_base_url),
        cmocka_unit_test(test_assets_have_one_version_and_pages_are_none),
        cmocka_unit_test(test_each_coding_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
