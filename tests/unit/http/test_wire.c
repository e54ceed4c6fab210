/* The wire and the journal on real sockets: workers are real processes, killed between any two bytes. */
#include "worker/http/wire.h"

#include "base/own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ID ((uint64_t)7 << 32 | 1)

struct pair {
    int client, server;
    struct shm_journal *journal;
    struct shm_journal_slot *slot;
};

static int pair_make(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct err err;
    OWN_FD int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pair->client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair->client, (struct sockaddr *)&address, sizeof address), 0);
    pair->server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(pair->server >= 0);
    assert_int_equal(shm_journal_make(4, &pair->journal, &err), RC_OK);
    pair->slot = shm_journal_slot(pair->journal, ID);
    *state = pair;
    return 0;
}

static int pair_drop(void **state)
{
    struct pair *pair = *state;
    close(pair->client);
    close(pair->server);
    shm_journal_free(&pair->journal);
    free(pair);
    return 0;
}

/* Runs `serve` as a worker that is killed by its own hand when it returns. */
static void as_worker(struct pair *pair, void (*serve)(struct pair *pair, struct http_wire *wire))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct http_wire wire;
        struct err err;
        if (http_wire_open(&wire, pair->server, pair->slot, ID, &err) != RC_OK)
            _exit(7);
        serve(pair, &wire);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void wait_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    poll(&wait, 1, 60000);
}

static void tell(const struct pair *pair, const char *text)
{
    assert_int_equal(write(pair->client, text, strlen(text)), (ssize_t)strlen(text));
    wait_readable(pair->server);
}

static void take_some(struct pair *pair, struct http_wire *wire)
{
    char buffer[8];
    (void)wire;
    recv(pair->server, buffer, 5, 0);
}

static void send_some(struct pair *pair, struct http_wire *wire)
{
    char buffer[64];
    (void)wire;
    recv(pair->server, buffer, sizeof buffer, 0);
    send(pair->server, "answ", 4, MSG_NOSIGNAL);
}

static void open_again(struct pair *pair, struct http_wire *wire)
{
    struct err err = {0};
    if (http_wire_open(wire, pair->server, pair->slot, ID, &err) != RC_OK)
        fail_msg("%s", err.message);
}

static void test_what_a_dead_worker_took_comes_again(void **state)
{
    struct pair *pair = *state;
    char buffer[64] = "";
    tell(pair, "GET /one");
    as_worker(pair, take_some); /* takes "GET /", leaves "one" */
    as_worker(pair, take_some); /* is given "GET /" again */
    struct http_wire wire;
    open_again(pair, &wire);
    ssize_t first = recv(pair->server, buffer, sizeof buffer, 0);
    assert_int_equal(first, 5);
    ssize_t second = recv(pair->server, buffer + 5, sizeof buffer - 5, 0);
    assert_int_equal(second, 3);
    assert_string_equal(buffer, "GET /one");
    assert_int_equal(wire.taken, 8);
    assert_int_equal(recv(pair->server, buffer, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    http_wire_close(pair->server);
}

static void test_an_answer_goes_on_at_the_byte(void **state)
{
    struct pair *pair = *state;
    char buffer[64] = "";
    tell(pair, "GET /one");
    as_worker(pair, send_some);
    struct http_wire wire;
    open_again(pair, &wire);
    assert_int_equal(wire.skip_bytes, 4);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 8);
    struct iovec part[2] = {{.iov_base = (char[]){'a', 'n'}, .iov_len = 2},
                            {.iov_base = (char[]){'s', 'w', 'e', 'r'}, .iov_len = 4}};
    assert_int_equal(sendmsg(pair->server, &(struct msghdr){.msg_iov = part, .msg_iovlen = 2}, 0), 6);
    assert_int_equal(send(pair->server, "!", 1, 0), 1);
    assert_int_equal(wire.sent, 7);
    memset(buffer, 0, sizeof buffer);
    assert_int_equal(recv(pair->client, buffer, sizeof buffer, MSG_WAITALL | MSG_DONTWAIT), 7);
    assert_string_equal(buffer, "answer!");

    /* The next request begins where both streams stand. */
    assert_true(http_wire_advance(&wire, 8));
    http_wire_close(pair->server);
    tell(pair, "GET /two");
    as_worker(pair, send_some);
    open_again(pair, &wire);
    assert_int_equal(wire.taken, 8);
    assert_int_equal(wire.sent, 7);
    assert_int_equal(wire.skip_bytes, 4);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 8);
    assert_memory_equal(buffer, "GET /two", 8);
    http_wire_close(pair->server);
}

static void test_what_was_read_ahead_comes_again(void **state)
{
    struct pair *pair = *state;
    char buffer[64] = "";
    struct http_wire wire;
    open_again(pair, &wire);
    tell(pair, "firstsecond");
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 11);
    send(pair->server, "1", 1, 0);
    assert_true(http_wire_advance(&wire, 5));
    http_wire_close(pair->server); /* and dies */
    open_again(pair, &wire);
    assert_int_equal(wire.skip_bytes, 0);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 6);
    assert_memory_equal(buffer, "second", 6);
    http_wire_close(pair->server);
}

