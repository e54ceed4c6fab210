/* Which document a path asks for, and of which identifier; how long both may be. */
#include "tests/unit/iiif/parsing.h"

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum iiif_what what;
        const char *raw, *identifier;
    } rows[] = {
        {"a.tif", IIIF_BASE, "a.tif", "a.tif"},
        {"a.tif/info.json", IIIF_INFO, "a.tif", "a.tif"},
        {"a.tif/%69nfo.json", IIIF_INFO, "a.tif", "a.tif"},
        {"ark:%2F12025%2f654xz321/info.json", IIIF_INFO, "ark:%2F12025%2f654xz321", "ark:/12025/654xz321"},
        {"%aA%fF%0a%A9", IIIF_BASE, "%aA%fF%0a%A9", "\xaa\xff\n\xa9"},
        {"1:%253C69", IIIF_BASE, "1:%253C69", "1:%3C69"},
        {"a%252Fb/full/max/0/default.jpg", IIIF_IMAGE, "a%252Fb", "a%2Fb"},
        {"%D1%84/full/max/0/default.jpg", IIIF_IMAGE, "%D1%84", "\xd1\x84"},
        {"a\\^<>[]`\x80/full/max/0/default.jpg", IIIF_IMAGE, "a\\^<>[]`\x80", "a\\^<>[]`\x80"},
        {"a+b%2Db;2", IIIF_BASE, "a+b%2Db;2", "a+b-b;2"},
        {"full/full/max/0/default.jpg", IIIF_IMAGE, "full", "full"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iiif_request request;
        parsed(IIIF_3, rows[i].path, &request);
        assert_int_equal(request.what, rows[i].what);
        assert_string_equal(request.raw_identifier, rows[i].raw);
        assert_string_equal(request.identifier, rows[i].identifier);
    }
}

static void test_no_routes(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "a/",
        "a/info.jso",
        "a/INFO.JSON",
        "a/info.xml",
        "a/info.json/",
        "a/b/info.json",
        "a/info.json%00",
        "a/full",
        "a/full/max",
        "a/full/max/0",
        "a/b/full/max/0/default.jpg",
        "a/full/max/0/default.jpg/",
        "/full/max/0/default.jpg",
        "/info.json",
        "a/full%2Fmax/0/default.jpg",
        "//////////",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_refused(IIIF_2, paths[i], RC_NOT_FOUND, "identifier");
        assert_refused(IIIF_3, paths[i], RC_NOT_FOUND, "identifier");
    }
    assert_refused(IIIF_3, "a%", RC_BAD_REQUEST, "identifier 'a%'");
    assert_refused(IIIF_3, "a%00b/info.json", RC_BAD_REQUEST, "identifier 'a%00b'");
    assert_refused(IIIF_3, "%zz/full/max/0/default.jpg", RC_BAD_REQUEST, "identifier '%zz'");
}

/* Every length around the bounds, plain and with each byte encoded. */
static void test_lengths(void **state)
{
    (void)state;
    char *path = malloc(20000);
    struct iiif_request request;
    memset(path, 'a', 20000);
    path[IIIF_MAX_IDENTIFIER_BYTES] = '\0';
    parsed(IIIF_3, path, &request);
    assert_string_equal(request.identifier, path);
    path[IIIF_MAX_IDENTIFIER_BYTES] = 'a';
    path[IIIF_MAX_IDENTIFIER_BYTES + 1] = '\0';
    assert_refused(IIIF_3, path, RC_NOT_FOUND, "longer than 1024 bytes");

    for (size_t i = 0; i < IIIF_MAX_IDENTIFIER_BYTES + 1; i++)
        memcpy(path + 3 * i, "%41", 3);
    path[3 * IIIF_MAX_IDENTIFIER_BYTES] = '\0';
    parsed(IIIF_3, path, &request);
    assert_int_equal(strlen(request.identifier), IIIF_MAX_IDENTIFIER_BYTES);
    assert_string_equal(request.raw_identifier, path);
    path[3 * IIIF_MAX_IDENTIFIER_BYTES] = '%';
    path[3 * IIIF_MAX_IDENTIFIER_BYTES + 3] = '\0';
    assert_refused(IIIF_3, path, RC_NOT_FOUND, "longer than 1024 bytes");

    /* A parameter of 127 bytes is read, one of 128 is not; what it says is cut in the sentence. */
    strcpy(path, "a/");
    memset(path + 2, '0', 127);
    strcpy(path + 2 + 120, "0,0,1,1/max/0/default.jpg");
    parsed(IIIF_3, path, &request);
    memset(path + 2, '0', 128);
    strcpy(path + 2 + 121, "0,0,1,1/max/0/default.jpg");
    assert_refused(IIIF_3, path, RC_BAD_REQUEST, "000...' is longer than 127 bytes");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_no_routes),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
