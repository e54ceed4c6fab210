/* The table of settings: every row can be set, every bound holds, every sentence names the key. */
#include "base/settings.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct settings settings;

static int setup(void **state)
{
    (void)state;
    unsetenv("CACHE_DIRECTORY");
    return settings_init(&settings, NULL) == RC_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    settings_done(&settings);
    return 0;
}

static enum rc set(const char *name, const char *value, struct err *err)
{
    const struct settings_row *row = settings_find(name);
    assert_non_null(row);
    *err = (struct err){0};
    return settings_set(&settings, row, value, err);
}

static void assert_taken(const char *name, const char *value)
{
    struct err err;
    if (set(name, value, &err) != RC_OK)
        fail_msg("%s = %s: %s", name, value, err.message);
}

static void assert_refused(const char *name, const char *value, const char *sentence)
{
    struct err err;
    assert_int_equal(set(name, value, &err), RC_BAD_REQUEST);
    assert_string_equal(err.message, sentence);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_string_equal(settings.listen, "127.0.0.1:8080");
    assert_string_equal(settings.images, ".");
    assert_string_equal(settings.cache, "");
    assert_int_equal(settings.jpeg_quality, 80);
    assert_int_equal(settings.revalidate_s, 5);
    assert_int_equal(settings.max_source_pixels, INT64_C(40000000000));
    assert_int_equal(settings.max_decode_bytes, INT64_C(512) << 20);
    assert_true(settings.connections_per_address >= 64);
    assert_true(settings.upscaling);
    assert_int_equal(settings_log_level(&settings), LOG_LEVEL_INFO);
}

/* A slip in the table itself: two rows for one name or field, a preset beyond the bounds, a help that is no
 * line. */
static void test_the_cache_directory_of_the_environment(void **state)
{
    (void)state;
    struct settings other;
    setenv("CACHE_DIRECTORY", "/var/cache/vitrine:/var/cache/second", 1);
    assert_int_equal(settings_init(&other, NULL), RC_OK);
    unsetenv("CACHE_DIRECTORY");
    assert_string_equal(other.cache, "/var/cache/vitrine");
    assert_int_equal(settings_set(&other, settings_find("cache"), "", NULL), RC_OK);
    assert_string_equal(other.cache, ""); /* said so: none */
    settings_done(&other);
}

static void test_every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        assert_ptr_equal(settings_find(row->name), row);
        assert_taken(row->name, row->preset);
        assert_true(strlen(row->help) > 10 && row->help[strlen(row->help) - 1] != '.' &&
                    !strchr(row->help, '\n'));
        for (size_t j = 0; j < i; j++)
            assert_true(settings_table[j].offset != row->offset);
        if (row->type != SETTINGS_WHOLE)
            continue;
        char text[32];
        assert_true(row->least < row->most);
        snprintf(text, sizeof text, "%lld", (long long)row->least);
        assert_taken(row->name, text);
        snprintf(text, sizeof text, "%lld", (long long)row->most);
        assert_taken(row->name, text);
        struct err err;
        snprintf(text, sizeof text, "%lld", (long long)row->least - 1);
        assert_int_equal(set(row->name, text, &err), RC_BAD_REQUEST);
        snprintf(text, sizeof text, "%lld", (long long)row->most + 1);
        assert_int_equal(set(row->name, text, &err), RC_BAD_REQUEST);
        assert_int_equal(*(int64_t *)((char *)&settings + row->offset), row->most);
    }
}

static void test_whole_numbers(void **state)
{
    (void)state;
    assert_taken("workers", "+3");
    assert_int_equal(settings.workers, 3);
    assert_refused("workers", "-1", "workers is -1, but must be from 0 to 128 processes");
    assert_refused("workers", "two", "workers is \"two\", which is not a whole number");
    assert_refused("workers", "3 ", "workers is \"3 \", which is not a whole number");
    assert_refused("workers", " 3", "workers is \" 3\", which is not a whole number");
    assert_refused("workers", "", "workers is \"\", which is not a whole number");
    assert_refused("workers", "-", "workers is \"-\", which is not a whole number");
    assert_refused("workers", "1K", "workers is \"1K\", which is not a whole number");
    assert_refused("jpeg_quality", "99999999999999999999",
                   "jpeg_quality is 99999999999999999999, but must be from 1 to 100");
    assert_int_equal(settings.workers, 3);
}

static void test_byte_counts(void **state)
{
    (void)state;
    assert_taken("max_decode_bytes", "64M");
    assert_int_equal(settings.max_decode_bytes, INT64_C(64) << 20);
    assert_taken("max_decode_bytes", "2g");
    assert_int_equal(settings.max_decode_bytes, INT64_C(2) << 30);
    assert_taken("max_decode_bytes", "1T");
    assert_taken("max_header_bytes", "16384");
    const char *const bad[] = {"9999999999T", "-9999999999T", "1KB", "K", "1MM", "1.5G", "0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err;
        assert_int_equal(set("max_decode_bytes", bad[i], &err), RC_BAD_REQUEST);
    }
    assert_int_equal(settings.max_decode_bytes, INT64_C(1) << 40);
}

static void test_switches(void **state)
{
    (void)state;
    const char *const off[] = {"false", "off", "no"}, *const on[] = {"true", "on", "yes"};
    for (size_t i = 0; i < 3; i++) {
        assert_taken("upscaling", off[i]);
        assert_false(settings.upscaling);
        assert_taken("upscaling", on[i]);
        assert_true(settings.upscaling);
    }
    assert_refused("upscaling", "maybe", "upscaling is \"maybe\", but must be true or false");
    assert_refused("upscaling", "", "upscaling is \"\", but must be true or false");
}

