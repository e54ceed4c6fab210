/* One page of a listing, as stores write them and as they do not. */
#include "worker/ingest/bucket_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024];

static enum rc take(void *context, const struct ingest_bucket_entry *entry, struct err *err)
{
    struct bytes line = {0};
    (void)context;
    enum rc rc = bytes_format(&line, err, "%s|%s|%llu\n", entry->key, entry->etag,
                              (unsigned long long)entry->size_bytes);
    if (rc == RC_OK)
        strncat(seen, (const char *)line.data, sizeof seen - strlen(seen) - 1);
    bytes_done(&line);
    return rc;
}

static enum rc read_page(const char *xml, char token[64])
{
    struct bytes out = {0};
    struct err err;
    seen[0] = '\0';
    enum rc rc = ingest_bucket_list_read(xml, strlen(xml), take, NULL, &out, &err);
    strcpy(token, out.length > 0 ? (const char *)out.data : "");
    bytes_done(&out);
    return rc;
}

static void test_a_page(void **state)
{
    char token[64];
    (void)state;
    assert_int_equal(
        read_page(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name>"
            "<NextContinuationToken>1/a&amp;b==</NextContinuationToken>"
            "<Contents><Key>a/b c.tif</Key><Size>12345678901</Size><ETag>&quot;e&quot;</ETag></Contents>"
            "<Contents><ETag>x</ETag><Key>&lt;&amp;&gt;&#10;&#xE9;&#x9ce5;&#x1F600;</Key></Contents>"
            "</ListBucketResult>",
            token),
        RC_OK);
    assert_string_equal(token, "1/a&b==");
    assert_string_equal(seen, "a/b c.tif|\"e\"|12345678901\n<&>\n\xc3\xa9\xe9\xb3\xa5\xf0\x9f\x98\x80|x|0\n");
}

static void test_the_last_page(void **state)
{
    char token[64];
    (void)state;
    assert_int_equal(read_page("<ListBucketResult></ListBucketResult>", token), RC_OK);
    assert_string_equal(token, "");
    assert_string_equal(seen, "");
}

static void test_no_listing(void **state)
{
    static const char *const wrong[] = {
        "",
        "<html></html>",
        "<ListBucketResult><Contents><Key>a</Key></Contents>", /* cut off */
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&nbsp;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&#0;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&#x110000;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>&#x;</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a&</Key></Contents></ListBucketResult>",
    };
    char token[64];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(read_page(wrong[i], token), RC_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_page), cmocka_unit_test(test_the_last_page),
                                       cmocka_unit_test(test_no_listing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
