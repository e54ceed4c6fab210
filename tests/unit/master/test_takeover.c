/* Taking over from another master: what it says is believed only when it is whole. */
#include "master/takeover.h"

#include "base/own.h"
#include "master/handover.h"
#include "master/program.h"
#include "tests/unit/master/peers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

struct two {
    int old;
    struct master_takeover takeover;
    struct master_connections *connections;
};

static int setup(void **state)
{
    static struct two two;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
        master_connection_table_new(4, 4, &two.connections, NULL) != RC_OK)
        return -1;
    two.old = pair[0];
    two.takeover = (struct master_takeover){
        .state = TAKEOVER_READY, .channel = pair[1], .journal = -1, .public = -1, .admin = -1};
    *state = &two;
    return 0;
}

static int teardown(void **state)
{
    struct two *two = *state;
    close(two->old);
    master_takeover_done(&two->takeover);
    master_connection_table_free(&two->connections);
    return 0;
}

static void say(struct two *two, enum master_handover_kind kind, uint64_t number, bool with_fd)
{
    struct master_handover record;
    master_handover_fill(&record, kind);
    if (kind == HANDOVER_PLACE) {
        record.place = (uint32_t)number;
        record.generation = 5;
        record.is_open = with_fd;
        record.peer = peer_number(1);
    } else {
        record.number = number;
    }
    OWN_FD int fd = with_fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    assert_int_equal(master_handover_send(two->old, &record, fd, NULL), RC_OK);
}

static enum rc take(struct two *two)
{
    return master_takeover_take(&two->takeover, two->connections, NULL);
}

static void test_a_whole_table(void **state)
{
    struct two *two = *state;
    struct master_handover answer;
    int fd = -1;
    say(two, HANDOVER_PLACE, 0, true);
    say(two, HANDOVER_PLACE, 1, false);
    say(two, HANDOVER_PLACE, 2, true);
    say(two, HANDOVER_END, 2, false);
    assert_int_equal(take(two), RC_OK);
    assert_int_equal(two->takeover.state, TAKEOVER_TAKEN);
    assert_int_equal(master_connection_count(two->connections, MASTER_CONNECTION_WAITING), 2);
    assert_int_equal(master_connection_places(two->connections), 3);
    assert_int_equal(master_handover_receive(two->old, 1000, &answer, &fd, NULL), RC_OK);
    assert_int_equal(answer.kind, HANDOVER_TAKEN);
}

static void test_too_few(void **state)
{
    struct two *two = *state;
    say(two, HANDOVER_PLACE, 0, true);
    say(two, HANDOVER_END, 2, false);
    assert_int_equal(take(two), RC_CORRUPT);
    assert_int_equal(two->takeover.state, TAKEOVER_READY);
}

static void test_a_place_left_out(void **state)
{
    struct two *two = *state;
    say(two, HANDOVER_PLACE, 0, true);
    say(two, HANDOVER_PLACE, 2, true);
    assert_int_equal(take(two), RC_CORRUPT);
}

static void test_a_descriptor_that_did_not_arrive(void **state)
{
    struct two *two = *state;
    struct master_handover record;
    master_handover_fill(&record, HANDOVER_PLACE);
    record.is_open = 1;
    assert_int_equal(master_handover_send(two->old, &record, -1, NULL), RC_OK);
    assert_int_equal(take(two), RC_CORRUPT);
}

static void test_more_than_there_is_room_for(void **state)
{
    struct two *two = *state;
    for (unsigned place = 0; place < 5; place++)
        say(two, HANDOVER_PLACE, place, true);
    assert_int_equal(take(two), RC_BUSY);
}

/* As in main(): the channel's number comes by the environment. */
static enum rc begin(struct two *two, struct master_takeover *ret_takeover)
{
    char number[16];
    int channel = dup(two->takeover.channel);
    snprintf(number, sizeof number, "%d", channel);
    setenv(MASTER_PROGRAM_CHANNEL, number, 1);
    return master_takeover_begin(ret_takeover, NULL);
}

static void test_what_is_needed_first(void **state)
{
    struct two *two = *state;
    struct master_takeover takeover;
    say(two, HANDOVER_JOURNAL, 123, true);
    say(two, HANDOVER_PUBLIC, 0, true);
    say(two, HANDOVER_START, 0, false);
    assert_int_equal(begin(two, &takeover), RC_OK);
    assert_int_equal(takeover.state, TAKEOVER_BEGUN);
    assert_int_equal(takeover.max_connections, 123);
    assert_true(takeover.journal >= 0 && takeover.public >= 0 && takeover.admin == -1);
    assert_int_equal(fcntl(takeover.channel, F_GETFD), FD_CLOEXEC);
    assert_null(getenv(MASTER_PROGRAM_CHANNEL)); /* not for the program after this */
    master_takeover_done(&takeover);
}

static void test_something_needed_is_missing(void **state)
{
    struct two *two = *state;
    struct master_takeover takeover;
    say(two, HANDOVER_PUBLIC, 0, true);
    say(two, HANDOVER_START, 0, false);
    assert_int_equal(begin(two, &takeover), RC_CORRUPT);
    assert_int_equal(takeover.state, TAKEOVER_NONE);
    say(two, HANDOVER_JOURNAL, 123, false);
    assert_int_equal(begin(two, &takeover), RC_CORRUPT);
}

static void test_nobody_hands_over(void **state)
{
    (void)state;
    struct master_takeover takeover;
    static const char *const value[] = {"", "x", "-1", "1", "99999", "3x"};
    unsetenv(MASTER_PROGRAM_CHANNEL);
    assert_int_equal(master_takeover_begin(&takeover, NULL), RC_OK);
    assert_int_equal(takeover.state, TAKEOVER_NONE);
    for (size_t i = 0; i < sizeof value / sizeof value[0]; i++) {
        setenv(MASTER_PROGRAM_CHANNEL, value[i], 1);
        assert_int_equal(master_takeover_begin(&takeover, NULL), RC_OK);
        assert_int_equal(takeover.state, TAKEOVER_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_whole_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_place_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_descriptor_that_did_not_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_there_is_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_needed_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_something_needed_is_missing, setup, teardown),
        cmocka_unit_test(test_nobody_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
