/* What clients take: counts of all workers, forgotten with a worker; render time that time pays for. And the ring of log lines. */
#include "shm/clients.h"
#include "shm/log_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shm_clients *clients;
static struct shm_log_ring *ring;

static int setup(void **state)
{
    (void)state;
    clients = aligned_alloc(64, sizeof *clients);
    ring = aligned_alloc(64, sizeof *ring);
    if (clients == NULL || ring == NULL)
        return -1;
    memset(clients, 0, sizeof *clients);
    memset(ring, 0, sizeof *ring);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(clients);
    free(ring);
    return 0;
}

static void test_in_flight(void **state)
{
    (void)state;
    const uint64_t one = 77, other = 77 + SHM_CLIENTS_SETS; /* of the same set */
    assert_int_equal(shm_clients_in_flight(clients, one), 0);
    assert_true(shm_clients_enter(clients, 0, one) && shm_clients_enter(clients, 0, one));
    assert_true(shm_clients_enter(clients, 5, one) && shm_clients_enter(clients, 5, other));
    assert_int_equal(shm_clients_in_flight(clients, one), 3);
    assert_int_equal(shm_clients_in_flight(clients, other), 1);
    shm_clients_leave(clients, 0, one);
    assert_int_equal(shm_clients_in_flight(clients, one), 2);
    shm_clients_reset(clients, 5);
    assert_int_equal(shm_clients_in_flight(clients, one), 1);
    assert_int_equal(shm_clients_in_flight(clients, other), 0);
    shm_clients_leave(clients, 0, one);
    shm_clients_leave(clients, 0, one); /* once too often */
    assert_int_equal(shm_clients_in_flight(clients, one), 0);
}

static void test_a_full_set(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SHM_CLIENTS_WAYS; i++)
        assert_true(shm_clients_enter(clients, 1, 9 + i * SHM_CLIENTS_SETS));
    assert_false(shm_clients_enter(clients, 1, 9 + SHM_CLIENTS_WAYS * SHM_CLIENTS_SETS));
    for (uint32_t i = 0; i < SHM_CLIENTS_WAYS; i++)
        assert_int_equal(shm_clients_in_flight(clients, 9 + i * SHM_CLIENTS_SETS), 1);
    shm_clients_leave(clients, 1, 9);
    assert_true(shm_clients_enter(clients, 1, 9 + SHM_CLIENTS_WAYS * SHM_CLIENTS_SETS));
}

static void test_render_time(void **state)
{
    (void)state;
    assert_int_equal(shm_clients_debt_us(clients, 3, 1000), 0);
    shm_clients_charge(clients, 3, 500, 1000);
    shm_clients_charge(clients, 3, 500, 1100);
    assert_int_equal(shm_clients_debt_us(clients, 3, 1100), 900);
    assert_int_equal(shm_clients_debt_us(clients, 4, 1100), 0);
    assert_int_equal(shm_clients_debt_us(clients, 3, 2500), 0);
    shm_clients_charge(clients, 3, 10, 5000); /* what was not used is not saved up */
    assert_int_equal(shm_clients_debt_us(clients, 3, 5000), 10);
    /* In a full set those make room whose time is paid for. */
    for (uint32_t i = 0; i < 2 * SHM_CLIENTS_WAYS; i++)
        shm_clients_charge(clients, 3 + (i + 1) * SHM_CLIENTS_DEBTS, i % 3 == 0 ? 100000 : 1, 6000 + 10 * i);
    assert_true(shm_clients_debt_us(clients, 3 + SHM_CLIENTS_DEBTS, 6300) > 0);
}

static void test_ring(void **state)
{
    (void)state;
    char line[64], out[4096];
    size_t held = 0, length;
    unsigned put = 0, taken = 0;
    for (unsigned round = 0; round < 40000; round++) {
        int bytes = snprintf(line, sizeof line, "line %u of many\n", put);
        assert_true(shm_log_ring_put(ring, line, (size_t)bytes, &held));
        put++;
        if (held < SHM_LOG_RING_BYTES / 2)
            continue;
        while ((length = shm_log_ring_peek(ring, out, sizeof out)) > 0) {
            for (char *at = out; at < out + length; at = strchr(at, '\n') + 1, taken++) {
                bytes = snprintf(line, sizeof line, "line %u of many\n", taken);
                assert_memory_equal(at, line, (size_t)bytes);
            }
            shm_log_ring_take(ring, length);
        }
        assert_int_equal(put, taken);
    }
    while (shm_log_ring_put(ring, "0123456789abcdef0123456789abcdef\n", 33, &held))
        put++;
    assert_true(held > SHM_LOG_RING_BYTES - 33 && held <= SHM_LOG_RING_BYTES);
    atomic_store(&ring->put, UINT64_MAX - 5); /* nonsense that a dead worker has left */
    assert_int_equal(shm_log_ring_peek(ring, out, sizeof out), 0);
    assert_true(shm_log_ring_put(ring, "next\n", 5, &held));
    assert_int_equal(shm_log_ring_peek(ring, out, sizeof out), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