static void test_a_half_closed_client_is_counted_right(void **state)
{
    struct pair *pair = *state;
    char buffer[64] = "";
    tell(pair, "GET /one");
    assert_int_equal(shutdown(pair->client, SHUT_WR), 0);
    as_worker(pair, take_some);
    struct http_wire wire;
    open_again(pair, &wire);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 5);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 3);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 0);
    http_wire_close(pair->server); /* dies after it has seen the end */
    open_again(pair, &wire);
    assert_int_equal(wire.replay_bytes, 8);
    http_wire_close(pair->server);
}

static void test_a_request_too_long_to_be_kept_is_not_continued(void **state)
{
    struct pair *pair = *state;
    struct http_wire wire;
    open_again(pair, &wire);
    char buffer[4096];
    size_t taken = 0;
    memset(buffer, 'x', sizeof buffer);
    while (taken < SHM_JOURNAL_REQUEST_BYTES + 100) {
        assert_int_equal(write(pair->client, buffer, sizeof buffer), sizeof buffer);
        wait_readable(pair->server);
        for (ssize_t n; (n = recv(pair->server, buffer, sizeof buffer, 0)) > 0;)
            taken += (size_t)n;
    }
    assert_int_equal(wire.taken, taken);
    http_wire_close(pair->server);
    struct err err = {0};
    assert_int_equal(http_wire_open(&wire, pair->server, pair->slot, ID, &err), RC_CORRUPT);
    assert_non_null(strstr(err.message, "too long"));
}

static void test_many_megabytes_killed_again_and_again(void **state)
{
    struct pair *pair = *state;
    enum { TOTAL = 3000000, CHUNK = 10007 };
    uint8_t *answer = malloc(TOTAL), *got = malloc(TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++)
        answer[i] = (uint8_t)(i * 2654435761u >> 24);
    fcntl(pair->client, F_SETFL, O_NONBLOCK);
    tell(pair, "GET /big");
    size_t read_bytes = 0;
    unsigned kills = 0;
    while (read_bytes < TOTAL) {
        pid_t pid = fork();
        if (pid == 0) {
            struct http_wire wire;
            struct err err;
            char request[16];
            if (http_wire_open(&wire, pair->server, pair->slot, ID, &err) != RC_OK ||
                recv(pair->server, request, sizeof request, 0) != 8)
                _exit(7);
            for (size_t at = 0; at < TOTAL;) {
                ssize_t n = send(pair->server, answer + at, CHUNK < TOTAL - at ? CHUNK : TOTAL - at,
                                 MSG_NOSIGNAL);
                if (n > 0)
                    at += (size_t)n;
                else
                    poll(&(struct pollfd){.fd = pair->server, .events = POLLOUT}, 1, 1000);
            }
            for (;;)
                pause();
        }
        /* Reads a while, then kills the worker wherever it is. */
        size_t until = read_bytes + 100000 < TOTAL ? read_bytes + 100000 : TOTAL;
        while (read_bytes < until) {
            ssize_t n = read(pair->client, got + read_bytes, until - read_bytes);
            if (n > 0)
                read_bytes += (size_t)n;
            else
                wait_readable(pair->client);
        }
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status)); /* not _exit(7) */
        kills++;
    }
    assert_memory_equal(got, answer, TOTAL);
    assert_true(kills >= 10);
    free(answer);
    free(got);
}

static void test_an_idle_connection_is_given_up_untouched(void **state)
{
    struct pair *pair = *state;
    struct http_wire wire, next;
    char buffer[64] = "";
    open_again(pair, &wire);
    assert_true(http_wire_is_idle(&wire));
    assert_true(http_wire_release(&wire));
    tell(pair, "GET /one");
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(http_wire_end(&wire)); /* it goes on elsewhere: no shutdown() */
    http_wire_close(pair->server);
    open_again(pair, &next);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 8);
    http_wire_close(pair->server);
}

static void test_a_connection_within_a_request_is_not_given_up(void **state)
{
    struct pair *pair = *state;
    struct http_wire wire;
    char buffer[64] = "";
    open_again(pair, &wire);
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), -1); /* nothing there: idle as before */
    assert_true(http_wire_is_idle(&wire));
    tell(pair, "GET /one");
    assert_int_equal(recv(pair->server, buffer, 3, 0), 3);
    assert_false(http_wire_is_idle(&wire));
    assert_false(http_wire_release(&wire));
    assert_int_equal(recv(pair->server, buffer, sizeof buffer, 0), 5);
    send(pair->server, "answer", 6, MSG_NOSIGNAL);
    assert_false(http_wire_release(&wire));
    assert_true(http_wire_advance(&wire, 4)); /* and the next request has been read ahead */
    assert_false(http_wire_release(&wire));
    assert_true(http_wire_advance(&wire, 4));
    assert_true(http_wire_release(&wire));
    http_wire_close(pair->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_a_dead_worker_took_comes_again, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_an_answer_goes_on_at_the_byte, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_what_was_read_ahead_comes_again, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_a_half_closed_client_is_counted_right, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_a_request_too_long_to_be_kept_is_not_continued, pair_make,
                                        pair_drop),
        cmocka_unit_test_setup_teardown(test_many_megabytes_killed_again_and_again, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_an_idle_connection_is_given_up_untouched, pair_make, pair_drop),
        cmocka_unit_test_setup_teardown(test_a_connection_within_a_request_is_not_given_up, pair_make,
                                        pair_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
