/* Folders of runs that begin at the same moment: nobody sweeps what another has just made. */
#include "worker/ingest/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS  4
#define TURNS 300

/* What a run does with its folder; the number of times it was not there. */
static int take_turns(const char *beside)
{
    int lost = 0;
    for (int i = 0; i < TURNS; i++) {
        struct ingest_scratch scratch = INGEST_SCRATCH_NONE;
        struct err err;
        struct stat st;
        char file[128];
        if (ingest_scratch_open(beside, &scratch, &err) != RC_OK)
            return TURNS;
        snprintf(file, sizeof file, "%s/1.tif", scratch.path);
        FILE *written = fopen(file, "w");
        lost += written == NULL || stat(file, &st) < 0;
        if (written != NULL)
            fclose(written);
        ingest_scratch_close(&scratch);
    }
    return lost;
}

static void runs_leave_each_other_alone(void **state)
{
    (void)state;
    char beside[] = "/tmp/vitrine-test-scratch-XXXXXX";
    assert_non_null(mkdtemp(beside));
    for (int i = 0; i < RUNS; i++) {
        pid_t run = fork();
        assert_true(run >= 0);
        if (run == 0)
            _exit(take_turns(beside) != 0);
    }
    for (int i = 0; i < RUNS; i++) {
        int status = -1;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(rmdir(beside), 0);
}

static void what_a_killed_run_left_is_removed(void **state)
{
    (void)state;
    char beside[] = "/tmp/vitrine-test-scratch-XXXXXX";
    assert_non_null(mkdtemp(beside));
    pid_t run = fork();
    assert_true(run >= 0);
    if (run == 0) {
        struct ingest_scratch scratch = INGEST_SCRATCH_NONE;
        struct err err;
        _exit(ingest_scratch_open(beside, &scratch, &err) != RC_OK); /* without closing it */
    }
    int status = -1;
    assert_int_equal(waitpid(run, &status, 0), run);
    assert_int_equal(status, 0);
    struct ingest_scratch scratch = INGEST_SCRATCH_NONE;
    struct err err;
    assert_int_equal(rmdir(beside), -1);
    assert_int_equal(ingest_scratch_open(beside, &scratch, &err), RC_OK);
    ingest_scratch_close(&scratch);
    assert_int_equal(rmdir(beside), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_leave_each_other_alone),
                                       cmocka_unit_test(what_a_killed_run_left_is_removed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
