#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/gateway/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char problems[2048];

static void note_problem(uint64_t line, const char *sentence, void *context)
{
    (void)context;
    size_t length = strlen(problems);
    snprintf(problems + length, sizeof problems - length, "%" PRIu64 ": %s\n", line, sentence);
}

static enum rc load(const char *text, struct gateway_rules **ret_rules, struct err *err)
{
    char path[64];
    int fd = memfd_create("rules", MFD_CLOEXEC);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    problems[0] = '\0';
    enum rc rc = gateway_rules_load(path, note_problem, NULL, ret_rules, err);
    close(fd);
    return rc;
}

static void assert_leads(const struct gateway_rules *rules, const char *identifier, uint64_t line,
                         const char *source)
{
    struct gateway_match match;
    struct err err = {0};
    assert_int_equal(gateway_rules_apply(rules, identifier, &match, &err), RC_OK);
    assert_string_equal(match.source, source);
    assert_int_equal(match.line, line);
    assert_int_equal(match.rule != NULL, line != 0);
}

static void test_the_first_that_matches_wins(void **state)
{
    (void)state;
    struct gateway_rules *rules = NULL;
    struct err err = {0};
    assert_int_equal(load("# how the catalogue names its images\n"
                          "prefix ms/ manuscripts/masters/$1\n"
                          "\tregex ^obj-(\\d+)-(\\d+)$ objects/$1.tif;$2\r\n"
                          "\n"
                          "suffix .jp2 $1.tif\n"
                          "prefix ms never\n"
                          "regex ^x(a)|^x(b)c price-$$-$1$2-of-$0\n"
                          "prefix with%20blank to%20here/$1",
                          &rules, &err),
                     RC_OK);
    assert_leads(rules, "ms/12/a.jp2", 2, "manuscripts/masters/12/a.jp2");
    assert_leads(rules, "ms/", 2, "manuscripts/masters/");
    assert_leads(rules, "obj-17-4", 3, "objects/17.tif;4");
    assert_leads(rules, "obj-17-4x", 0, "obj-17-4x");
    assert_leads(rules, "fig.jp2", 5, "fig.tif");
    assert_leads(rules, ".jp2", 5, ".tif");
    assert_leads(rules, "msx", 6, "never");
    assert_leads(rules, "xbcx", 7, "price-$-b-of-xbcx"); /* a group without part in the match is empty */
    assert_leads(rules, "with blank!", 8, "to here/!");
    assert_leads(rules, "other.tif", 0, "other.tif");
    assert_leads(NULL, "other.tif", 0, "other.tif");
    gateway_rules_free(&rules);
}

static void test_wrong_lines_are_all_named(void **state)
{
    (void)state;
    struct gateway_rules *rules = NULL;
    struct err err = {0};
    assert_int_equal(load("glob *.tif x\n"
                          "prefix a\n"
                          "prefix a b c\n"
                          "regex (unclosed x\n"
                          "regex (one) $2\n"
                          "prefix a $2\n"
                          "suffix a $x\n"
                          "suffix a end$\n"
                          "suffix a%2 x\n"
                          "prefix good $1\n",
                          &rules, &err),
                     RC_CORRUPT);
    assert_null(rules);
    static const char *const expected[] = {
        "1: a rule begins with prefix, suffix or regex, not with 'glob'",
        "2: a rule has three words",
        "3: a rule has three words",
        "4: the expression '(unclosed' is wrong at character 10: missing closing parenthesis",
        "5: the source '$2' uses $2, but the pattern has 1 group\n",
        "6: the source '$2' uses $2, but the pattern has 1 group\n",
        "7: in the source '$x' a digit or $ has to follow each $",
        "8: in the source 'end$' a digit or $",
        "9: the pattern 'a%2': two hexadecimal digits",
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strstr(problems, expected[i]) == NULL)
            fail_msg("'%s' is not among:\n%s", expected[i], problems);
    assert_null(strstr(problems, "\n10: "));
    assert_string_equal(err.message, "line 1: a rule begins with prefix, suffix or regex, not with 'glob'");
}

static void test_what_a_match_may_cost_is_bounded(void **state)
{
    (void)state;
    struct gateway_rules *rules = NULL;
    struct gateway_match match;
    struct err err = {0};
    assert_int_equal(load("regex ^(a+)+$ x\nprefix a $1$1$1\n", &rules, &err), RC_OK);
    char many[IIIF_MAX_IDENTIFIER_BYTES + 1];
    memset(many, 'a', sizeof many);
    many[60] = 'b';
    many[61] = '\0';
    assert_int_equal(gateway_rules_apply(rules, many, &match, &err), RC_NOT_FOUND);
    assert_string_equal(err.message, "the identifier cannot be matched by the rule of line 1");
    gateway_rules_free(&rules);
    assert_int_equal(load("prefix a $1$1$1\n", &rules, &err), RC_OK);
    many[60] = 'a';
    many[61] = 'a';
    many[sizeof many - 1] = '\0';
    assert_int_equal(gateway_rules_apply(rules, many, &match, &err), RC_NOT_FOUND);
    gateway_rules_free(&rules);
}

static void test_a_file_that_is_not_there(void **state)
{
    (void)state;
    struct gateway_rules *rules = NULL;
    struct err err = {0};
    assert_int_equal(gateway_rules_load("/nowhere/rules", NULL, NULL, &rules, &err), RC_IO);
    assert_string_equal(err.message, "the identifier rules /nowhere/rules: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_that_matches_wins),
        cmocka_unit_test(test_wrong_lines_are_all_named),
        cmocka_unit_test(test_what_a_match_may_cost_is_bounded),
        cmocka_unit_test(test_a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
