/* Counting connections by address, against a model that cannot be wrong. */
#include "master/address.h"

#include "tests/unit/master/peers.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* How many of the client are counted, as it is told when it may have none. */
static unsigned counted(struct master_addresses *addresses, const struct sockaddr_storage *peer)
{
    struct err err = {0};
    unsigned count = UINT_MAX;
    assert_int_equal(master_address_add(addresses, peer, 0, &err), RC_BUSY);
    assert_int_equal(sscanf(err.message, "%*s has %u connections", &count), 1);
    return count;
}

static void test_who_is_one_client(void **state)
{
    (void)state;
    struct master_addresses *addresses = NULL;
    assert_int_equal(master_address_new(8, &addresses, NULL), RC_OK);
    const char *const same[][2] = {
        {"192.0.2.1", "::ffff:192.0.2.1"},              /* mapped: the same IPv4 client */
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:1:2:3"}, /* one /64 */
    };
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_storage one = peer_of(same[i][0]), other = peer_of(same[i][1]);
        assert_int_equal(master_address_add(addresses, &one, 2, NULL), RC_OK);
        assert_int_equal(master_address_add(addresses, &other, 2, NULL), RC_OK);
        assert_int_equal(master_address_add(addresses, &one, 2, NULL), RC_BUSY);
        assert_int_equal(counted(addresses, &other), 2);
    }
    struct sockaddr_storage next = peer_of("2001:db8:1:3::1");
    assert_int_equal(counted(addresses, &next), 0);
    /* The first 64 bits of this IPv6 address are the bytes of 192.0.2.1 and zeros: still another client. */
    struct sockaddr_storage alike = peer_of("c000:201::");
    assert_int_equal(counted(addresses, &alike), 0);
    struct sockaddr_storage none = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(master_address_add(addresses, &none, 1, NULL), RC_OK);
    master_address_remove(addresses, &none);
    master_address_free(&addresses);
    assert_null(addresses);
}

static void test_the_sentence_names_the_client(void **state)
{
    (void)state;
    struct master_addresses *addresses = NULL;
    assert_int_equal(master_address_new(1, &addresses, NULL), RC_OK);
    struct sockaddr_storage peer = peer_of("2001:db8::7");
    struct err err = {0};
    assert_int_equal(master_address_add(addresses, &peer, 1, &err), RC_OK);
    assert_int_equal(master_address_add(addresses, &peer, 1, &err), RC_BUSY);
    assert_string_equal(err.message, "2001:db8::7 has 1 connections open already");
    master_address_free(&addresses);
}

/* Full and emptied over and over: every removal must leave the chains of the others whole. */
static void test_against_a_model(void **state)
{
    (void)state;
    enum { CLIENTS = 300, CAPACITY = 120, MOST = 5, STEPS = 200000 };
    struct master_addresses *addresses = NULL;
    assert_int_equal(master_address_new(CAPACITY, &addresses, NULL), RC_OK);
    unsigned count[CLIENTS] = {0}, different = 0;
    srand(4711);
    for (int step = 0; step < STEPS; step++) {
        unsigned number = (unsigned)rand() % CLIENTS;
        struct sockaddr_storage peer = peer_number(number * 65536);
        bool add = rand() % 100 < (step / 2000 % 2 != 0 ? 65 : 35);
        if (add && (count[number] > 0 || different < CAPACITY)) {
            enum rc right = count[number] < MOST ? RC_OK : RC_BUSY;
            assert_int_equal(master_address_add(addresses, &peer, MOST, NULL), right);
            different += count[number] == 0;
            count[number] += right == RC_OK;
        } else if (!add && count[number] > 0) {
            master_address_remove(addresses, &peer);
            count[number]--;
            different -= count[number] == 0;
        }
        if (step % 500 == 0)
            for (unsigned i = 0; i < CLIENTS; i++) {
                struct sockaddr_storage other = peer_number(i * 65536);
                assert_int_equal(counted(addresses, &other), count[i]);
            }
    }
    master_address_free(&addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_one_client),
        cmocka_unit_test(test_the_sentence_names_the_client),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