static void test_choices(void **state)
{
    (void)state;
    assert_taken("metadata", "never");
    assert_string_equal(settings.metadata, "never");
    assert_refused("metadata", "nev", "metadata is \"nev\", but must be one of full-image|always|never");
    assert_refused("metadata", "always|never",
                   "metadata is \"always|never\", but must be one of full-image|always|never");
    assert_int_equal(settings_choice_index("a|bc|d", "a"), 0);
    assert_int_equal(settings_choice_index("a|bc|d", "bc"), 1);
    assert_int_equal(settings_choice_index("a|bc|d", "d"), 2);
    assert_int_equal(settings_choice_index("a|bc|d", ""), -1);
    assert_taken("log_level", "error");
    assert_int_equal(settings_log_level(&settings), LOG_LEVEL_ERROR);
    assert_taken("log_level", "debug");
    assert_int_equal(settings_log_level(&settings), LOG_LEVEL_DEBUG);
}

static void test_texts(void **state)
{
    (void)state;
    assert_taken("images", "/srv/images");
    assert_string_equal(settings.images, "/srv/images");
    assert_refused("images", "", "images is \"\": a directory, s3://BUCKET or http(s)://HOST must be named");
    assert_taken("images", "s3://bucket/x");
    assert_refused("images", "ftp://host/x",
                   "images is \"ftp://host/x\": addresses begin with s3://, http:// or https://");
    assert_refused("cache_control", "no\rcache",
                   "cache_control is \"no?cache\": it may hold only printable ASCII characters");
    assert_taken("base_url", "https://images.example.org/iiif-server/");
    assert_taken("base_url", "");
    const char *const bad[] = {"images.example.org", "https://",   "https:///x",
                               "http://:80",         "http://a b", "http://a/?q",
                               "http://a/#f",        "http://a\"", "http://\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err;
        assert_int_equal(set("base_url", bad[i], &err), RC_BAD_REQUEST);
    }
    assert_string_equal(settings.images, "s3://bucket/x");
}

static void test_addresses(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    socklen_t length = 0;
    assert_null(settings_parse_address("192.0.2.7:65535", &address, &length));
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(ntohl(v4->sin_addr.s_addr), 0xc0000207);
    assert_int_equal(ntohs(v4->sin_port), 65535);
    assert_int_equal(length, sizeof *v4);
    assert_null(settings_parse_address("[::1]:80", &address, &length));
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_true(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
    assert_int_equal(ntohs(v6->sin6_port), 80);
    assert_int_equal(length, sizeof *v6);
    const char *const bad[] = {"",
                               "8080",
                               ":8080",
                               "127.0.0.1",
                               "127.0.0.1:",
                               "127.0.0.1:65536",
                               "1.2.3:80",
                               "::1:80",
                               "[::1]",
                               "[::1]:",
                               "[::1]:80x",
                               "[]:80",
                               "[1.2.3.4]:80",
                               "localhost:80",
                               "1.2.3.4:-1",
                               "1.2.3.4:+1",
                               "1.2.3.4: 80",
                               "[::1:80",
                               "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(settings_parse_address(bad[i], &address, &length));
    assert_refused("listen", "8080", "listen is \"8080\": there is no port; write ADDR:PORT");
    assert_refused("listen", "", "listen is \"\": there is no port; write ADDR:PORT");
    assert_taken("admin", "");
}

static void test_near_names(void **state)
{
    (void)state;
    assert_null(settings_find("wrokers"));
    assert_string_equal(settings_find_near("wrokers")->name, "workers");
    assert_string_equal(settings_find_near("jpg_quality")->name, "jpeg_quality");
    assert_string_equal(settings_find_near("idle_timeout_s")->name, "idle_timeout");
    assert_string_equal(settings_find_near("listn")->name, "listen");
    assert_null(settings_find_near("frobnicate"));
    assert_null(settings_find_near(""));
    assert_null(settings_find_near("x"));
    assert_null(settings_find_near("a_name_that_is_longer_than_every_key_there_is_or_ever_will_be"));
}

static void test_every_row_is_compared_and_copied(void **state)
{
    (void)state;
    struct settings other;
    assert_int_equal(settings_init(&other, NULL), RC_OK);
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        char value[64];
        assert_true(settings_is_same(&settings, &other, row));
        if (row->type == SETTINGS_WHOLE)
            snprintf(value, sizeof value, "%lld", (long long)(row->least + (row->preset[0] != '0')));
        else if (row->type == SETTINGS_SWITCH)
            snprintf(value, sizeof value, "%s", strcmp(row->preset, "true") == 0 ? "false" : "true");
        else if (row->type == SETTINGS_CHOICE)
            snprintf(value, sizeof value, "%s", strrchr(row->unit_or_choices, '|') + 1);
        else
            snprintf(value, sizeof value, "127.0.0.1:1");
        if (settings_set(&other, row, value, NULL) != RC_OK || strcmp(value, row->preset) == 0)
            continue;
        assert_false(settings_is_same(&settings, &other, row));
        assert_int_equal(settings_copy(&settings, &other, row, NULL), RC_OK);
        assert_true(settings_is_same(&settings, &other, row));
    }
    settings_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_cache_directory_of_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_byte_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_switches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_choices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test(test_near_names),
        cmocka_unit_test_setup_teardown(test_every_row_is_compared_and_copied, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
