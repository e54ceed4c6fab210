/* What a service manager keeps over a restart: written by one table of connections, read into another. */
#include "master/store.h"

#include "base/own.h"
#include "tests/unit/master/peers.h"
#include "worker/heritage.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define MOST 8

struct manager {
    int socket;
    atomic_bool is_told_all;
    struct master_notify notify;
    struct shm_journal *journal;
    struct master_connections *connections;
    struct master_activation kept;
};

static int setup(void **state)
{
    static struct manager manager;
    int pair[2];
    manager = (struct manager){.kept = {-1, -1, -1, -1, -1, -1, NULL, 0, false}};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        shm_journal_make(WORKER_MOST_CONNECTIONS(MOST), &manager.journal, NULL) != RC_OK ||
        master_connection_table_new(MOST, MOST, &manager.connections, NULL) != RC_OK)
        return -1;
    manager.socket = pair[0];
    manager.notify = (struct master_notify){.socket = pair[1]};
    manager.kept.connection = calloc(MOST, sizeof(int));
    *state = &manager;
    return 0;
}

static int teardown(void **state)
{
    struct manager *manager = *state;
    close(manager->socket);
    master_notify_close(&manager->notify);
    shm_journal_free(&manager->journal);
    master_connection_table_free(&manager->connections);
    master_activation_done(&manager->kept);
    return 0;
}

/* Takes one message in as systemd would. */
static void hear(struct manager *manager)
{
    char text[256] = "";
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MOST * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof text - 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    if (recvmsg(manager->socket, &message, MSG_CMSG_CLOEXEC) < 0)
        return;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t count = header != NULL ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    int fd[MOST];
    memcpy(fd, header != NULL ? CMSG_DATA(header) : (const unsigned char *)"", count * sizeof(int));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, "FDSTORE=1\nFDNAME=" MASTER_ACTIVATION_TABLE) == 0)
            manager->kept.table = fd[i];
        else if (strcmp(text, "FDSTORE=1\nFDNAME=" MASTER_ACTIVATION_JOURNAL) == 0)
            manager->kept.journal = fd[i];
        else if (strcmp(text, "FDSTORE=1\nFDNAME=" MASTER_ACTIVATION_CONNECTION) == 0)
            manager->kept.connection[manager->kept.connection_count++] = fd[i];
        else
            close(fd[i]); /* BARRIER=1 */
    }
}

/* Adds a connection and returns its id; *ret_peer is the client's end. */
static uint64_t add(struct manager *manager, unsigned client, bool is_admin, int *ret_peer)
{
    int pair[2];
    struct sockaddr_storage peer = peer_number(client);
    struct master_connection *last;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *ret_peer = pair[1];
    assert_int_equal(master_connection_add(manager->connections, pair[0], &peer, is_admin, NULL), RC_OK);
    for (last = master_connection_first(manager->connections, MASTER_CONNECTION_WAITING); last->next != NULL;)
        last = last->next;
    return master_connection_id(last);
}

static void *hear_all(void *context)
{
    struct manager *manager = context;
    struct pollfd wait = {.fd = manager->socket, .events = POLLIN};
    while (!manager->is_told_all || poll(&wait, 1, 0) > 0)
        if (poll(&wait, 1, 10) > 0)
            hear(manager);
    return NULL;
}

static void keep(struct manager *manager)
{
    pthread_t thread;
    const struct master_store store = {.connections = manager->connections,
                                       .journal = manager->journal,
                                       .max_connections = MOST,
                                       .public = -1,
                                       .admin = -1};
    assert_int_equal(pthread_create(&thread, NULL, hear_all, manager), 0);
    enum rc rc = master_store_keep(&store, &manager->notify, NULL);
    manager->is_told_all = true;
    pthread_join(thread, NULL);
    assert_int_equal(rc, RC_OK);
    master_connection_table_free(&manager->connections);
    assert_int_equal(master_connection_table_new(MOST, MOST, &manager->connections, NULL), RC_OK);
}

static void test_connections_keep_their_ids(void **state)
{
    struct manager *manager = *state;
    int client[3];
    uint64_t id[3];
    for (unsigned i = 0; i < 3; i++)
        id[i] = add(manager, i, i == 2, &client[i]);
    struct master_connection *ended = master_connection_find(manager->connections, MASTER_CONNECTION_WAITING,
                                                             id[0]);
    master_connection_end(manager->connections, ended);
    keep(manager);
    assert_int_equal(manager->kept.connection_count, 2);
    assert_int_equal(master_store_check(&manager->kept, MOST, NULL), RC_OK);
    /* The manager gives them back in any order. */
    int first = manager->kept.connection[0];
    manager->kept.connection[0] = manager->kept.connection[1];
    manager->kept.connection[1] = first;
    assert_int_equal(master_store_restore(&manager->kept, manager->connections, NULL), RC_OK);
    for (unsigned i = 1; i < 3; i++) {
        struct master_connection *found = master_connection_find(manager->connections,
                                                                 MASTER_CONNECTION_WAITING, id[i]);
        char byte = (char)('a' + i), got = 0;
        assert_non_null(found);
        assert_int_equal(found->is_admin, i == 2);
        assert_int_equal(write(found->fd, &byte, 1), 1);
        assert_int_equal(read(client[i], &got, 1), 1);
        assert_int_equal(got, byte);
    }
    int other;
    uint64_t next = add(manager, 9, false, &other);
    assert_int_equal((uint32_t)next, (uint32_t)id[0]); /* the same place, but never the same id */
    assert_true(next >> 32 > id[0] >> 32);
    close(other);
    for (unsigned i = 0; i < 3; i++)
        close(client[i]);
}

static void test_what_ended_meanwhile_does_not_come_again(void **state)
{
    struct manager *manager = *state;
    int client, other;
    uint64_t id = add(manager, 1, false, &client);
    keep(manager);
    close(manager->kept.connection[0]);
    manager->kept.connection_count = 0;
    assert_int_equal(master_store_restore(&manager->kept, manager->connections, NULL), RC_OK);
    assert_null(master_connection_first(manager->connections, MASTER_CONNECTION_WAITING));
    uint64_t next = add(manager, 2, false, &other);
    assert_true((uint32_t)next == (uint32_t)id && next != id);
    close(client);
    close(other);
}

static void test_what_is_not_whole_is_refused(void **state)
{
    struct manager *manager = *state;
    struct err err = {0};
    int client;
    add(manager, 1, false, &client);
    keep(manager);
    assert_int_equal(master_store_check(&manager->kept, MOST + 1, &err), RC_CORRUPT);
    assert_string_equal(err.message, "it is for another max_connections");
    assert_int_equal(ftruncate(manager->kept.table, lseek(manager->kept.table, 0, SEEK_END) - 1), 0);
    assert_int_equal(master_store_restore(&manager->kept, manager->connections, &err), RC_CORRUPT);
    close(TAKE_FD(manager->kept.journal));
    assert_int_equal(master_store_check(&manager->kept, MOST, &err), RC_CORRUPT);
    close(client);
}

static void test_without_a_manager_nothing_is_kept(void **state)
{
    struct manager *manager = *state;
    const struct master_store store = {.connections = manager->connections, .journal = manager->journal};
    const struct master_notify nobody = {.socket = -1};
    assert_int_equal(master_store_keep(&store, &nobody, NULL), RC_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_connections_keep_their_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_ended_meanwhile_does_not_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_whole_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
