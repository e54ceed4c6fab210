/* The inquest believes nothing that it reads: strikes go only to the dead worker's own connections. */
#include "master/inquest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER 3u

static struct master_crew crew;
static struct master_child child;

static int setup(void **state)
{
    (void)state;
    crew = (struct master_crew){0};
    child = (struct master_child){.slot = WORKER, .channel = -1};
    return shm_segment_make(8, &crew.segment, NULL) == RC_OK &&
                   shm_journal_make(8, &crew.journal, NULL) == RC_OK &&
                   master_connection_table_new(4, 4, &crew.connections, NULL) == RC_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    master_connection_table_free(&crew.connections);
    shm_journal_free(&crew.journal);
    shm_segment_free(&crew.segment);
    return 0;
}

/* A connection that this worker serves. */
static uint64_t connection_of(uint32_t worker)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    assert_int_equal(master_connection_add(crew.connections, open("/dev/null", O_RDWR), &peer, false, NULL),
                     RC_OK);
    struct master_connection *connection = master_connection_first(crew.connections,
                                                                   MASTER_CONNECTION_WAITING);
    master_connection_move(crew.connections, connection, worker);
    shm_journal_begin(shm_journal_slot(crew.journal, master_connection_id(connection)),
                      master_connection_id(connection));
    return master_connection_id(connection);
}

static struct shm_beat *beat_for(uint64_t id, uint32_t fault_signal)
{
    struct shm_beat *beat = shm_beat_claim(&crew.segment->beats[WORKER]);
    shm_beat_begin(beat, id, "/target", 1);
    beat->fault_signal = fault_signal;
    return beat;
}

static uint32_t strikes(uint64_t id)
{
    return shm_journal_slot(crew.journal, id)->strikes;
}

static void test_only_who_is_at_fault(void **state)
{
    (void)state;
    uint64_t good = connection_of(WORKER), bad = connection_of(WORKER);
    beat_for(good, 0);
    beat_for(bad, SIGSEGV);
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(good), 0);
    assert_int_equal(strikes(bad), 1);
    assert_int_equal(shm_journal_slot(crew.journal, bad)->strike_signal, SIGSEGV);
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(bad), 2);
    assert_int_equal(crew.segment->counters.faults, 2);
}

static void test_only_its_own_connections(void **state)
{
    (void)state;
    uint64_t other = connection_of(WORKER + 1);
    beat_for(other, SIGSEGV);
    beat_for(other + ((uint64_t)1 << 32), SIGSEGV); /* another generation */
    beat_for(UINT64_MAX, SIGSEGV);
    beat_for(6, SIGSEGV); /* a place that is free */
    master_inquest_hold(&crew, &child, 1);
    for (uint64_t place = 0; place < 8; place++)
        assert_int_equal(strikes(place), 0);
}

static void test_no_fault_no_strike(void **state)
{
    (void)state;
    uint64_t id = connection_of(WORKER);
    beat_for(id, SIGKILL); /* no handler could have written that */
    beat_for(id, 4711);
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(id), 0);
}

static void test_who_hung(void **state)
{
    (void)state;
    uint64_t other = connection_of(WORKER), hung = connection_of(WORKER);
    beat_for(other, 0);
    struct shm_beat *beat = beat_for(hung, 0);
    child.is_hung = true;
    child.hung_beat = 1;
    child.hung_id = hung;
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(hung), 1);
    assert_int_equal(shm_journal_slot(crew.journal, hung)->strike_signal, SIGKILL);
    assert_int_equal(strikes(other), 0);
    shm_beat_end(beat); /* done in the last moment */
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(hung), 1);
    child.hung_id = 0; /* all of it stood still: nobody's fault */
    master_inquest_hold(&crew, &child, 1);
    assert_int_equal(strikes(hung) + strikes(other), 1);
}

static void test_nonsense_everywhere(void **state)
{
    (void)state;
    struct shm_beats *beats = &crew.segment->beats[WORKER];
    uint64_t id = connection_of(WORKER);
    memset(beats, 0xff, sizeof *beats); /* all numbers as large as can be, no text has an end */
    for (uint32_t i = 0; i < SHM_BEATS; i++) {
        beats->beat[i].fault_signal = SIGBUS;
        beats->beat[i].connection_id = i % 2 == 0 ? id : UINT64_MAX - i;
    }
    master_inquest_hold(&crew, &child, 1);
    assert_true(strikes(id) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_who_is_at_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_its_own_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_fault_no_strike, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_hung, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_everywhere, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
