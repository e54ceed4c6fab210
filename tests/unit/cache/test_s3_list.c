/* One page of a list, as stores write them and as they do not; names of uploads. */
#include "cache/s3_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024];

static enum rc take(void *context, const struct s3_list_object *object, struct err *err)
{
    struct bytes line = {0};
    (void)context;
    enum rc rc = bytes_format(&line, err, "%s|%s|%llu%c", object->key, object->etag,
                              (unsigned long long)object->size_bytes, object->is_prefix ? '/' : ';');
    if (rc == RC_OK)
        strncat(seen, (const char *)line.data, line.length);
    bytes_done(&line);
    return rc;
}

static enum rc read_page(const char *xml, struct s3_list_page *page)
{
    struct err err;
    seen[0] = '\0';
    return s3_list_read(xml, strlen(xml), take, NULL, page, &err);
}

static void test_a_page(void **state)
{
    struct s3_list_page page = {.is_truncated = false};
    (void)state;
    assert_int_equal(
        read_page("<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name>"
                  "<IsTruncated>true</IsTruncated>"
                  "<NextContinuationToken>1/a&amp;b&#61;&#x3D;</NextContinuationToken>"
                  "<Contents><Key>a/b+c%C3%A9.tif</Key><Size>12345678901</Size><ETag>&quot;e&quot;</ETag></"
                  "Contents>"
                  "<Contents><ETag>&#34;x&#x22;</ETag><Size>0</Size><Key>%3C%26%3E</Key></Contents>"
                  "<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>",
                  &page),
        RC_OK);
    assert_true(page.is_truncated);
    assert_string_equal(page.token, "1/a&b==");
    assert_string_equal(seen, "a/b c\xc3\xa9.tif|\"e\"|12345678901;<&>|\"x\"|0;d/||0/");
}

static void test_a_page_that_leads_to_itself(void **state)
{
    struct s3_list_page page = {.is_truncated = false};
    (void)state;
    static const char xml[] = "<ListBucketResult><IsTruncated>true</IsTruncated>"
                              "<NextContinuationToken>again</NextContinuationToken></ListBucketResult>";
    assert_int_equal(read_page(xml, &page), RC_OK);
    assert_int_equal(read_page(xml, &page), RC_ORIGIN);
}

static void test_the_last_page(void **state)
{
    struct s3_list_page page = {.is_truncated = false};
    (void)state;
    assert_int_equal(
        read_page("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", &page), RC_OK);
    assert_false(page.is_truncated);
    assert_string_equal(seen, "");
}

static void test_no_list(void **state)
{
    static const char *const wrong[] = {
        "",
        "<html></html>",
        "<IsTruncated>true</IsTruncated>", /* and no token */
        "<IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents>",
        "<IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents>",
        "<IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>-1</Size></Contents>",
        "<IsTruncated>false</IsTruncated><Contents><Key>%0</Key><Size>1</Size></Contents>",
        "<IsTruncated>false</IsTruncated><Contents><Key>a%00</Key><Size>1</Size></Contents>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct s3_list_page page = {.token = "untouched"};
        assert_int_equal(read_page(wrong[i], &page), RC_ORIGIN);
        assert_string_equal(page.token, "untouched");
    }
}

static void test_what_is_no_reference_stands_for_itself(void **state)
{
    static const char *const same[] = {"&",    "&#",     "&#;x",   "&#x;", "&#xg;",
                                       "&#34", "&#999;", "&nbsp;", "&#a;"};
    struct s3_list_page page = {.is_truncated = false};
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char xml[256], right[64];
        snprintf(
            xml, sizeof xml,
            "<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>1</Size><ETag>%s</ETag></Contents>",
            same[i]);
        snprintf(right, sizeof right, "k|%s|1;", same[i]);
        assert_int_equal(read_page(xml, &page), RC_OK);
        assert_string_equal(seen, right);
    }
}

static void test_uploads(void **state)
{
    const char *good = "<Result><Key>k</Key><UploadId>2~ab&amp;c</UploadId></Result>";
    const char *const wrong[] = {"<Result></Result>", "<UploadId></UploadId>", "<UploadId>a"};
    char id[S3_LIST_UPLOAD_BYTES] = "";
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(s3_list_upload(wrong[i], strlen(wrong[i]), id, &err), RC_ORIGIN);
    assert_string_equal(id, "");
    assert_int_equal(s3_list_upload(good, strlen(good), id, &err), RC_OK);
    assert_string_equal(id, "2~ab&c");
}

static void test_queries(void **state)
{
    struct bytes query = {0};
    struct err err;
    (void)state;
    assert_int_equal(s3_list_query("", false, "a b/", "c&", &query, &err), RC_OK);
    assert_string_equal((const char *)query.data, "encoding-type=url&list-type=2&prefix=a%20b%2Fc%26");
    query.length = 0;
    assert_int_equal(s3_list_query("1/=", true, "", "d/", &query, &err), RC_OK);
    assert_string_equal((const char *)query.data,
                        "continuation-token=1%2F%3D&delimiter=%2F&encoding-type=url&list-type=2&prefix=d%2F");
    bytes_done(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_page),
        cmocka_unit_test(test_a_page_that_leads_to_itself),
        cmocka_unit_test(test_the_last_page),
        cmocka_unit_test(test_no_list),
        cmocka_unit_test(test_what_is_no_reference_stands_for_itself),
        cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
