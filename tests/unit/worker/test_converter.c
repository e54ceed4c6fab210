/* What a converter says is looked at before it is believed: it may be anything. */
#include "worker/converter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct worker_conversion_message message;

static int setup(void **state)
{
    (void)state;
    memset(&message, 0, sizeof message);
    message.kind = WORKER_RESULT;
    return 0;
}

static bool is_sound(void)
{
    return worker_converter_check(&message, sizeof message);
}

static void test_sound_messages(void **state)
{
    (void)state;
    assert_true(is_sound());
    message.rc = RC_CORRUPT;
    message.result.warning_count = INGEST_MAX_WARNINGS;
    assert_true(is_sound());
    message = (struct worker_conversion_message){
        .kind = WORKER_PROGRESS, .size = {100, 200}, .rows_done = 200};
    assert_true(is_sound());
}

static void test_other_messages(void **state)
{
    (void)state;
    assert_false(worker_converter_check(&message, sizeof message - 1));
    message.kind = 7;
    assert_false(is_sound());
    message = (struct worker_conversion_message){
        .kind = WORKER_PROGRESS, .size = {100, 200}, .rows_done = 201};
    assert_false(is_sound());
}

static void test_numbers_out_of_bounds(void **state)
{
    (void)state;
    message.rc = -1;
    assert_false(is_sound());
    message.rc = 1000;
    assert_false(is_sound());
    message.rc = RC_OK;
    message.result.warning_count = INGEST_MAX_WARNINGS + 1;
    assert_false(is_sound());
}

static void test_texts_without_an_end(void **state)
{
    static const struct {
        size_t offset, length;
    } text[] = {
        {offsetof(struct worker_conversion_message, message), sizeof message.message},
        {offsetof(struct worker_conversion_message, result.model), sizeof message.result.model},
        {offsetof(struct worker_conversion_message, result.source_profile),
         sizeof message.result.source_profile},
        {offsetof(struct worker_conversion_message, result.profile), sizeof message.result.profile},
        {offsetof(struct worker_conversion_message, result.warning[1]), sizeof message.result.warning[1]},
    };
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        setup(state);
        message.result.warning_count = 2;
        memset((char *)&message + text[i].offset, 'x', text[i].length);
        assert_false(is_sound());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_sound_messages, setup),
                                       cmocka_unit_test_setup(test_other_messages, setup),
                                       cmocka_unit_test_setup(test_numbers_out_of_bounds, setup),
                                       cmocka_unit_test(test_texts_without_an_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
