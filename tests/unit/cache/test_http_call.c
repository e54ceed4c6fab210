/* One request: what does not move ends it, whichever way, and so does a head without an end. The server is a real socket of this process. */
#include "cache/http_call.h"

#include "base/clock.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STALL_MS 300

/* Serves one connection: says `first`, then `more` each few milliseconds. Reads the head only. */
struct peer {
    int fd;
    const char *first, *more;
    atomic_bool stops;
    pthread_t thread;
    char url[64];
};

static void *serve(void *argument)
{
    struct peer *peer = argument;
    char head[4096];
    OWN_FD int fd = accept(peer->fd, NULL, NULL);
    if (fd < 0 || recv(fd, head, sizeof head, 0) <= 0)
        return NULL;
    (void)!send(fd, peer->first, strlen(peer->first), MSG_NOSIGNAL);
    while (!atomic_load(&peer->stops)) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        if (peer->more[0] != '\0' && send(fd, peer->more, strlen(peer->more), MSG_NOSIGNAL) < 0)
            break;
    }
    return NULL;
}

static void begin(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->fd, 1), 0);
    assert_int_equal(getsockname(peer->fd, (struct sockaddr *)&address, &length), 0);
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void end(struct peer *peer)
{
    atomic_store(&peer->stops, true);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
}

/* What becomes of a request; a call that never ends fails by the time limit of the test program. */
static enum rc ask(struct peer *peer, const void *body, size_t length)
{
    struct err err;
    begin(peer);
    struct http_call call = {.method = body != NULL ? "PUT" : "GET",
                             .url = peer->url,
                             .body = body,
                             .body_length = length,
                             .stall_ms = STALL_MS};
    enum rc rc = http_call_now(&call, &err);
    http_call_done(&call);
    end(peer);
    return rc;
}

static void test_an_upload_that_nobody_reads_ends(void **state)
{
    (void)state;
    struct peer peer = {.first = "", .more = ""};
    size_t length = (size_t)64 << 20; /* more than sockets hold */
    OWN_FREE char *body = calloc(1, length);
    assert_non_null(body);
    assert_int_equal(ask(&peer, body, length), RC_LATE);
}

static void test_a_byte_now_and_then_is_no_movement(void **state)
{
    (void)state;
    struct peer peer = {.first = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", .more = "x"};
    assert_int_equal(ask(&peer, NULL, 0), RC_LATE);
}

static void test_a_head_that_goes_on_and_on(void **state)
{
    (void)state;
    static char head[131072] = "HTTP/1.1 200 OK\r\n";
    for (size_t at = strlen(head); at + 64 < sizeof head; at += 64)
        snprintf(head + at, 65, "A: %059d\r\n", 0);
    struct peer slow = {.first = "HTTP/1.1 200 OK\r\n", .more = "A: b\r\n"},
                quick = {.first = head, .more = ""};
    assert_int_equal(ask(&slow, NULL, 0), RC_LATE);
    assert_int_equal(ask(&quick, NULL, 0), RC_ORIGIN);
}

static void test_a_slow_answer_that_moves_is_waited_for(void **state)
{
    (void)state;
    char piece[8193]; /* fifty of these, 20 ms each */
    memset(piece, 'x', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    struct peer peer = {.first = "HTTP/1.1 200 OK\r\nContent-Length: 409600\r\n\r\n", .more = piece};
    assert_int_equal(ask(&peer, NULL, 0), RC_OK);
}

int main(void)
{
    struct err err;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_upload_that_nobody_reads_ends),
        cmocka_unit_test(test_a_byte_now_and_then_is_no_movement),
        cmocka_unit_test(test_a_head_that_goes_on_and_on),
        cmocka_unit_test(test_a_slow_answer_that_moves_is_waited_for),
    };
    return http_prepare(&err) != RC_OK || cmocka_run_group_tests_name("cache/http_call", tests, NULL, NULL);
}
