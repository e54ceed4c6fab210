/* What the settings make of the box: how much memory it allows, and whose rights it has. */
#include "tests/unit/worker/boxed.h"

#include <grp.h>

DEED(take_too_much_memory)
{
    char *volatile memory = malloc((size_t)100 << 20);
    return memory == NULL ? FAILED(ENOMEM) : DONE;
}

DEED(be_who)
{
    return getuid() == 0 ? 3 : getgroups(0, NULL) == 0 ? DONE : 2;
}

static void set(const char *name, const char *value)
{
    assert_int_equal(settings_set(&settings, settings_find(name), value, NULL), RC_OK);
}

static void test_memory_is_limited(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    set("worker_max_memory", "64M");
    assert_exits(take_too_much_memory, 1);
    set("worker_max_memory", "0");
    assert_exits(take_too_much_memory, DONE);
}

static void test_the_user(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER || getuid() != 0)
        skip();
    set("sandbox", "false");
    set("user", "nobody-of-this-name,,nobody");
    assert_exits(be_who, DONE);
    assert_exits(start_a_program, 0);
    set("user", "");
    assert_exits(be_who, 3);
    set("user", "nobody-of-this-name");
    assert_exits(be_who, NOT_IN_BOX);
    set("user", "nobody");
    assert_int_equal(chmod(images, 0700), 0);
    assert_exits(be_who, NOT_IN_BOX);
    chmod(images, 0755);
    set("sandbox", "true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_limited),
        cmocka_unit_test(test_the_user),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
