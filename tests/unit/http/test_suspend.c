/* Exchanges that other threads answer, and the end of a server that has some. */
#include "tests/unit/http/serving.h"

/* Leaves the exchange to the test. */
static void handle_hold(struct http_exchange *exchange, struct serving *serving)
{
    if (strcmp(http_exchange_target(exchange), "/now") == 0) {
        http_reply_text(exchange, 200, "text/plain", "now", NULL, 0);
        return;
    }
    http_exchange_suspend(exchange);
    atomic_store(&serving->held, exchange);
}

static struct http_exchange *take_held(struct serving *serving)
{
    until(atomic_load(&serving->held) != NULL);
    return atomic_exchange(&serving->held, NULL);
}

static void answer(struct http_exchange *exchange, const char *text)
{
    http_reply_text(exchange, 200, "text/plain", text, NULL, 0);
}

static void test_answered_by_another_thread(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    connect_client(&serving, &client);
    for (int i = 0; i < 200; i++) {
        ask(&client, i % 2 ? "GET" : "HEAD", "/hold", "");
        struct http_exchange *exchange = take_held(&serving);
        assert_string_equal(http_exchange_target(exchange), "/hold");
        assert_string_equal(http_exchange_header(exchange, "Host"), "h.example");
        answer(exchange, "later");
        assert_true(receive(&client, &reply, i % 2));
        assert_int_equal(reply.length, 5);
    }
    close(client.fd);
    serving_stop(&serving);
}

/* While the server takes its time, so may the client with the request behind. */
static void test_patience_waits_while_an_answer_is_due(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){.request_timeout_s = 1}, handle_hold);
    connect_client(&serving, &client);
    send_text(&client, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /now HT");
    struct http_exchange *exchange = take_held(&serving);
    assert_false(ends_within(&client, 1600));
    answer(exchange, "first");
    assert_true(receive(&client, &reply, true));
    assert_string_equal(reply.body, "first");
    pause_ms(300);
    send_text(&client, "TP/1.1\r\nHost: h\r\n\r\n");
    assert_true(receive(&client, &reply, true));
    assert_string_equal(reply.body, "now");
    close(client.fd);
    serving_stop(&serving);
}

/* ---- many connections, several answering threads ---- */

