/* The table of connections: limits, lists, ids that never come back, descriptors that are closed. */
#include "master/connection.h"

#include "tests/unit/master/peers.h"
#include "worker/heritage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define WAITING MASTER_CONNECTION_WAITING

static int new_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static struct master_connections *table_of(uint32_t most, uint32_t most_per_address)
{
    struct master_connections *table = NULL;
    assert_int_equal(master_connection_table_new(most, most_per_address, &table, NULL), RC_OK);
    return table;
}

static struct master_connection *add(struct master_connections *table, unsigned client)
{
    struct sockaddr_storage peer = peer_number(client);
    struct master_connection *last = NULL;
    assert_int_equal(master_connection_add(table, new_fd(), &peer, false, NULL), RC_OK);
    for (last = master_connection_first(table, WAITING); last->next != NULL; last = last->next)
        ;
    return last;
}

static void test_limits(void **state)
{
    (void)state;
    struct master_connections *table = table_of(3, 2);
    struct sockaddr_storage peer = peer_number(1), other = peer_number(2), third = peer_number(3);
    struct err err = {0};
    add(table, 1);
    add(table, 1);
    int fd = new_fd();
    assert_int_equal(master_connection_add(table, fd, &peer, false, &err), RC_BUSY);
    assert_string_equal(err.message, "10.0.0.1 has 2 connections open already");
    assert_false(is_open(fd)); /* taken over, also when refused */
    assert_int_equal(master_connection_add(table, new_fd(), &other, false, &err), RC_OK);
    assert_int_equal(master_connection_add(table, new_fd(), &third, false, &err), RC_BUSY);
    assert_string_equal(err.message, "max_connections, 3, are open already");
    for (unsigned i = 0; i < WORKER_ADMIN_CONNECTIONS; i++) /* admin: limits of their own */
        assert_int_equal(master_connection_add(table, new_fd(), &peer, true, &err), RC_OK);
    assert_int_equal(master_connection_add(table, new_fd(), &peer, true, &err), RC_BUSY);
    assert_int_equal(master_connection_count(table, WAITING), 3 + WORKER_ADMIN_CONNECTIONS);
    master_connection_end(table, master_connection_first(table, WAITING));
    assert_int_equal(master_connection_add(table, new_fd(), &peer, false, &err), RC_OK);
    master_connection_table_free(&table);
}

static void test_lists_keep_their_order(void **state)
{
    (void)state;
    struct master_connections *table = table_of(10, 10);
    struct master_connection *c[5];
    for (unsigned i = 0; i < 5; i++)
        c[i] = add(table, i);
    assert_ptr_equal(master_connection_first(table, WAITING), c[0]);
    master_connection_move(table, c[0], 7);
    master_connection_move(table, c[2], 7); /* out of the middle */
    master_connection_move(table, c[4], 7); /* off the end */
    assert_int_equal(master_connection_count(table, 7), 3);
    assert_int_equal(master_connection_count(table, WAITING), 2);
    master_connection_end(table, c[2]);
    master_connection_move(table, c[1], 7);
    struct master_connection *const right[] = {c[0], c[4], c[1]};
    struct master_connection *at = master_connection_first(table, 7);
    for (int i = 0; i < 3; i++, at = at->next)
        assert_ptr_equal(at, right[i]);
    assert_null(at);
    assert_ptr_equal(master_connection_first(table, WAITING), c[3]);
    assert_null(c[3]->next);
    assert_null(master_connection_first(table, 0));
    master_connection_table_free(&table);
}

