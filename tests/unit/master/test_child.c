/* One child as the master sees it: its end in words, its messages, and what is no message. */
#include "master/child.h"

#include "base/fdio.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_pauses_double_up_to_ten_seconds(void **state)
{
    (void)state;
    static const int64_t right[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    for (unsigned i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_int_equal(master_child_pause_ms(i + 1), right[i]);
    assert_int_equal(master_child_pause_ms(4000000000u), 10000);
    assert_int_equal(master_child_pause_ms(0), 100);
}

/* How a process ends that raises the signal, or exits with the status where there is none. */
static const char *end_of(int number, int exit_status)
{
    static char text[MASTER_CHILD_END_BYTES];
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(number, SIG_DFL); /* the test library has handlers of its own */
        if (number != 0)
            raise(number);
        _exit(exit_status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    master_child_describe_end(status, text);
    return text;
}

static void test_ends_in_words(void **state)
{
    (void)state;
    assert_string_equal(end_of(SIGSEGV, 0), "was killed by signal 11 (Segmentation fault)");
    assert_string_equal(end_of(SIGKILL, 0), "was killed by signal 9 (Killed)");
    assert_string_equal(end_of(0, 7), "left with status 7");
    assert_string_equal(end_of(0, WORKER_EXIT_CONFIG), "cannot serve with this configuration");
}

static void channel_of(struct master_child *child, int *ret_worker)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    *child = (struct master_child){.channel = pair[0], .slot = 3};
    *ret_worker = pair[1];
}

static void test_messages(void **state)
{
    (void)state;
    struct master_child child;
    struct worker_message message = {.kind = 99}, said;
    struct err err = {0};
    int worker;
    channel_of(&child, &worker);
    assert_int_equal(master_child_receive(&child, &message, &err), RC_BUSY);
    memset(&said, 0, sizeof said);
    said.kind = WORKER_CLOSED;
    said.connection_id = 0x1234567890u;
    assert_int_equal(fdio_send(worker, &said, sizeof said, -1, NULL), RC_OK);
    assert_int_equal(master_child_receive(&child, &message, &err), RC_OK);
    assert_int_equal(message.kind, WORKER_CLOSED);
    assert_true(message.connection_id == 0x1234567890u);

    /* Shorter than a message, longer than one, and one with a descriptor that nobody asked for. */
    char data[sizeof said + 9] = {0};
    message.kind = 99;
    assert_int_equal(fdio_send(worker, data, 5, -1, NULL), RC_OK);
    assert_int_equal(master_child_receive(&child, &message, &err), RC_CORRUPT);
    assert_int_equal(message.kind, 99);
    int before = dup(worker);
    close(before);
    assert_int_equal(fdio_send(worker, &said, sizeof said, STDIN_FILENO, NULL), RC_OK);
    assert_int_equal(master_child_receive(&child, &message, &err), RC_OK);
    int after = dup(worker);
    close(after);
    assert_int_equal(after, before);

    close(worker);
    assert_int_equal(master_child_receive(&child, &message, &err), RC_IO);
    assert_string_equal(err.message, "worker 3 has closed its channel");
    close(child.channel);
}

static void test_full_channel_is_noted(void **state)
{
    (void)state;
    struct master_child child;
    struct worker_message message;
    int worker;
    channel_of(&child, &worker);
    memset(&message, 0, sizeof message);
    unsigned sent = 0;
    while (master_child_send(&child, &message, STDIN_FILENO, NULL) == RC_OK)
        assert_false(child.is_full || ++sent > 100000);
    assert_true(child.is_full);
    assert_true(sent >= 64); /* room for a burst of connections */
    close(worker);
    child.is_full = false;
    assert_int_equal(master_child_send(&child, &message, -1, NULL), RC_IO);
    assert_false(child.is_full);
    close(child.channel);
}

static void test_nobody_is_killed_without_a_pid(void **state)
{
    (void)state;
    struct master_child child = {.pid = 0, .channel = -1};
    master_child_kill(&child, SIGKILL); /* kill(0) would end this test and whoever runs it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_double_up_to_ten_seconds),
        cmocka_unit_test(test_ends_in_words),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_full_channel_is_noted),
        cmocka_unit_test(test_nobody_is_killed_without_a_pid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
