/* Signatures, by the examples of Amazon's documentation (GET Object, and GET Bucket with a query). */
#include "cache/s3_sign.h"

#include "base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct s3_credentials example = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                              .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
#define EXAMPLE_TIME 1369353600 /* 24 May 2013 */

static bool has_line(const struct bytes *headers, const char *line)
{
    return memmem(headers->data, headers->length, line, strlen(line) + 1) != NULL;
}

static void check(const struct s3_request *request, const char *signature)
{
    OWN(bytes_done) struct bytes headers = {0};
    assert_int_equal(s3_sign(request, &example, "us-east-1", EXAMPLE_TIME, &headers, NULL), RC_OK);
    assert_true(has_line(&headers, "x-amz-date: 20130524T000000Z"));
    if (!has_line(&headers, signature))
        fail_msg("%s", (const char *)headers.data + strlen((const char *)headers.data) + 1);
}

static void test_documented_example_with_a_query(void **state)
{
    (void)state;
    check(&(struct s3_request){.method = "GET",
                               .host = "examplebucket.s3.amazonaws.com",
                               .path = "/",
                               .query = "max-keys=2&prefix=J"},
          "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    check(
        &(struct s3_request){
            .method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = "/", .query = "lifecycle="},
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void test_a_token_is_signed(void **state)
{
    (void)state;
    struct s3_credentials temporary = example;
    OWN(bytes_done) struct bytes headers = {0};
    strcpy(temporary.session_token, "token");
    const struct s3_request request = {.method = "GET", .host = "h", .path = "/", .query = ""};
    assert_int_equal(s3_sign(&request, &temporary, "us-east-1", EXAMPLE_TIME, &headers, NULL), RC_OK);
    assert_true(has_line(&headers, "x-amz-security-token: token"));
    assert_non_null(memmem(headers.data, headers.length, "x-amz-date;x-amz-security-token,", 32));
}

static void test_encoding(void **state)
{
    (void)state;
    OWN(bytes_done) struct bytes out = {0};
    assert_int_equal(s3_encode("a b/c+%&=~\xc3\xbc", true, &out, NULL), RC_OK);
    assert_int_equal(s3_encode("/", false, &out, NULL), RC_OK);
    assert_int_equal(bytes_append(&out, "", 1, NULL), RC_OK);
    assert_string_equal((const char *)out.data, "a%20b/c%2B%25%26%3D~%C3%BC%2F");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented_example_with_a_query),
        cmocka_unit_test(test_a_token_is_signed),
        cmocka_unit_test(test_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
