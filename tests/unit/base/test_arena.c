/* The arena: aligned, zeroed, disjoint, of any size. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_allocations_are_zeroed_aligned_and_disjoint(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    enum { COUNT = 600 };
    unsigned char *piece[COUNT];
    size_t size[COUNT];
    for (size_t i = 0; i < COUNT; i++) { /* small ones, some at a block's size, some larger than a block */
        size[i] = i % 97 == 0 ? 7990 + i : i % 53;
        piece[i] = arena_alloc(arena, size[i]);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], 0);
        memset(piece[i], (int)(i % 251) + 1, size[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], i % 251 + 1);
    arena_free(arena);
}

static void test_texts(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    const char *text = arena_text(arena, "identifier/full", 10);
    assert_string_equal(text, "identifier");
    assert_string_equal(arena_text(arena, "", 0), "");
    assert_string_equal(arena_format(arena, "%s-%d", text, 7), "identifier-7");
    char wide[9000];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    assert_string_equal(arena_format(arena, "%s", wide), wide);
    arena_free(arena);
}

static void test_impossible_sizes_fail(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 15));
    assert_non_null(arena_alloc(arena, 16));
    arena_free(arena);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_zeroed_aligned_and_disjoint),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_impossible_sizes_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
