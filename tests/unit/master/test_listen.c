/* Listening sockets: their flags, both families, and why one could not be had. */
#include "master/listen.h"

#include "base/settings.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void test_a_port_of_the_kernels_choice(void **state)
{
    (void)state;
    int fd = -1, other = -1;
    struct err err = {0};
    char text[MASTER_LISTEN_TEXT_BYTES], right[MASTER_LISTEN_TEXT_BYTES + 64];
    assert_int_equal(master_listen_open("127.0.0.1:0", &fd, &err), RC_OK);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    master_listen_text(fd, text);
    assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
    assert_string_not_equal(text, "127.0.0.1:0");
    assert_int_equal(master_listen_open(text, &other, &err), RC_IO);
    snprintf(right, sizeof right, "%s is in use: another program listens there", text);
    assert_string_equal(err.message, right);
    assert_int_equal(other, -1);
    close(fd);
    assert_int_equal(master_listen_open(text, &fd, &err), RC_OK); /* free again at once */
    close(fd);
}

static void connect_to(const char *address, int port_of)
{
    char text[MASTER_LISTEN_TEXT_BYTES], where[MASTER_LISTEN_TEXT_BYTES + 64];
    struct sockaddr_storage to;
    socklen_t length;
    master_listen_text(port_of, text);
    snprintf(where, sizeof where, "%s%s", address, strrchr(text, ':'));
    assert_null(settings_parse_address(where, &to, &length));
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, length), 0);
    close(fd);
}

static void test_all_addresses_of_both_families(void **state)
{
    (void)state;
    int fd = -1;
    struct err err = {0};
    if (access("/proc/net/if_inet6", F_OK) != 0)
        skip();
    if (master_listen_open("[::]:0", &fd, &err) != RC_OK)
        fail_msg("%s", err.message);
    connect_to("127.0.0.1", fd);
    connect_to("[::1]", fd);
    close(fd);
}

static void test_addresses_that_cannot_be_had(void **state)
{
    (void)state;
    int fd = -1;
    struct err err = {0};
    assert_int_equal(master_listen_open("192.0.2.1:8080", &fd, &err), RC_IO);
    assert_string_equal(err.message, "192.0.2.1:8080 is no address of this machine");
    assert_int_equal(master_listen_open("localhost:80", &fd, &err), RC_BAD_REQUEST);
    assert_int_equal(fd, -1);
}

static void test_room_for_connections(void **state)
{
    (void)state;
    struct rlimit before, files;
    getrlimit(RLIMIT_NOFILE, &before);
    int64_t room = master_listen_room();
    getrlimit(RLIMIT_NOFILE, &files);
    assert_int_equal(files.rlim_cur, before.rlim_max);
    assert_true(room > 0 && (rlim_t)room < files.rlim_max);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 100, .rlim_max = 256});
    assert_int_equal(master_listen_room(), 128); /* little, but some for each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_port_of_the_kernels_choice),
        cmocka_unit_test(test_all_addresses_of_both_families),
        cmocka_unit_test(test_addresses_that_cannot_be_had),
        cmocka_unit_test(test_room_for_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
