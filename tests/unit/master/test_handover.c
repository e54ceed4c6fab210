/* The records that two masters exchange: what arrives is what was sent, and anything else is refused in words. */
#include "master/handover.h"

#include "base/own.h"
#include "tests/unit/master/peers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

struct channel {
    int ours, theirs;
};

static int setup(void **state)
{
    static struct channel channel;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    channel = (struct channel){pair[0], pair[1]};
    *state = &channel;
    return 0;
}

static int teardown(void **state)
{
    struct channel *channel = *state;
    own_close(&channel->ours);
    own_close(&channel->theirs);
    return 0;
}

static void test_a_record_arrives_with_its_descriptor(void **state)
{
    struct channel *channel = *state;
    struct master_connection connection = {.fd = 0, .generation = 7, .place = 3, .is_admin = true};
    connection.peer = peer_of("10.1.2.3");
    struct master_handover sent, got;
    OWN_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    OWN_FD int fd = -1;
    master_handover_from(&sent, &connection);
    assert_int_equal(master_handover_send(channel->ours, &sent, null, NULL), RC_OK);
    assert_int_equal(master_handover_receive(channel->theirs, 1000, &got, &fd, NULL), RC_OK);
    assert_memory_equal(&sent, &got, sizeof sent);
    assert_int_equal(got.kind, HANDOVER_PLACE);
    assert_true(got.is_open && got.is_admin && got.place == 3 && got.generation == 7);
    struct stat one, other;
    assert_int_equal(fstat(null, &one), 0);
    assert_int_equal(fstat(fd, &other), 0);
    assert_int_equal(one.st_rdev, other.st_rdev);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void test_a_free_place_says_nothing_of_who_was_there(void **state)
{
    (void)state;
    struct master_connection connection = {.fd = -1, .generation = 9, .place = 1};
    connection.peer = peer_of("10.1.2.3");
    struct master_handover record;
    master_handover_from(&record, &connection);
    assert_false(record.is_open);
    assert_int_equal(record.generation, 9);
    assert_int_equal(record.peer.ss_family, 0);
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct master_handover record;
    master_handover_fill(&record, HANDOVER_READY);
    assert_int_equal(master_handover_check(&record, sizeof record, &err), RC_OK);
    assert_int_equal(master_handover_check(&record, sizeof record - 1, &err), RC_CORRUPT);
    record.version++;
    assert_int_equal(master_handover_check(&record, sizeof record, &err), RC_CORRUPT);
    assert_string_equal(err.message, "the other master hands over by version 2, this one by version 1");
    master_handover_fill(&record, HANDOVER_READY);
    record.journal_version += 5;
    assert_int_equal(master_handover_check(&record, sizeof record, &err), RC_CORRUPT);
    master_handover_fill(&record, HANDOVER_READY);
    record.bytes += 8;
    assert_int_equal(master_handover_check(&record, sizeof record, &err), RC_CORRUPT);
    master_handover_fill(&record, HANDOVER_READY);
    record.magic[0] = 'v';
    assert_int_equal(master_handover_check(&record, sizeof record, &err), RC_CORRUPT);
    assert_string_equal(err.message, "what the other master says is no handover");
    assert_int_equal(master_handover_check(&record, 3, &err), RC_CORRUPT);
}

static void test_what_is_received_is_checked(void **state)
{
    struct channel *channel = *state;
    struct master_handover got = {.kind = 77};
    int fd = -5;
    assert_int_equal(send(channel->ours, "nonsense", 8, 0), 8);
    assert_int_equal(master_handover_receive(channel->theirs, 1000, &got, &fd, NULL), RC_CORRUPT);
    assert_int_equal(got.kind, 77);
    assert_int_equal(fd, -5);
}

static void test_silence_and_the_end(void **state)
{
    struct channel *channel = *state;
    struct master_handover got;
    struct err err = {0};
    int fd;
    assert_int_equal(master_handover_receive(channel->theirs, 10, &got, &fd, &err), RC_BUSY);
    close(TAKE_FD(channel->ours));
    assert_int_equal(master_handover_receive(channel->theirs, 1000, &got, &fd, &err), RC_IO);
    assert_string_equal(err.message, "the other master is gone");
    master_handover_fill(&got, HANDOVER_TAKEN);
    assert_int_equal(master_handover_send(channel->theirs, &got, -1, &err), RC_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_record_arrives_with_its_descriptor, setup, teardown),
        cmocka_unit_test(test_a_free_place_says_nothing_of_who_was_there),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test_setup_teardown(test_what_is_received_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_and_the_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
