/* Connections: how many there may be, and how those end that are idle, slow or left. */
#include "tests/unit/http/serving.h"

static void test_a_duplicate_does_not_keep_the_client_waiting(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    struct sockaddr_storage peer;
    struct err err;
    int accepted;
    static const char *const ends[] = {
        "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", /* at the client's wish */
        "GET /a HTTP/1.0\r\n\r\n",                                 /* by the old protocol */
        "GET /a HTTP/1.1\r\n\r\n",                                 /* by our refusal */
        "GET /a HTTP/1.1\r\nnonsense\r\n\r\n",                     /* by libmicrohttpd's */
        "nonsense\r\n\r\n",                                        /* without an answer */
        "",                                                        /* idle */
    };
    serving_start(&serving, (struct http_server_options){.idle_timeout_s = 1}, handle_at_once);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        connect_only(&serving, &client, &accepted, &peer);
        int duplicate = dup(accepted);
        assert_int_equal(http_server_adopt(serving.server, accepted, &peer, HTTP_PUBLIC, i, &err), RC_OK);
        send_text(&client, ends[i]);
        if (i < 4)
            assert_true(receive(&client, &reply, true));
        assert_true(ends_within(&client, A_MINUTE_MS));
        until(atomic_load(&serving.closed_count) == i + 1);
        close(duplicate);
        close(client.fd);
    }
    serving_stop(&serving);
}

static void test_no_more_than_max_connections(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client[4];
    static struct reply reply;
    struct sockaddr_storage peer;
    struct err err;
    int accepted;
    serving_start(&serving, (struct http_server_options){.max_connections = 3}, handle_at_once);
    for (int i = 0; i < 3; i++)
        connect_client(&serving, &client[i]);
    connect_only(&serving, &client[3], &accepted, &peer);
    int duplicate = dup(accepted);
    assert_int_equal(http_server_adopt(serving.server, accepted, &peer, HTTP_PUBLIC, 7, &err), RC_BUSY);
    assert_true(ends_within(&client[3], A_MINUTE_MS));
    close(duplicate);
    close(client[3].fd);
    for (int round = 0; round < 50; round++) { /* a place is free again as soon as closed() has been called */
        unsigned before = atomic_load(&serving.closed_count);
        close(client[round % 3].fd);
        until(atomic_load(&serving.closed_count) == before + 1);
        connect_client(&serving, &client[round % 3]);
        get(&client[round % 3], "/a", "", &reply);
        assert_int_equal(reply.status, 200);
    }
    for (int i = 0; i < 3; i++)
        close(client[i].fd);
    serving_stop(&serving);
}

static void test_idle_connections_end(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client fresh, used;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){.idle_timeout_s = 1}, handle_at_once);
    connect_client(&serving, &fresh);
    connect_client(&serving, &used);
    get(&used, "/a", "", &reply);
    assert_true(ends_within(&used, A_MINUTE_MS));
    assert_true(ends_within(&fresh, A_MINUTE_MS));
    close(fresh.fd);
    close(used.fd);
    serving_stop(&serving);
}

/* Sends `first`, then a byte every 100 ms until the server answers. Returns the status, 0 for none. */
static unsigned trickle(struct client *client, const char *first, struct reply *reply)
{
    send_text(client, first);
    for (int i = 0; i < A_MINUTE_MS / 100; i++) {
        struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 100) == 1)
            return receive(client, reply, true) ? reply->status : 0;
        send_text(client, "a");
    }
    return 0;
}

static void test_a_trickling_request_ends_with_408(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    static const char *const parts[] = {"GET /", "GET / HTTP/1.1\r\nHost: h\r\nX: ",
                                        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n"};
    serving_start(&serving, (struct http_server_options){.request_timeout_s = 1}, handle_at_once);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        connect_client(&serving, &client);
        if (i > 0) /* not only on a fresh connection */
            get(&client, "/a", "", &reply);
        int64_t begin_ms = clock_monotonic_ms();
        assert_int_equal(trickle(&client, parts[i], &reply), 408);
        assert_true(clock_monotonic_ms() - begin_ms >= 900);
        assert_string_equal(reply.body, "The request took too long here.\n");
        assert_true(ends_within(&client, A_MINUTE_MS));
        close(client.fd);
    }
    until(atomic_load(&serving.closed_count) == 3);
    serving_stop(&serving);
}

