/* Leases: one owner at a time, whatever becomes of it. */
#include "shm/segment.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct shm_lease_key key = {7, 11};
static struct shm_segment *segment;
static struct shm_leaseholder worker[3];

static int setup(void **state)
{
    (void)state;
    if (shm_segment_make(8, &segment, NULL) != RC_OK)
        return -1;
    for (uint32_t i = 0; i < 3; i++) {
        shm_segment_reset_slot(segment, i, SHM_SLOT_SERVING);
        worker[i] = (struct shm_leaseholder){&segment->leases, segment->slot, i, segment->slot[i].generation};
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shm_segment_free(&segment);
    return 0;
}

static void test_one_owner(void **state)
{
    (void)state;
    assert_int_equal(shm_lease_claim(&worker[0], key, 1000, 2000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_claim(&worker[1], key, 1001, 2001), SHM_LEASE_THEIRS);
    assert_int_equal(shm_lease_claim(&worker[1], (struct shm_lease_key){8, 11}, 1001, 2001), SHM_LEASE_OURS);
    uint32_t rung = shm_lease_rung(&worker[1]), other = shm_lease_rung(&worker[2]);
    shm_lease_release(&worker[2], key); /* not its own */
    assert_int_equal(shm_lease_claim(&worker[1], key, 1002, 2001), SHM_LEASE_THEIRS);
    shm_lease_release(&worker[0], key);
    assert_int_equal(shm_lease_rung(&worker[1]), rung + 1);
    assert_int_equal(shm_lease_rung(&worker[2]), other);
    shm_lease_wait(&worker[1], rung, 60000); /* has been rung: returns at once */
    assert_int_equal(shm_lease_claim(&worker[1], key, 1003, 2001), SHM_LEASE_OURS);
}

static void test_a_deadline(void **state)
{
    (void)state;
    assert_int_equal(shm_lease_claim(&worker[0], key, 1000, 2000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_claim(&worker[0], key, 1900, 2500), SHM_LEASE_OURS); /* renewed */
    assert_int_equal(shm_lease_claim(&worker[1], key, 2499, 3000), SHM_LEASE_THEIRS);
    assert_int_equal(shm_lease_claim(&worker[1], key, 2500, 3000), SHM_LEASE_OURS);
    shm_lease_release(&worker[0], key); /* too late: it is another's */
    assert_int_equal(shm_lease_claim(&worker[2], key, 2600, 3000), SHM_LEASE_THEIRS);
}

static void test_an_owner_that_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(shm_lease_claim(&worker[0], key, 1000, 60000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_claim(&worker[2], key, 1001, 60000), SHM_LEASE_THEIRS);
    shm_segment_reset_slot(segment, 0, SHM_SLOT_STARTING);
    assert_int_equal(shm_lease_claim(&worker[1], key, 1002, 60000), SHM_LEASE_OURS);
    uint32_t rung = shm_lease_rung(&worker[2]);
    shm_lease_release(&worker[1], key); /* who waited for the dead one waits for its heir */
    assert_int_equal(shm_lease_rung(&worker[2]), rung + 1);
}

/* What an owner says when it has failed is heard by those who waited, and by nobody who claims. */
static void test_a_word(void **state)
{
    (void)state;
    assert_int_equal(shm_lease_claim(&worker[0], key, 1000, 60000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_word(&worker[1], key, 1001), 0);
    assert_int_equal(shm_lease_claim(&worker[1], key, 1001, 60000), SHM_LEASE_THEIRS);
    uint32_t rung = shm_lease_rung(&worker[1]);
    shm_lease_fail(&worker[2], key, 1002, 13); /* not its own */
    assert_int_equal(shm_lease_word(&worker[1], key, 1002), 0);
    shm_lease_fail(&worker[0], key, 1003, 13);
    assert_int_equal(shm_lease_rung(&worker[1]), rung + 1);
    assert_int_equal(shm_lease_word(&worker[1], key, 1004), 13);
    assert_int_equal(shm_lease_word(&worker[1], key, 1003 + SHM_LEASE_WORD_MS), 0);
    assert_int_equal(shm_lease_claim(&worker[2], key, 1005, 60000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_word(&worker[1], key, 1006), 0);
    shm_lease_release(&worker[2], key);
    assert_int_equal(shm_lease_word(&worker[1], key, 1007), 0);
}

static void test_a_full_part(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < SHM_LEASE_PLACES; i++)
        assert_int_equal(shm_lease_claim(&worker[0], (struct shm_lease_key){i, 5}, 1000, 2000 + (int64_t)i),
                         SHM_LEASE_OURS);
    const struct shm_lease_key more = {99, 5};
    assert_int_equal(shm_lease_claim(&worker[0], more, 1999, 3000), SHM_LEASE_NONE);
    assert_int_equal(shm_lease_claim(&worker[0], more, 2000, 3000), SHM_LEASE_OURS); /* the first has ended */
}

/* A process dies while it has the stripe: the next one forgets its leases and goes on; one that is only
 * stopped costs nobody more than a moment. */
static void test_death_and_standstill_with_the_stripe(void **state)
{
    (void)state;
    struct shm_lease_part *part = &segment->leases.part[key.high % SHM_LEASE_PARTS];
    assert_int_equal(shm_lease_claim(&worker[0], key, 1000, 2000), SHM_LEASE_OURS);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char taken = (char)('0' + shm_stripe_take(&part->stripe, 0));
        (void)!write(ready[1], &taken, 1);
        for (;;)
            pause();
    }
    char taken = 0;
    assert_int_equal(read(ready[0], &taken, 1), 1);
    assert_int_equal(taken, '0' + SHM_STRIPE_WHOLE);
    assert_int_equal(shm_lease_claim(&worker[1], key, 1001, 2000), SHM_LEASE_NONE);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(shm_lease_claim(&worker[1], key, 1002, 2000), SHM_LEASE_OURS);
    assert_int_equal(shm_lease_claim(&worker[2], key, 1003, 2000), SHM_LEASE_THEIRS);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_owner_that_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_word, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death_and_standstill_with_the_stripe, setup, teardown),
    };
    return cmocka_run_group_tests_name("shm/lease", tests, NULL, NULL);
}