static void test_ids_fit_only_their_connection_and_its_worker(void **state)
{
    (void)state;
    struct master_connections *table = table_of(10, 10);
    struct master_connection *connection = add(table, 1);
    master_connection_move(table, connection, 2);
    uint64_t id = master_connection_id(connection);
    assert_ptr_equal(master_connection_find(table, 2, id), connection);
    assert_true(id != 0);
    assert_null(master_connection_find(table, 3, id)); /* somebody else's */
    assert_null(master_connection_find(table, 2, id + 1));
    assert_null(master_connection_find(table, 2, id + (UINT64_C(1) << 32)));
    assert_null(master_connection_find(table, 2, UINT64_MAX));
    int fd = connection->fd;
    master_connection_end(table, connection);
    assert_false(is_open(fd));
    assert_null(master_connection_find(table, 2, id)); /* said twice */
    struct master_connection *next = add(table, 1);
    assert_ptr_equal(next, connection); /* the place is used again */
    master_connection_move(table, next, 2);
    assert_null(master_connection_find(table, 2, id)); /* an id of before is no id of now */
    assert_ptr_equal(master_connection_find(table, 2, master_connection_id(next)), next);
    master_connection_table_free(&table);
}

static void test_freeing_closes_everything(void **state)
{
    (void)state;
    struct master_connections *table = table_of(10, 10);
    int fd[3];
    for (unsigned i = 0; i < 3; i++) {
        struct master_connection *connection = add(table, i);
        fd[i] = connection->fd;
        if (i > 0)
            master_connection_move(table, connection, i - 1);
    }
    master_connection_table_free(&table);
    assert_null(table);
    for (int i = 0; i < 3; i++)
        assert_false(is_open(fd[i]));
    master_connection_table_free(&table);
}

/* As many comings and goings as would exhaust the table many times over. */
static void test_places_are_found_again(void **state)
{
    (void)state;
    struct master_connections *table = table_of(4, 4);
    for (unsigned i = 0; i < 1000; i++) {
        struct master_connection *connection = add(table, i % 3);
        master_connection_move(table, connection, i % 2);
        if (i >= 3)
            master_connection_end(table, master_connection_first(table, (i + 1) % 2));
    }
    assert_int_equal(master_connection_count(table, 0) + master_connection_count(table, 1), 3);
    master_connection_table_free(&table);
}

static void test_a_table_is_taken_over_with_its_ids(void **state)
{
    (void)state;
    struct master_connections *from = table_of(3, 3), *to = table_of(3, 1);
    struct master_connection *first = add(from, 1), *gone = add(from, 1), *third = add(from, 2);
    uint64_t id = master_connection_id(first), gone_id = master_connection_id(gone);
    master_connection_move(from, first, 1);
    master_connection_end(from, gone);
    for (uint32_t place = 0; place < master_connection_places(from); place++) {
        const struct master_connection *one = master_connection_at(from, place);
        int fd = one->fd >= 0 ? new_fd() : -1;
        assert_int_equal(master_connection_restore(to, one->generation, fd, &one->peer, one->is_admin, NULL),
                         RC_OK);
    }
    assert_int_equal(master_connection_count(to, WAITING), 2); /* whoever served them */
    assert_non_null(master_connection_find(to, WAITING, id));
    assert_non_null(master_connection_find(to, WAITING, master_connection_id(third)));
    assert_null(master_connection_find(to, WAITING, gone_id));
    struct sockaddr_storage peer = peer_number(1);
    assert_int_equal(master_connection_add(to, new_fd(), &peer, false, NULL), RC_BUSY); /* they count */
    struct master_connection *fresh = add(to, 3);
    assert_int_equal(fresh->place, (uint32_t)gone_id);
    assert_true(master_connection_id(fresh) != gone_id);
    int fd = new_fd();
    assert_int_equal(master_connection_restore(to, 1, fd, &peer, false, NULL),
                     RC_BUSY); /* max_connections are open */
    assert_false(is_open(fd));
    master_connection_table_free(&from);
    master_connection_table_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lists_keep_their_order),
        cmocka_unit_test(test_ids_fit_only_their_connection_and_its_worker),
        cmocka_unit_test(test_freeing_closes_everything),
        cmocka_unit_test(test_places_are_found_again),
        cmocka_unit_test(test_a_table_is_taken_over_with_its_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
