/* The segment: shared with a child, reset for its successor. */
#include "shm/segment.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_a_fresh_segment(void **state)
{
    (void)state;
    struct shm_segment *segment = NULL;
    assert_int_equal(shm_segment_make(SHM_MAX_WORKERS, &segment, NULL), RC_OK);
    assert_memory_equal(segment->magic, "VITRINE1", 8);
    assert_int_equal(segment->layout_version, SHM_LAYOUT_VERSION);
    assert_int_equal(segment->slot_count, SHM_MAX_WORKERS);
    int64_t age_ms = clock_monotonic_ms() - segment->started_ms;
    assert_true(age_ms >= 0 && age_ms < 60000);
    for (uint32_t i = 0; i < SHM_MAX_WORKERS; i++) {
        assert_int_equal(segment->slot[i].state, SHM_SLOT_FREE);
        assert_int_equal((uintptr_t)&segment->slot[i] % 64, 0);
    }
    shm_segment_free(&segment);
    assert_null(segment);
    shm_segment_free(&segment);
}

/* A child writes, dies by a signal, and the parent sees what it wrote, then makes the slot new. */
static void test_what_a_dead_child_leaves(void **state)
{
    (void)state;
    struct shm_segment *segment = NULL;
    assert_int_equal(shm_segment_make(3, &segment, NULL), RC_OK);
    shm_segment_reset_slot(segment, 2, SHM_SLOT_STARTING);
    assert_int_equal(segment->slot[2].generation, 1);
    assert_int_equal(segment->slot[2].state, SHM_SLOT_STARTING);
    pid_t child = fork();
    if (child == 0) {
        segment->slot[2].connections = 17;
        segment->slot[2].queued = 4;
        segment->slot[2].beat_ms = 99;
        segment->slot[2].requests = segment->slot[2].renders = 5;
        segment->counters.renders += 5;
        abort();
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(segment->slot[2].connections, 17);
    shm_segment_reset_slot(segment, 2, SHM_SLOT_STARTING);
    const struct shm_slot *slot = &segment->slot[2];
    assert_int_equal(slot->generation, 2);
    assert_int_equal(slot->connections + slot->queued + slot->beat_ms + slot->requests + slot->renders, 0);
    assert_int_equal(slot->pid, 0);
    assert_int_equal(segment->counters.renders, 5); /* counters go on */
    shm_segment_free(&segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fresh_segment),
        cmocka_unit_test(test_what_a_dead_child_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
