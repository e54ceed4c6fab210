/* Names of pyramids, and which rules hold. */
#include "worker/ingest/mapping.h"

#include "worker/ingest/agenda.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct settings settings;
static struct ingest_rules rules;
static struct ingest_mapping mapping;
static bool *is_fixed;

static int setup(void **state)
{
    (void)state;
    is_fixed = calloc(settings_table_length, sizeof *is_fixed);
    rules = (struct ingest_rules){0};
    mapping = (struct ingest_mapping){.settings = &settings, .is_fixed = is_fixed, .rules = &rules};
    return settings_init(&settings, NULL) == RC_OK && is_fixed != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ingest_mapping_done(&mapping);
    ingest_rules_done(&rules);
    settings_done(&settings);
    free(is_fixed);
    return 0;
}

static void set(const char *key, const char *value)
{
    assert_int_equal(settings_set(&settings, settings_find(key), value, NULL), RC_OK);
    ingest_mapping_done(&mapping); /* its variants were made of what was set before */
}

static void add_rule(const char *match, const char *key, const char *value)
{
    struct err err;
    assert_int_equal(ingest_rules_add(&rules, match, &err), RC_OK);
    assert_int_equal(ingest_rules_set(&rules, ingest_mapping_row(key), value, &err), RC_OK);
}

static const struct ingest_variant *variant_of(const char *relative)
{
    const struct ingest_variant *variant = NULL;
    assert_int_equal(ingest_mapping_find(&mapping, relative, &variant, NULL), RC_OK);
    return variant;
}

static void assert_name(const char *relative, const char *wanted)
{
    struct bytes out = {0};
    struct err err = {0};
    enum rc rc = ingest_mapping_name(variant_of(relative), relative, &out, &err);
    assert_int_equal(rc, wanted != NULL ? RC_OK : RC_BAD_REQUEST);
    if (wanted != NULL) {
        assert_int_equal(out.length, strlen(wanted));
        assert_memory_equal(out.data, wanted, out.length);
    }
    bytes_done(&out);
}

static void test_names(void **state)
{
    (void)state;
    assert_name("a.jpg", "a.tif");
    assert_name("sub/a.b.jpg", "sub/a.b.tif");
    assert_name("sub.d/a", "sub.d/a.tif");
    assert_name("sub/.jpg", "sub/.jpg.tif");
    set("ingest_destination", "{dir}x/{extension}/{name}.tif");
    assert_name("s/t/a.jpg", "s/t/x/jpg/a.tif");
    assert_name("a.jpg", "x/jpg/a.tif");
    assert_name("s/a", NULL); /* no extension: a part without a name */
    set("ingest_destination", "{name}");
    assert_name("s/..jpg", NULL); /* "." */
}

static void test_long_names(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'x', sizeof name);
    memcpy(name + 251, ".j", 3);
    char wanted[300];
    snprintf(wanted, sizeof wanted, "%.251s.tif", name);
    assert_name(name, wanted);
    memcpy(name + 251, "x.j", 4);
    assert_name(name, NULL);
}

static void test_later_rules_go_before(void **state)
{
    (void)state;
    set("ingest_quality", "70");
    add_rule("*", "quality", "80");
    add_rule("maps/*", "quality", "95");
    add_rule("*.png", "tile", "512");
    assert_int_equal(variant_of("a.jpg")->settings.ingest_quality, 80);
    assert_int_equal(variant_of("maps/deep/a.jpg")->settings.ingest_quality, 95);
    assert_int_equal(variant_of("maps/a.png")->settings.ingest_quality, 95);
    assert_int_equal(variant_of("maps/a.png")->settings.ingest_tile_px, 512);
    assert_int_equal(variant_of("a.jpg")->settings.ingest_tile_px, 256);
    assert_ptr_equal(variant_of("a.jpg"), variant_of("b.jpg"));
    assert_string_not_equal(variant_of("a.jpg")->text, variant_of("maps/a.jpg")->text);
}

static void test_what_is_fixed_stays(void **state)
{
    (void)state;
    add_rule("*", "quality", "80");
    is_fixed[settings_find("ingest_quality") - settings_table] = true;
    assert_int_equal(variant_of("a.jpg")->settings.ingest_quality, 90);
}

static void test_rows_of_rules(void **state)
{
    (void)state;
    assert_ptr_equal(ingest_mapping_row("quality"), settings_find("ingest_quality"));
    assert_ptr_equal(ingest_mapping_row("destination"), settings_find("ingest_destination"));
    assert_null(ingest_mapping_row("jobs"));
    assert_null(ingest_mapping_row("ingest_quality"));
    assert_null(ingest_mapping_row(""));
    struct err err = {0};
    assert_int_equal(ingest_rules_add(&rules, "*", &err), RC_OK);
    assert_int_equal(ingest_rules_set(&rules, ingest_mapping_row("quality"), "0", &err), RC_BAD_REQUEST);
    assert_int_equal(rules.rule[0].count, 0);
}

/* How many and in which files they are made is not said: what is said is all that a pyramid's bytes depend on. */
static void test_text_names_what_is_visible(void **state)
{
    (void)state;
    const char *text = variant_of("a")->text;
    static const char *const part[] = {
        "profile=srgb",     "alpha=keep", "background=ffffff", "depth=8",
        "compression=jpeg", "quality=90", "subsampling=4:2:0", "restart_intervals=yes",
        "tile=256",         "page=1",     "bigtiff=auto"};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        assert_non_null(strstr(text, part[i]));
    assert_null(strstr(text, "jobs"));
    assert_null(strstr(text, "threads"));
    assert_null(strstr(text, "destination"));
}

/* Names that differ in one letter spread evenly. */
static void test_shards(void **state)
{
    (void)state;
    unsigned count[8] = {0};
    for (unsigned i = 0; i < 8000; i++) {
        char name[32];
        snprintf(name, sizeof name, "page-%05u.tif", i);
        uint32_t shard = ingest_agenda_shard(name, 8);
        assert_true(shard < 8);
        count[shard]++;
    }
    for (unsigned i = 0; i < 8; i++)
        assert_in_range(count[i], 850, 1150);
    assert_int_equal(ingest_agenda_shard("anything", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_rules_go_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_fixed_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_of_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_names_what_is_visible, setup, teardown),
        cmocka_unit_test(test_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
