#include "worker/web/roll_search.h"

#include "base/own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct roll {
    struct bytes line, folded;
    struct web_roll_text text;
};

static void roll_done(struct roll *roll)
{
    bytes_done(&roll->line);
    bytes_done(&roll->folded);
}

static void fill(struct roll *roll, const char *lines, size_t length)
{
    assert_int_equal(bytes_append(&roll->line, lines, length, NULL), RC_OK);
    assert_int_equal(bytes_append(&roll->folded, lines, length, NULL), RC_OK);
    web_roll_fold(roll->folded.data, roll->folded.length);
    roll->text = (struct web_roll_text){roll->line.data, roll->folded.data, length};
}

/* The paths that are found, each with a '|' behind it. */
static const char *find(const struct roll *roll, const char *words, const char *folder, size_t from,
                        size_t room)
{
    static char text[4096];
    struct web_roll_match match[16];
    struct web_roll_found found = {.match = match};
    const struct web_roll_wanted wanted = {.words = words, .folder = folder, .from = from, .room = room};
    struct err err;
    assert_int_equal(web_roll_find(&roll->text, &wanted, &found, &err), RC_OK);
    assert_true(found.count <= room);
    text[0] = '\0';
    for (size_t i = 0; i < found.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s|", (int)match[i].length,
                 match[i].path);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%zu", found.total);
    return text;
}

static const char paths[] = "Dog.tif\n"
                            "dragon fly.tif\n"
                            "maps/\xc3\x9c"
                            "bersicht.tif\n"
                            "maps/Dog.tif\n"
                            "maps/old/dog DAYS 10.tif\n"
                            "maps/old/latin \xdc.tif\n"
                            "mapsdog/x.tif\n"
                            "\xd0\x81\xd0\x96.tif\n";

static void test_words_in_any_case_and_order(void **state)
{
    (void)state;
    OWN(roll_done) struct roll roll = {0};
    fill(&roll, paths, sizeof paths - 1);
    assert_string_equal(find(&roll, "dog", "", 0, 10),
                        "Dog.tif|maps/Dog.tif|maps/old/dog DAYS 10.tif|mapsdog/x.tif|4");
    assert_string_equal(find(&roll, " days  DOG ", "", 0, 10), "maps/old/dog DAYS 10.tif|1");
    assert_string_equal(find(&roll, "\xc3\xbc", "", 0, 10), "maps/\xc3\x9c"
                                                            "bersicht.tif|1");
    assert_string_equal(find(&roll, "\xd1\x91\xd0\xb6", "", 0, 10), "\xd0\x81\xd0\x96.tif|1");
    assert_string_equal(find(&roll, "\xdc", "", 0, 10), "maps/old/latin \xdc.tif|1");
    assert_string_equal(find(&roll, "fly.tif maps", "", 0, 10), "0"); /* not over a line's end */
    assert_string_equal(find(&roll, "", "", 0, 10), "0");
    assert_string_equal(find(&roll, " \n\t", "", 0, 10), "0");
    assert_string_equal(find(&roll, "tif\ndragon", "", 0, 10), "dragon fly.tif|1");
    assert_string_equal(find(&roll, "a b c d e f g h i j k l m", "", 0, 10), "0");
}

static void test_stretches_and_folders(void **state)
{
    (void)state;
    OWN(roll_done) struct roll roll = {0};
    fill(&roll, paths, sizeof paths - 1);
    assert_string_equal(find(&roll, "tif", "", 2, 2), "maps/\xc3\x9c"
                                                      "bersicht.tif|maps/Dog.tif|8");
    assert_string_equal(find(&roll, "tif", "", 8, 2), "8");
    assert_string_equal(find(&roll, "dog", "maps", 0, 10), "maps/Dog.tif|maps/old/dog DAYS 10.tif|2");
    assert_string_equal(find(&roll, "dog", "maps", 1, 10), "maps/old/dog DAYS 10.tif|2");
    assert_string_equal(find(&roll, "dog", "maps/old", 0, 10), "maps/old/dog DAYS 10.tif|1");
    assert_string_equal(find(&roll, "dog", "map", 0, 10), "0");
    assert_string_equal(find(&roll, "x", "mapsdog", 0, 10), "mapsdog/x.tif|1");
    assert_string_equal(find(&roll, "dog", "Dog.tif", 0, 10), "0");
}

static void test_ends(void **state)
{
    (void)state;
    OWN(roll_done) struct roll none = {0}, open = {0}, many = {0};
    fill(&none, "", 0);
    assert_string_equal(find(&none, "x", "", 0, 10), "0");
    assert_string_equal(find(&none, "x", "a", 0, 10), "0");
    fill(&open, "a/b\nlast", 8); /* as a file that was cut would be */
    assert_string_equal(find(&open, "last", "", 0, 10), "last|1");
    assert_string_equal(find(&open, "b", "a", 0, 10), "a/b|1");
    for (int i = 0; i < 30000; i++)
        assert_int_equal(bytes_append(&many.line, "aa.tif\n", 7, NULL), RC_OK);
    many.text = (struct web_roll_text){many.line.data, many.line.data, many.line.length};
    struct web_roll_match match;
    struct web_roll_found found = {.match = &match};
    const struct web_roll_wanted wanted = {.words = "a", .folder = "", .room = 1};
    assert_int_equal(web_roll_find(&many.text, &wanted, &found, NULL), RC_OK);
    assert_int_equal(found.total, WEB_MOST_MATCHES);
    assert_true(found.is_more);
}

static void test_folding_keeps_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *folded;
    } row[] = {
        {"AZaz09_-", "azaz09_-"},
        {"\xc3\x80\xc3\x9e\xc3\x97\xc3\x9f", "\xc3\xa0\xc3\xbe\xc3\x97\xc3\x9f"}, /* À Þ; × ß have no other */
        {"\xc4\x8c\xc5\xa0\xc5\xbd\xc5\x81", "\xc4\x8d\xc5\xa1\xc5\xbe\xc5\x82"}, /* Č Š Ž Ł */
        {"\xce\x91\xce\xa9\xce\xac", "\xce\xb1\xcf\x89\xce\xac"},                 /* Α Ω ά */
        {"\xd0\x90\xd0\xaf\xd0\x81", "\xd0\xb0\xd1\x8f\xd1\x91"},                 /* А Я Ё */
        {"\xe6\x97\xa5\xf0\x9f\x96\xbc", "\xe6\x97\xa5\xf0\x9f\x96\xbc"},
        {"\xc3", "\xc3"},
        {"\xdc.\xc3X", "\xdc.\xc3x"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        uint8_t text[32];
        size_t length = strlen(row[i].text);
        memcpy(text, row[i].text, length);
        web_roll_fold(text, length);
        assert_memory_equal(text, row[i].folded, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_in_any_case_and_order),
        cmocka_unit_test(test_stretches_and_folders),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_folding_keeps_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
