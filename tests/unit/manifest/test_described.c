#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/manifest/described.h"
#include "worker/manifest/language.h"

#include <string.h>

static enum rc read(const char *text, struct manifest_described *ret, struct err *err)
{
    return manifest_described_sidecar(text, strlen(text), ret, err);
}

static void assert_json(json_t *json, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_non_null(wanted);
    if (!json_equal(json, wanted)) {
        char *text = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY);
        fail_msg("%s is not %s", text == NULL ? "nothing" : text, expected);
    }
    json_decref(wanted);
}

static void test_a_sidecar(void **state)
{
    (void)state;
    struct manifest_described said;
    struct err err = {.message = ""};
    enum rc rc = read(
        "{\"label\": \"Codex\", \"summary\": {\"de\": \"Ein Buch\", \"en\": [\"A book\", \"old\"]},"
        " \"metadata\": {\"Date\": \"1420\", \"Hand\": [\"A\", \"B\"]},"
        " \"rights\": \"https://creativecommons.org/publicdomain/mark/1.0/\","
        " \"requiredStatement\": \"The library\", \"viewingDirection\": \"right-to-left\","
        " \"behavior\": \"paged\", \"pages\": [\"1r\", {\"en\": \"1v\"}],"
        " \"homepage\": [{\"id\": \"https://example.org/\", \"type\": \"Text\"}]}",
        &said, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, RC_OK);
    assert_json(said.label, "{\"none\": [\"Codex\"]}");
    assert_json(said.summary, "{\"de\": [\"Ein Buch\"], \"en\": [\"A book\", \"old\"]}");
    assert_json(said.metadata,
                "[{\"label\": {\"none\": [\"Date\"]}, \"value\": {\"none\": [\"1420\"]}},"
                " {\"label\": {\"none\": [\"Hand\"]}, \"value\": {\"none\": [\"A\", \"B\"]}}]");
    assert_json(said.rights, "\"http://creativecommons.org/publicdomain/mark/1.0/\"");
    assert_json(said.required_statement,
                "{\"label\": {\"none\": [\"Attribution\"]}, \"value\": {\"none\": [\"The library\"]}}");
    assert_json(said.behavior, "[\"paged\"]");
    assert_json(said.other, "{\"homepage\": [{\"id\": \"https://example.org/\", \"type\": \"Text\"}]}");
    json_t *page = manifest_described_page(&said, 1, "x.tif");
    assert_json(page, "{\"en\": [\"1v\"]}");
    json_decref(page);
    assert_null(manifest_described_page(&said, 2, "x.tif"));
    manifest_described_done(&said);
}

static void test_pages_by_name(void **state)
{
    (void)state;
    struct manifest_described said;
    struct err err;
    assert_int_equal(read("{\"pages\": {\"b.tif\": \"back\"}}", &said, &err), RC_OK);
    json_t *page = manifest_described_page(&said, 0, "b.tif");
    assert_json(page, "{\"none\": [\"back\"]}");
    json_decref(page);
    assert_null(manifest_described_page(&said, 0, "a.tif"));
    manifest_described_done(&said);
}

static void test_what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } wrong[] = {
        {"{\"label\": \"a\",\n\"x\" 1}", "line 2: "},
        {"[]", "it is no JSON object"},
        {"{\"lable\": \"a\"}", "there is no property \"lable\""},
        {"{\"label\": 3}", "label is a number where a text belongs"},
        {"{\"label\": {}}", "label is empty"},
        {"{\"label\": \"a\", \"label\": \"b\"}", "line 1: "},
        {"{\"rights\": \"all of them\"}", "rights is all of them; it has to be"},
        {"{\"rights\": 1}", "rights is no string"},
        {"{\"viewingDirection\": \"up\"}", "viewingDirection is none of"},
        {"{\"metadata\": [{\"label\": \"Date\"}]}", "metadata needs a label and a value"},
        {"{\"metadata\": \"Date\"}", "metadata is neither"},
        {"{\"behavior\": [1]}", "behavior is no string"},
        {"{\"behavior\": []}", "behavior is no string"},
        {"{\"pages\": \"1r\"}", "pages is neither"},
        {"{\"pages\": [1]}", "pages is a number where"},
        {"{\"homepage\": \"https://example.org\"}", "homepage is no array"},
        {"{\"requiredStatement\": {\"label\": \"L\"}}", "requiredStatement needs a label and a value"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct manifest_described said;
        struct err err = {.message = ""};
        assert_int_equal(read(wrong[i].text, &said, &err), RC_BAD_REQUEST);
        if (strncmp(err.message, wrong[i].sentence, strlen(wrong[i].sentence)) != 0)
            fail_msg("%s: %s", wrong[i].text, err.message);
    }
}

static void test_the_first_who_says_it_stands(void **state)
{
    (void)state;
    struct manifest_described first, second = {NULL};
    struct manifest_embedded embedded = {{[MANIFEST_TITLE] = "From the picture",
                                          [MANIFEST_CREATOR] = "Ann",
                                          [MANIFEST_LICENCE] = "https://example.org/my-licence"}};
    struct err err;
    assert_int_equal(read("{\"label\": \"Mine\", \"metadata\": {\"Date\": \"1420\"}}", &first, &err), RC_OK);
    assert_int_equal(manifest_described_embedded(&embedded, &second, &err), RC_OK);
    manifest_described_add(&first, &second);
    assert_json(first.label, "{\"none\": [\"Mine\"]}");
    assert_json(first.metadata, "[{\"label\": {\"none\": [\"Date\"]}, \"value\": {\"none\": [\"1420\"]}},"
                                " {\"label\": {\"none\": [\"Creator\"]}, \"value\": {\"none\": [\"Ann\"]}},"
                                " {\"label\": {\"none\": [\"License\"]}, \"value\": {\"none\": "
                                "[\"https://example.org/my-licence\"]}}]");
    assert_null(first.rights);
    manifest_described_done(&first);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool is_folder;
        const char *label;
    } names[] = {{"a/b c.tif", false, "{\"none\": [\"b c\"]}"},
                 {"a/v1.2", true, "{\"none\": [\"v1.2\"]}"},
                 {"caf\xe9.tif", false, "{\"none\": [\"caf\\u00e9\"]}"},
                 {"", true, "{\"none\": [\"Images\"]}"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct manifest_described said;
        assert_int_equal(manifest_described_name(names[i].path, names[i].is_folder, &said, NULL), RC_OK);
        assert_json(said.label, names[i].label);
        manifest_described_done(&said);
    }
}

static void test_language_maps_in_2_1(void **state)
{
    (void)state;
    static const struct {
        const char *map, *text;
    } maps[] = {{"{\"none\": [\"a\"]}", "\"a\""},
                {"{\"en\": [\"a\"]}", "{\"@value\": \"a\", \"@language\": \"en\"}"},
                {"{\"none\": [\"a\", \"b\"]}", "[\"a\", \"b\"]"}};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        json_t *map = json_loads(maps[i].map, 0, NULL), *text = manifest_language_2(map);
        assert_json(text, maps[i].text);
        json_decref(text);
        json_decref(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sidecar),
        cmocka_unit_test(test_pages_by_name),
        cmocka_unit_test(test_what_is_wrong_is_said),
        cmocka_unit_test(test_the_first_who_says_it_stands),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_language_maps_in_2_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
