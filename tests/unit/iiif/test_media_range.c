/* The Accept header: whose answer a client would rather have. */
#include "worker/iiif/media_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* +1: ld+json, -1: json, 0: no preference, or neither */
static const struct {
    const char *accept;
    int preferred;
} rows[] = {
    {"", 0},
    {" ", 0},
    {",", 0},
    {";;;,,,", 0},
    {"*", 0},
    {"/", 0},
    {"*/*", 0},
    {"application/*", 0},
    {"text/html", 0},
    {"application/ld+json", 1},
    {"application/json", -1},
    {"APPLICATION/LD+JSON", 1},
    {"Application/Json", -1},
    {"zpplication/*,application/json;q=0.5", -1},
    {"a/b,application/json;q=0.5", -1},
    {"application/jsonx", 0},
    {"application/jso", 0},
    {"xapplication/json", 0},
    {"application /json", 0},
    {"application/ld+json;profile=\"http://iiif.io/api/image/3/context.json\"", 1},
    {"application/json;charset=utf-8", -1},
    {" application/json ; charset=utf-8 ", -1},
    /* q decides */
    {"application/json,application/ld+json;q=0.5", -1},
    {"application/ld+json,application/json;q=0.9", 1},
    {"application/json;q=0.5,application/ld+json", 1},
    {"application/json;q=0.4, application/ld+json;q=0.6", 1},
    {"application/json ; q=1.0 , application/ld+json ; q=0.1", -1},
    {"application/json;Q=0.1,*/*", 1},
    {"application/json;q=0.998,application/ld+json;q=0.999", 1},
    {"application/json;q=0.01,application/ld+json;q=0.1", 1},
    {"application/json;a=\"x\";q=0.2;b=c,application/ld+json;q=0.3", 1},
    /* the more specific range decides */
    {"application/json;q=0, */*", 1},
    {"application/ld+json;q=0, application/*", -1},
    {"*/*;q=0.9,application/json;q=0.1", 1},
    {"application/*;q=0.1,*/*,application/json;q=0.5", -1},
    {"application/*,application/ld+json;q=0.5", -1},
    /* between equal q the one that is named */
    {"application/json, */*", -1},
    {"application/ld+json, */*", 1},
    {"application/json,application/ld+json", 0},
    {"application/*,application/ld+json", 1},
    {"application/json;q=0.3,application/*;q=0.3", -1},
    /* equals: the most favourable */
    {"application/json;q=0.1,application/ld+json;q=0.5,application/json;q=0.9", -1},
    {"application/json;q=0.9,application/ld+json;q=0.5,application/json;q=0.1", -1},
    /* nothing is acceptable */
    {"*/*;q=0", 0},
    {"application/json;q=0", 0},
    {"application/json;q=0,application/ld+json;q=0.0", 0},
    /* malformed q: passed over */
    {"application/json;q=2", 0},
    {"application/json;q=x", 0},
    {"application/json;q=", 0},
    {"application/json;q=-1", 0},
    {"application/json;q=1.001", 0},
    {"application/json;q=0.1234", 0},
    {"application/json;q=.5", 0},
    {"application/json;q=10", 0},
    {"application/json;q=0.x", 0},
    {"application/json;q=0./", 0},
    {"application/json;q=0.,application/ld+json;q=0.1", 1},
    {"application/json;q=0,5", 0},
    {"application/json;q=1.,application/ld+json;q=0.9", -1},
    {"application/json;q=2,application/ld+json;q=0.1", 1},
    /* quotes hide commas and semicolons */
    {"application/ld+json;profile=\"a,application/json\"", 1},
    {"application/json;x=\";q=0\"", -1},
    {"application/ld+json;x=\"\\\",application/json;q=0\";q=0.5,application/json;q=0.4", 1},
    {"application/ld+json;profile=\"unclosed,application/json;q=0", 1},
    {"application/json;x=\"\\", -1},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 0},
    {"application/json\t;\tq=0.1\t,\tapplication/ld+json\t;\tq=0.2", 1},
};

static void test_compare(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int found = iiif_media_range_compare(rows[i].accept, "application/ld+json", "application/json");
        int opposite = iiif_media_range_compare(rows[i].accept, "application/json", "application/ld+json");
        if ((found > 0) - (found < 0) != rows[i].preferred)
            fail_msg("'%s': %d and not %d", rows[i].accept, found, rows[i].preferred);
        if (opposite != -found)
            fail_msg("'%s': depends on the order of asking", rows[i].accept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compare)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
