#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/gateway/archive.h"
#include "worker/iiif/request.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char folder[64], text[96], map[96];
    char problems[1024]; /* "line: sentence\n" */
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/vitrine-archive-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->text, sizeof place->text, "%s/retired.txt", place->folder);
    snprintf(place->map, sizeof place->map, "%s/retired.mdb", place->folder);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    unlink(place->text);
    unlink(place->map);
    assert_int_equal(rmdir(place->folder), 0); /* nothing else was left behind */
    free(place);
    return 0;
}

static void write_text(const struct place *place, const char *text, size_t length)
{
    int fd = open(place->text, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    close(fd);
}

static void note_problem(uint64_t line, const char *sentence, void *context)
{
    struct place *place = context;
    size_t length = strlen(place->problems);
    snprintf(place->problems + length, sizeof place->problems - length, "%" PRIu64 ": %s\n", line, sentence);
}

static enum rc load(struct place *place, const char *text, struct err *err)
{
    uint64_t lines = 0;
    write_text(place, text, strlen(text));
    place->problems[0] = '\0';
    int fd = open(place->text, O_RDONLY);
    enum rc rc = gateway_archive_load(fd, place->text, place->map, note_problem, place, &lines, err);
    close(fd);
    return rc;
}

static struct list_map *loaded(struct place *place, const char *text)
{
    struct err err = {0};
    struct list_map *archive = NULL;
    assert_int_equal(load(place, text, &err), RC_OK);
    assert_int_equal(list_map_open(&gateway_archive_kind, place->map, &archive, &err), RC_OK);
    return archive;
}

static void assert_moved(const struct list_map *archive, const char *from, const char *to)
{
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1];
    assert_int_equal(gateway_archive_find(archive, from, now), GATEWAY_RETIRED_MOVED);
    assert_string_equal(now, to);
}

static void assert_is(const struct list_map *archive, const char *identifier,
                      enum gateway_retired what)
{
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1];
    assert_int_equal(gateway_archive_find(archive, identifier, now), what);
}

static void test_moved_gone_and_unknown(void **state)
{
    struct list_map *archive = loaded(*state, "# retired 2026\n"
                                                     "\n"
                                                     "old.tif new.tif\r\n"
                                                     "  ms%2012/a%20b.tif\tms/12.tif  \n"
                                                     "lost.tif -\n"
                                                     "dash.tif %2D\n"
                                                     "last.tif first.tif");
    assert_moved(archive, "old.tif", "new.tif");
    assert_moved(archive, "ms 12/a b.tif", "ms/12.tif");
    assert_moved(archive, "last.tif", "first.tif");
    assert_moved(archive, "dash.tif", "-");
    assert_is(archive, "lost.tif", GATEWAY_RETIRED_GONE);
    assert_is(archive, "new.tif", GATEWAY_RETIRED_NO);
    assert_is(archive, "old.ti", GATEWAY_RETIRED_NO);
    assert_is(archive, "", GATEWAY_RETIRED_NO);
    list_map_close(&archive);
}

static void test_chains_end_where_they_end(void **state)
{
    struct list_map *archive = loaded(*state, "c d\na b\nb c\nx y\ny -\n");
    assert_moved(archive, "a", "d");
    assert_moved(archive, "b", "d");
    assert_moved(archive, "c", "d");
    assert_is(archive, "x", GATEWAY_RETIRED_GONE);
    list_map_close(&archive);
}

static void test_wrong_lines_are_all_named_and_nothing_is_loaded(void **state)
{
    struct place *place = *state;
    struct list_map *archive = loaded(place, "a b\n");
    struct err err = {0};
    assert_int_equal(load(place,
                          "p q\n" /* leads into the loop */
                          "q r\n"
                          "r s\n"
                          "s q\n"
                          "alone\n"
                          "one two three\n"
                          "bad%2 x\n"
                          "self self\n"
                          "twice x\n"
                          "twice y\n",
                          &err),
                     RC_CORRUPT);
    assert_non_null(strstr(place->problems, "5: a new identifier, or '-'"));
    assert_non_null(strstr(place->problems, "6: only two identifiers"));
    assert_non_null(strstr(place->problems, "7: the retired identifier 'bad%2': two hexadecimal digits"));
    assert_non_null(strstr(place->problems, "10: line 9 retires the same identifier"));
    assert_non_null(strstr(place->problems, "8: the identifiers lead round in a loop: lines 8\n"));
    assert_true(strstr(place->problems, "loop: lines 2, 3, 4\n") != NULL ||
                strstr(place->problems, "loop: lines 3, 4, 2\n") != NULL ||
                strstr(place->problems, "loop: lines 4, 2, 3\n") != NULL);
    assert_string_equal(err.message,
                        "line 5: a new identifier, or '-' for a gone image, has to follow the retired one");
    assert_moved(archive, "a", "b"); /* the old map goes on, opened or opened again */
    list_map_close(&archive);
    assert_int_equal(list_map_open(&gateway_archive_kind, place->map, &archive, &err), RC_OK);
    assert_moved(archive, "a", "b");
    list_map_close(&archive);
}

static void test_a_new_map_replaces_one_that_is_in_use(void **state)
{
    struct place *place = *state;
    struct list_map *before = loaded(place, "a b\n"), *after = loaded(place, "a c\n");
    struct stat text;
    assert_int_equal(stat(place->text, &text), 0);
    assert_moved(before, "a", "b");
    assert_moved(after, "a", "c");
    const struct list_map_source source = list_map_source(&gateway_archive_kind, &text, 0);
    assert_true(list_map_is_of(after, &source));
    assert_false(list_map_is_of(before, &source));
    list_map_close(&before);
    list_map_close(&after);
}

static void test_foreign_maps_do_not_open(void **state)
{
    struct place *place = *state;
    struct list_map *archive = NULL;
    struct err err = {0};
    assert_int_equal(list_map_open(&gateway_archive_kind, place->map, &archive, &err), RC_NOT_FOUND);
    int fd = open(place->map, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "no map", 6), 6);
    close(fd);
    assert_int_equal(list_map_open(&gateway_archive_kind, place->map, &archive, &err), RC_CORRUPT);
    assert_null(archive);
}

static void test_many_lines(void **state)
{
    struct place *place = *state;
    enum { LINES = 100000 };
    size_t length = 0;
    char *text = malloc(LINES * 40);
    for (int i = 0; i < LINES; i++) /* every tenth moved twice, every hundredth gone */
        length += (size_t)sprintf(text + length,
                                  i % 100 == 0  ? "n%d -\n"
                                  : i % 10 == 0 ? "n%d n%d\n"
                                                : "n%d new/%d\n",
                                  i, i + 1);
    text[length] = '\0';
    struct list_map *archive = loaded(place, text);
    assert_is(archive, "n500", GATEWAY_RETIRED_GONE);
    assert_moved(archive, "n510", "new/512");
    assert_moved(archive, "n99999", "new/100000");
    assert_is(archive, "n100000", GATEWAY_RETIRED_NO);
    list_map_close(&archive);
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        TEST(test_moved_gone_and_unknown),
        TEST(test_chains_end_where_they_end),
        TEST(test_wrong_lines_are_all_named_and_nothing_is_loaded),
        TEST(test_a_new_map_replaces_one_that_is_in_use),
        TEST(test_foreign_maps_do_not_open),
        TEST(test_many_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
