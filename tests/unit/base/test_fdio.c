/* Reads that finish, messages with descriptors between sockets. */
#include "base/fdio.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    return 0;
}

static void close_end(int i)
{
    close(pair[i]);
    pair[i] = -1;
}

static void test_pread_exact(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC);
    struct err err = {0};
    assert_int_equal(fdio_write_all(fd, "0123456789", 10, &err), RC_OK);
    char data[11] = "";
    assert_int_equal(fdio_pread_exact(fd, data, 4, 3, &err), RC_OK);
    assert_string_equal(data, "3456");
    assert_int_equal(fdio_pread_exact(fd, data, 0, 10, &err), RC_OK);
    assert_int_equal(fdio_pread_exact(fd, data, 4, 8, &err), RC_CORRUPT);
    assert_string_equal(err.message, "the file ends 2 bytes too early");
    assert_int_equal(fdio_pread_exact(fd, data, 1, UINT64_C(1) << 62, &err), RC_CORRUPT);
    close(fd);
    assert_int_equal(fdio_pread_exact(fd, data, 1, 0, &err), RC_IO);
    assert_int_equal(fdio_write_all(fd, "x", 1, &err), RC_IO);
}

static void test_a_message_carries_a_descriptor(void **state)
{
    (void)state;
    int memory = memfd_create("test", 0);
    char data[16] = "";
    size_t length = 0;
    int fd = -1;
    assert_int_equal(write(memory, "shared", 6), 6);
    assert_int_equal(fdio_send(pair[0], "hello", 5, memory, NULL), RC_OK);
    assert_int_equal(fdio_send(pair[0], "alone", 5, -1, NULL), RC_OK);
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_OK);
    assert_int_equal(length, 5);
    assert_memory_equal(data, "hello", 5);
    assert_true(fd >= 0 && fd != memory);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(memory, F_GETFD), 0); /* the sender has kept its own */
    char shared[6];
    assert_int_equal(pread(fd, shared, 6, 0), 6);
    assert_memory_equal(shared, "shared", 6);
    close(fd);
    close(memory);
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_OK);
    assert_memory_equal(data, "alone", 5);
    assert_int_equal(fd, -1);
}

static void test_nothing_there_and_peer_gone(void **state)
{
    (void)state;
    char data[16];
    size_t length = 99;
    int fd = -2;
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_BUSY);
    assert_int_equal(length, 99);
    assert_int_equal(fd, -2);
    assert_int_equal(fdio_send(pair[0], "last", 4, -1, NULL), RC_OK);
    close_end(0);
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_OK);
    assert_int_equal(length, 4); /* what was said before the end is heard */
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_OK);
    assert_int_equal(length, 0);
    assert_int_equal(fd, -1);
    assert_int_equal(fdio_send(pair[1], "x", 1, -1, NULL), RC_IO); /* and no SIGPIPE */
}

/* A peer that died with unread messages resets the channel: that is its end, not an error. */
static void test_peer_gone_with_unread_messages(void **state)
{
    (void)state;
    char data[16];
    size_t length = 99;
    int fd = -2;
    assert_int_equal(fdio_send(pair[1], "unread", 6, -1, NULL), RC_OK);
    close_end(0);
    assert_int_equal(fdio_receive(pair[1], data, sizeof data, &length, &fd, NULL), RC_OK);
    assert_int_equal(length, 0);
    assert_int_equal(fd, -1);
}

static void test_full_queue_is_busy_and_loses_nothing(void **state)
{
    (void)state;
    unsigned sent = 0, received = 0;
    while (fdio_send(pair[0], &sent, sizeof sent, -1, NULL) == RC_OK)
        sent++;
    assert_true(sent > 16 && sent < 1000000);
    assert_int_equal(fdio_send(pair[0], &sent, sizeof sent, -1, NULL), RC_BUSY);
    unsigned number;
    size_t length;
    int fd;
    while (fdio_receive(pair[1], &number, sizeof number, &length, &fd, NULL) == RC_OK)
        assert_int_equal(number, received++);
    assert_int_equal(received, sent);
    assert_int_equal(fdio_send(pair[0], &sent, sizeof sent, -1, NULL), RC_OK);
}

static void test_scratch_lies_where_the_environment_says(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_fdio-XXXXXX", *path = NULL;
    struct err err;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    assert_int_equal(fdio_scratch_file("try", &path, &err), RC_OK);
    assert_memory_equal(path, folder, strlen(folder));
    assert_memory_equal(path + strlen(folder), "/vitrine-try-", strlen("/vitrine-try-"));
    assert_int_equal(unlink(path), 0);
    free(path);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(fdio_scratch_file("try", &path, &err), RC_IO);
    assert_non_null(strstr(err.message, folder));
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    assert_string_equal(fdio_scratch_folder(), "/var/tmp");
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_string_equal(fdio_scratch_folder(), "/var/tmp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pread_exact),
        cmocka_unit_test_setup_teardown(test_a_message_carries_a_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_there_and_peer_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_gone_with_unread_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue_is_busy_and_loses_nothing, setup, teardown),
        cmocka_unit_test(test_scratch_lies_where_the_environment_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