#define HANDS 3u
#define CROWD 24u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct http_exchange *waiting[256];
    unsigned count;
    bool ends;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void handle_queue(struct http_exchange *exchange, struct serving *serving)
{
    (void)serving;
    http_exchange_suspend(exchange);
    pthread_mutex_lock(&queue.lock);
    queue.waiting[queue.count++] = exchange;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

static void *answer_from_queue(void *context)
{
    (void)context;
    for (;;) {
        pthread_mutex_lock(&queue.lock);
        while (queue.count == 0 && !queue.ends)
            pthread_cond_wait(&queue.filled, &queue.lock);
        struct http_exchange *exchange = queue.count > 0 ? queue.waiting[--queue.count] : NULL;
        pthread_mutex_unlock(&queue.lock);
        if (exchange == NULL)
            return NULL;
        if (!http_exchange_abandoned(exchange))
            answer(exchange,
                   arena_format(http_exchange_arena(exchange), "for %s", http_exchange_target(exchange)));
        else
            answer(exchange, "nobody");
    }
}

static void test_a_crowd(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client[CROWD];
    static struct reply reply;
    pthread_t hands[HANDS];
    serving_start(&serving, (struct http_server_options){0}, handle_queue);
    for (unsigned i = 0; i < HANDS; i++)
        assert_int_equal(pthread_create(&hands[i], NULL, answer_from_queue, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++)
        connect_client(&serving, &client[i]);
    for (unsigned round = 0; round < 40; round++) {
        char target[32], right[64];
        for (unsigned i = 0; i < CROWD; i++) {
            snprintf(target, sizeof target, "/%u/%u", round, i);
            ask(&client[i], "GET", target, "");
        }
        for (unsigned i = 0; i < CROWD; i++) {
            snprintf(right, sizeof right, "for /%u/%u", round, i);
            assert_true(receive(&client[i], &reply, true));
            assert_string_equal(reply.body, right);
        }
        unsigned leaver = round % CROWD; /* one leaves while its next request is on the way, another comes */
        ask(&client[leaver], "GET", "/left", "");
        close(client[leaver].fd);
        connect_client(&serving, &client[leaver]);
    }
    for (unsigned i = 0; i < CROWD; i++)
        close(client[i].fd);
    until(http_server_connections(serving.server) == 0);
    assert_int_equal(atomic_load(&serving.closed_count), CROWD + 40);
    pthread_mutex_lock(&queue.lock);
    queue.ends = true;
    pthread_cond_broadcast(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
    for (unsigned i = 0; i < HANDS; i++)
        pthread_join(hands[i], NULL);
    serving_stop(&serving);
}

/* ---- clients that leave ---- */

static void leave_abruptly(struct client *client)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client->fd);
}

static void test_leaving_is_noticed(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    connect_client(&serving, &client);
    ask(&client, "GET", "/hold", "");
    struct http_exchange *exchange = take_held(&serving);
    assert_false(http_exchange_abandoned(exchange));
    leave_abruptly(&client);
    until(http_exchange_abandoned(exchange));
    assert_true(http_exchange_abandoned(exchange));
    answer(exchange, "for nobody");
    until(http_server_connections(serving.server) == 0);
    serving_stop(&serving);
}

static void test_who_only_stops_sending_still_waits(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    connect_client(&serving, &client);
    ask(&client, "GET", "/hold", "");
    struct http_exchange *exchange = take_held(&serving);
    shutdown(client.fd, SHUT_WR);
    pause_ms(50);
    assert_false(http_exchange_abandoned(exchange));
    answer(exchange, "still here");
    assert_true(receive(&client, &reply, true));
    assert_string_equal(reply.body, "still here");
    assert_true(ends_within(&client, A_MINUTE_MS));
    close(client.fd);
    serving_stop(&serving);
}

/* ---- draining and stopping ---- */

static void test_drain(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client fresh, idle, held, halfway;
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    connect_client(&serving, &fresh);
    connect_client(&serving, &idle);
    connect_client(&serving, &held);
    connect_client(&serving, &halfway);
    get(&idle, "/now", "", &reply);
    assert_null(header_of(&reply, "Connection"));
    get(&halfway, "/now", "", &reply);
    send_text(&halfway, "GET /now HT");
    ask(&held, "GET", "/hold", "");
    struct http_exchange *exchange = take_held(&serving);

    http_server_drain(serving.server);
    assert_true(ends_within(&fresh, A_MINUTE_MS));
    assert_true(ends_within(&idle, A_MINUTE_MS));
    assert_false(ends_within(&halfway, 300));
    send_text(&halfway, "TP/1.1\r\nHost: h\r\n\r\n");
    assert_true(receive(&halfway, &reply, true));
    assert_says(&reply, "Connection", "close");
    assert_true(ends_within(&halfway, A_MINUTE_MS));
    assert_false(http_exchange_abandoned(exchange));
    answer(exchange, "last");
    assert_true(receive(&held, &reply, true));
    assert_string_equal(reply.body, "last");
    assert_says(&reply, "Connection", "close");
    assert_true(ends_within(&held, A_MINUTE_MS));
    until(http_server_connections(serving.server) == 0);

    connect_client(&serving, &fresh); /* on the way here when draining began */
    get(&fresh, "/now", "", &reply);
    assert_says(&reply, "Connection", "close");
    assert_true(ends_within(&fresh, A_MINUTE_MS));
    close(fresh.fd);
    close(idle.fd);
    close(held.fd);
    close(halfway.fd);
    serving_stop(&serving);
}

/* A request that comes just as draining begins is answered or its connection is closed without a byte: never
 * half. */
static void test_requests_during_drain(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client[16];
    static struct reply reply;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    for (int i = 0; i < 16; i++) {
        connect_client(&serving, &client[i]);
        get(&client[i], "/now", "", &reply);
    }
    for (int i = 0; i < 16; i++) {
        if (i == 8)
            http_server_drain(serving.server);
        ask(&client[i], "GET", "/now", "");
    }
    for (int i = 0; i < 16; i++) {
        if (receive(&client[i], &reply, true))
            assert_string_equal(reply.body, "now");
        else
            assert_int_equal(client[i].used, 0);
        close(client[i].fd);
    }
    until(http_server_connections(serving.server) == 0);
    serving_stop(&serving);
}

static void *answer_when_abandoned(void *context)
{
    struct http_exchange *exchange = context;
    while (!http_exchange_abandoned(exchange))
        usleep(1000);
    pause_ms(200);
    answer(exchange, "for nobody");
    return NULL;
}

static void test_stop_waits_for_who_holds_an_exchange(void **state)
{
    (void)state;
    static struct serving serving;
    static struct client client;
    pthread_t holder;
    serving_start(&serving, (struct http_server_options){0}, handle_hold);
    connect_client(&serving, &client);
    ask(&client, "GET", "/hold", "");
    assert_int_equal(pthread_create(&holder, NULL, answer_when_abandoned, take_held(&serving)), 0);
    serving_stop(&serving);
    pthread_join(holder, NULL);
    assert_int_equal(atomic_load(&serving.closed_count), 1);
    close(client.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_by_another_thread),
        cmocka_unit_test(test_patience_waits_while_an_answer_is_due),
        cmocka_unit_test(test_a_crowd),
        cmocka_unit_test(test_leaving_is_noticed),
        cmocka_unit_test(test_who_only_stops_sending_still_waits),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_requests_during_drain),
        cmocka_unit_test(test_stop_waits_for_who_holds_an_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