/* The time for a request is each request's own. */
static void test_several_slow_requests_in_a_row(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){.request_timeout_s = 2}, handle_at_once);
    connect_client(&serving, &client);
    for (int i = 0; i < 4; i++) {
        send_text(&client, "GET /a HT");
        pause_ms(600);
        send_text(&client, "TP/1.1\r\nHost: h\r\n\r\n");
        assert_true(receive(&client, &reply, true));
        assert_int_equal(reply.status, 200);
    }
    close(client.fd);
    serving_stop(&serving);
}

/* What an earlier worker read of the connection, and pauses between requests, are no slow request. */
static void test_a_quiet_connection_with_a_history_is_left_alone(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    struct sockaddr_storage peer;
    struct err err;
    int accepted;
    char early[64];
    serving_start(&serving, (struct http_server_options){.request_timeout_s = 1}, handle_at_once);
    connect_only(&serving, &client, &accepted, &peer);
    send_text(&client, "GET /answered/by/another ");
    assert_int_equal(recv(accepted, early, 25, MSG_WAITALL), 25);
    send_text(&client, "GET /a HT");
    pause_ms(50);
    assert_int_equal(http_server_adopt(serving.server, accepted, &peer, HTTP_PUBLIC, 1, &err), RC_OK);
    send_text(&client, "TP/1.1\r\nHost: h\r\n\r\n");
    assert_true(receive(&client, &reply, true));
    assert_int_equal(reply.status, 200);
    pause_ms(1600);
    send_text(&client, "GET /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz");
    assert_true(receive(&client, &reply, true));
    assert_int_equal(reply.status, 200);
    assert_false(ends_within(&client, 1600));
    get(&client, "/c", "", &reply);
    assert_int_equal(reply.status, 200);
    close(client.fd);
    serving_stop(&serving);
}

static void test_a_reader_that_stops_is_given_up(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    serving_start(&serving, (struct http_server_options){.idle_timeout_s = 1}, handle_at_once);
    connect_client(&serving, &client);
    ask(&client, "GET", "/size/30000000", "");
    char first;
    assert_int_equal(recv(client.fd, &first, 1, 0), 1);
    until(http_server_connections(serving.server) == 0);
    close(client.fd);
    serving_stop(&serving);
}

static void test_a_slow_but_steady_reader_gets_everything(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    struct sockaddr_storage peer;
    struct err err;
    int accepted;
    size_t body = 20000000, got = 0;
    serving_start(&serving, (struct http_server_options){.idle_timeout_s = 1}, handle_at_once);
    connect_only(&serving, &client, &accepted, &peer);
    assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)), 0);
    assert_int_equal(http_server_adopt(serving.server, accepted, &peer, HTTP_PUBLIC, 1, &err), RC_OK);
    ask(&client, "GET", "/size/20000000", "");
    for (int i = 0;; i++) {
        ssize_t count = recv(client.fd, client.buffer, sizeof client.buffer, 0);
        if (count <= 0)
            break;
        got += (size_t)count;
        if (i < 70) /* three times the time-out */
            pause_ms(50);
        if (got > body)
            break;
    }
    assert_true(got > body); /* all of it, and the header */
    close(client.fd);
    serving_stop(&serving);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_duplicate_does_not_keep_the_client_waiting),
        cmocka_unit_test(test_no_more_than_max_connections),
        cmocka_unit_test(test_idle_connections_end),
        cmocka_unit_test(test_a_trickling_request_ends_with_408),
        cmocka_unit_test(test_several_slow_requests_in_a_row),
        cmocka_unit_test(test_a_quiet_connection_with_a_history_is_left_alone),
        cmocka_unit_test(test_a_reader_that_stops_is_given_up),
        cmocka_unit_test(test_a_slow_but_steady_reader_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
