/* Entries are found among others of their hash and bucket, and the order of use is kept. */
#include "base/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define THINGS 6u

struct thing {
    unsigned number;
    struct recent_entry entry;
};

static struct recent_entry *bucket[2];
static struct recent recent;
static struct thing thing[THINGS];

/* Hashes 0 0 1 1 2 2: two things have each, and the buckets of 0 and 2 are the same. */
static int setup(void **state)
{
    (void)state;
    bucket[0] = bucket[1] = NULL;
    recent = (struct recent){.bucket = bucket, .bucket_count = 2};
    for (unsigned i = 0; i < THINGS; i++) {
        thing[i].number = i;
        recent_list(&recent, &thing[i].entry, i / 2);
    }
    return 0;
}

static void assert_order(const unsigned *numbers, unsigned count)
{
    const struct recent_entry *up = recent.oldest, *down = recent.newest;
    assert_int_equal(recent.count, count);
    for (unsigned i = 0; i < count; i++, up = up->newer, down = down->older) {
        assert_ptr_equal(up, &thing[numbers[i]].entry);
        assert_ptr_equal(down, &thing[numbers[count - 1 - i]].entry);
    }
    assert_null(up);
    assert_null(down);
}

static void test_all_of_a_hash_are_found_and_no_others(void **state)
{
    (void)state;
    for (unsigned hash = 0; hash < 3; hash++) {
        unsigned found = 0;
        for (struct recent_entry *at = recent_first(&recent, hash); at != NULL; at = recent_next(at)) {
            assert_int_equal(RECENT_THING(at, struct thing, entry)->number / 2, hash);
            found++;
        }
        assert_int_equal(found, 2);
    }
    assert_null(recent_first(&recent, 4));
}

static void test_what_is_used_is_the_newest(void **state)
{
    (void)state;
    assert_order((const unsigned[]){0, 1, 2, 3, 4, 5}, 6);
    recent_use(&recent, &thing[0].entry);
    recent_use(&recent, &thing[3].entry);
    recent_use(&recent, &thing[3].entry);
    assert_order((const unsigned[]){1, 2, 4, 5, 0, 3}, 6);
}

static void test_what_leaves_is_not_found(void **state)
{
    (void)state;
    recent_unlist(&recent, &thing[5].entry);
    recent_unlist(&recent, &thing[0].entry);
    recent_unlist(&recent, &thing[2].entry);
    assert_order((const unsigned[]){1, 3, 4}, 3);
    assert_ptr_equal(recent_first(&recent, 0), &thing[1].entry);
    assert_null(recent_next(&thing[1].entry));
    assert_ptr_equal(recent_first(&recent, 2), &thing[4].entry);
    recent_list(&recent, &thing[0].entry, 2);
    recent_unlist(&recent, &thing[1].entry);
    recent_unlist(&recent, &thing[3].entry);
    recent_unlist(&recent, &thing[4].entry);
    assert_order((const unsigned[]){0}, 1);
    recent_unlist(&recent, &thing[0].entry);
    assert_order(NULL, 0);
    assert_null(recent_first(&recent, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_of_a_hash_are_found_and_no_others, setup),
        cmocka_unit_test_setup(test_what_is_used_is_the_newest, setup),
        cmocka_unit_test_setup(test_what_leaves_is_not_found, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
