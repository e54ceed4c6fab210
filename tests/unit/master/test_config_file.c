/* Reading a configuration: what is taken, what is said, and on which line. */
#include "master/config_file.h"

#include "base/fdio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct master_config config;
static char path[] = "/tmp/vitrine-config-XXXXXX";

static void read_text(const char *text)
{
    strcpy(strrchr(path, '-') + 1, "XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fdio_write_all(fd, text, strlen(text), NULL), RC_OK);
    close(fd);
    assert_int_equal(master_config_init(&config, NULL), RC_OK);
    assert_int_equal(master_config_read(&config, path, NULL), RC_OK);
    unlink(path);
}

static void assert_problems(const char *right)
{
    char said[4096] = "";
    assert_true(config.problems.length < sizeof said);
    if (config.problems.length > 0)
        memcpy(said, config.problems.data, config.problems.length);
    for (char *at = strstr(said, path); at != NULL; at = strstr(at, path))
        memmove(at, at + strlen(path), strlen(at + strlen(path)) + 1);
    assert_string_equal(said, right);
    unsigned lines = 0;
    for (const char *c = right; *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(config.problem_count, lines);
    master_config_done(&config);
}

static void test_values_are_taken(void **state)
{
    (void)state;
    read_text("# all kinds\nlisten = \"[::1]:9000\";\nworkers = 7\nupscaling = false;\nmetadata : \"never\"\n"
              "max_decode_bytes = \"64M\";\nmax_header_bytes = 0x4000;\ncache_control = \"a \" \"b\";");
    assert_string_equal(config.settings.listen, "[::1]:9000");
    assert_int_equal(config.settings.workers, 7);
    assert_false(config.settings.upscaling);
    assert_string_equal(config.settings.metadata, "never");
    assert_int_equal(config.settings.max_decode_bytes, 64 << 20);
    assert_int_equal(config.settings.max_header_bytes, 0x4000);
    assert_string_equal(config.settings.cache_control, "a b");
    assert_int_equal(config.settings.jpeg_quality, 80);
    assert_int_equal(config.line[settings_find("workers") - settings_table], 3);
    assert_int_equal(config.line[settings_find("jpeg_quality") - settings_table], 0);
    assert_problems("");
}

static void test_empty_file(void **state)
{
    (void)state;
    read_text("");
    assert_problems("");
}

static void test_all_problems_at_once(void **state)
{
    (void)state;
    read_text("workers = \"2\";\nworkerz = 1;\nupscaling = \"true\";\njpeg_quality = 80.5;\nadmin = [ 1 "
              "];\nlisten = \"x\";\n"
              "drain_timeout = 7;\n");
    assert_int_equal(config.settings.workers, 0);
    assert_int_equal(config.settings.drain_timeout_s, 7); /* what is right is taken all the same */
    assert_problems(":1: workers is a text, but must be a whole number\n"
                    ":2: there is no setting workerz; is workers meant?\n"
                    ":3: upscaling is a text, but must be true or false\n"
                    ":4: jpeg_quality is a number with a fraction, but must be a whole number\n"
                    ":5: admin is a group or list, but must be a text in quotes\n"
                    ":6: listen is \"x\": there is no port; write ADDR:PORT\n");
}

static void test_syntax(void **state)
{
    (void)state;
    read_text("workers = 1;\nworkers = 2;\n");
    assert_true(config.is_unreadable);
    assert_problems(":2: duplicate setting name\n");
    read_text("\n\nworkers = = 1;\n");
    assert_problems(":3: syntax error\n");
}

/* Numbers beyond 32 bits arrive whole, and nothing else in the file is changed by that. */
static void test_wide_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } row[] = {
        {"max_source_pixels = 2147483647;", 2147483647},
        {"max_source_pixels = 2147483648;", INT64_C(2147483648)},
        {"max_source_pixels = 4294967297;", INT64_C(4294967297)},
        {"max_source_pixels = 4294967297L;", INT64_C(4294967297)},
        {"max_source_pixels=4294967297", INT64_C(4294967297)},
        {"max_source_pixels = /* 4294967298 */ 4294967297 # 4294967298", INT64_C(4294967297)},
        {"max_source_pixels = \n// \"\n4294967297\n;", INT64_C(4294967297)},
        {"cache_control = \"4294967298 \\\" 4294967298\"; max_source_pixels = 4294967297;",
         INT64_C(4294967297)},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        read_text(row[i].text);
        if (config.settings.max_source_pixels != row[i].value)
            fail_msg("%s: %lld %.*s", row[i].text, (long long)config.settings.max_source_pixels,
                     (int)config.problems.length, (const char *)config.problems.data);
        if (strstr(row[i].text, "cache_control") != NULL)
            assert_string_equal(config.settings.cache_control, "4294967298 \" 4294967298");
        assert_problems("");
    }
    read_text("workers = 4294967298;");
    assert_problems(":1: workers is 4294967298, but must be from 0 to 128 processes\n");
    read_text("a-4294967298 = 1;\n");
    assert_problems(":1: there is no setting a-4294967298\n");
}

static void test_ends_of_the_file(void **state)
{
    (void)state;
    read_text("workers = 1;\n\nimages = \"/srv;\nlisten = 1;\n");
    assert_problems(":3: the text that begins here does not end\n");
    read_text("images = \"a\\");
    assert_problems(":1: the text that begins here does not end\n");
    read_text("workers = 1;\n/* all that follows\nworkers = 2;\n/");
    assert_problems(":2: the comment that begins here does not end\n");
    read_text("/");
    assert_problems(":1: syntax error\n");
    read_text("workers = 1; # without a line end");
    assert_problems("");
    read_text("workers = 1 //");
    assert_problems("");
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(master_config_init(&config, NULL), RC_OK);
    assert_int_equal(master_config_read(&config, "/nowhere/vitrine.conf", NULL), RC_OK);
    assert_true(config.is_unreadable);
    assert_problems("/nowhere/vitrine.conf: the file cannot be opened: No such file or directory\n");
    assert_int_equal(master_config_init(&config, NULL), RC_OK);
    assert_int_equal(master_config_read(&config, "/dev/zero", NULL), RC_OK); /* endless */
    assert_problems("/dev/zero: the file is larger than any configuration\n");
}

static void test_the_command_line_takes_the_line_away(void **state)
{
    (void)state;
    read_text("images = \"/nowhere/a\";\ncache = \"/dev/null\";\ntrusted_proxies = \"nonsense\";");
    assert_int_equal(master_config_override(&config, settings_find("images"), "/nowhere/b", NULL), RC_OK);
    assert_int_equal(master_config_check(&config, NULL), RC_OK);
    assert_non_null(strstr((const char *)config.problems.data, ":2: cache: /dev/null is no directory\n"));
    assert_non_null(strstr((const char *)config.problems.data, ":3: trusted_proxies is \"nonsense\": "));
    assert_memory_equal(config.problems.data, "images: the directory /nowhere/b", 32);
    assert_int_equal(config.problem_count, 3);
    master_config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_taken),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_all_problems_at_once),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_wide_numbers),
        cmocka_unit_test(test_ends_of_the_file),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_the_command_line_takes_the_line_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
