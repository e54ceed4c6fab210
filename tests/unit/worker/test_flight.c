/* Requests that want the same derivative: one makes it, the others get its bytes, and nothing of theirs is touched once they wait. */
#include "worker/flight.h"

#include "cache/purges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct settings settings;
static struct worker_heritage heritage = {.settings = &settings};
static struct worker_derivatives *derivatives;
static struct arena *arena;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    if (settings_init(&settings, NULL) != RC_OK || shm_segment_make(2, &heritage.segment, NULL) != RC_OK ||
        shm_derivatives_make(64, 1 << 20, &heritage.derivatives, NULL) != RC_OK)
        return -1;
    shm_segment_reset_slot(heritage.segment, 0, SHM_SLOT_SERVING);
    arena = arena_new();
    return worker_derivatives_new(&heritage, -1, &derivatives, &err) == RC_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    worker_derivatives_free(&derivatives);
    shm_derivatives_free(&heritage.derivatives);
    shm_segment_free(&heritage.segment);
    settings_done(&settings);
    arena_free(arena);
    return 0;
}

struct asked {
    struct worker_wanted wanted; /* first */
    uint32_t answers, refusals, makings;
    char body[8];
};

static void on_answer(struct worker_wanted *wanted, const struct http_content *content)
{
    struct asked *asked = (struct asked *)wanted;
    asked->answers++;
    assert_true(content->length < sizeof asked->body);
    memcpy(asked->body, content->data, content->length);
    http_content_release(content);
}

static void on_refusal(struct worker_wanted *wanted, const struct err *why)
{
    (void)why;
    ((struct asked *)wanted)->refusals++;
}

static bool on_making(struct worker_wanted *wanted, struct worker_flight *flight, struct err *ret_err)
{
    (void)ret_err;
    ((struct asked *)wanted)->makings++;
    worker_flight_fail(flight, &(struct err){.rc = RC_CORRUPT});
    return true;
}

static struct asked ask(const char *canonical)
{
    struct asked asked = {.wanted = {.arena = arena,
                                     .deadline_ms = INT64_MAX,
                                     .answer = on_answer,
                                     .refuse = on_refusal,
                                     .make = on_making}};
    assert_int_equal(derivative_key_make(&asked.wanted.key, 1, 2, 1, "a.tif", canonical), RC_OK);
    return asked;
}

/* Whoever makes it may have answered the one that joins before it returns: then what *ret_flight lies in is gone. */
static void test_who_joins_is_not_touched(void **state)
{
    (void)state;
    struct asked first = ask("joined"), second = ask("joined"), late = ask("joined");
    struct worker_flight *flight = NULL, *const untouched = (struct worker_flight *)&late;
    struct worker_flight *others = untouched;
    assert_false(worker_flight_join(derivatives, &first.wanted, &flight));
    assert_non_null(flight);
    assert_true(worker_flight_join(derivatives, &second.wanted, &others));
    assert_ptr_equal(others, untouched);
    assert_true(worker_flight_is_awaited(flight));

    struct bytes body = {0};
    assert_int_equal(bytes_append(&body, "pixels", 6, &err), RC_OK);
    const struct http_content content = worker_flight_share(flight, &body);
    worker_flight_end(flight);
    assert_memory_equal(content.data, "pixels", 6);
    http_content_release(&content);
    assert_int_equal(second.answers, 1);
    assert_string_equal(second.body, "pixels");

    assert_true(worker_flight_join(derivatives, &late.wanted, &flight)); /* it is kept in memory by now */
    assert_string_equal(late.body, "pixels");
    assert_int_equal(first.answers + first.refusals + second.refusals + late.refusals, 0);
}

/* A client that leaves is not the others' failure: the next one makes it; a source that is broken is. */
static void test_the_next_one_makes_it(void **state)
{
    (void)state;
    struct asked first = ask("left"), second = ask("left"), third = ask("left");
    struct worker_flight *flight = NULL, *none = NULL;
    assert_false(worker_flight_join(derivatives, &first.wanted, &flight));
    assert_true(worker_flight_join(derivatives, &second.wanted, &none));
    assert_true(worker_flight_join(derivatives, &third.wanted, &none));
    worker_flight_fail(flight, &(struct err){.rc = RC_CANCELLED});
    assert_int_equal(second.makings, 1);
    assert_int_equal(second.answers + second.refusals, 0);
    assert_int_equal(third.refusals, 1);
}

/* What is being made was begun before a purge: who asks after it makes it anew, and who waits gets that. */
static void test_who_asks_after_a_purge_gets_what_is_made_after_it(void **state)
{
    (void)state;
    struct asked before = ask("purged"), waits = ask("purged"), after = ask("purged"), joins = ask("purged");
    struct worker_flight *old = NULL, *new = NULL, *none = NULL;
    uint64_t removed, epoch;
    assert_false(worker_flight_join(derivatives, &before.wanted, &old));
    assert_true(worker_flight_join(derivatives, &waits.wanted, &none));
    assert_int_equal(purges_add(worker_derivatives_cache(derivatives), SHM_PURGE_IDENTIFIER, "a.tif",
                                &removed, &epoch, &err),
                     RC_OK);
    assert_false(worker_flight_join(derivatives, &after.wanted, &new));
    assert_non_null(new);
    assert_ptr_not_equal(new, old);
    assert_true(worker_flight_join(derivatives, &joins.wanted, &none));
    assert_false(worker_flight_is_awaited(old));

    struct bytes body = {0};
    assert_int_equal(bytes_append(&body, "old", 3, &err), RC_OK);
    struct http_content content = worker_flight_share(old, &body);
    http_content_release(&content);
    worker_flight_end(old);
    assert_int_equal(waits.answers + joins.answers, 0);
    assert_int_equal(bytes_append(&body, "new", 3, &err), RC_OK);
    content = worker_flight_share(new, &body);
    http_content_release(&content);
    worker_flight_end(new);
    assert_string_equal(waits.body, "new");
    assert_string_equal(joins.body, "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_joins_is_not_touched), cmocka_unit_test(test_the_next_one_makes_it),
        cmocka_unit_test(test_who_asks_after_a_purge_gets_what_is_made_after_it)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
