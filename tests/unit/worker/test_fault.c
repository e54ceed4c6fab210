/* Beats and faults: what a thread that crashes leaves behind, and what one that is killed does not. */
#include "worker/fault.h"

#include "base/clock.h"
#include "base/sanitizer.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct shm_beats *beats;

static int setup(void **state)
{
    (void)state;
    beats = mmap(NULL, sizeof *beats, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return beats == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(beats, sizeof *beats);
}

static void *crash_thread(void *deed)
{
    worker_fault_begin(7, "/crash", clock_monotonic_ms());
    (*(void (**)(void))deed)();
    worker_fault_end();
    return NULL;
}

/* In a child: one thread works well, another does `deed`; returns how the child ended. */
static int end_of(void (*deed)(void))
{
    static const int faults[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    shm_beat_reset(beats);
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
            signal(faults[i], SIG_DFL); /* cmocka has handlers of its own */
        worker_fault_watch(beats);
        worker_fault_begin(5, "/well", clock_monotonic_ms());
        pthread_t thread;
        pthread_create(&thread, NULL, crash_thread, &deed);
        pthread_join(thread, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* The beat of the connection, which must be there. */
static const struct shm_beat *beat_of(uint64_t connection_id)
{
    for (uint32_t i = 0; i < shm_beat_count(beats); i++)
        if (beats->beat[i].connection_id == connection_id)
            return &beats->beat[i];
    fail_msg("no beat of connection %d", (int)connection_id);
    return NULL;
}

static void read_nowhere(void)
{
    volatile char *volatile nowhere = (volatile char *)8;
    *nowhere = 1;
}

__attribute__((noinline)) static int recurse(volatile int *depth)
{
    volatile char frame[1024];
    frame[0] = (char)++*depth;
    return *depth < 1 << 30 ? recurse(depth) + frame[0] : 0;
}

static void overflow(void)
{
    volatile int depth = 0;
    recurse(&depth);
}

static void divide(void)
{
    volatile int one = 1;
    one /= atoi("0"); /* by a zero that no compiler sees */
    assert_int_equal(one, 1);
}

static void trap(void)
{
    __builtin_trap();
}

static void assert_own_fault(void (*deed)(void), int number)
{
    int status = end_of(deed);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
    assert_int_equal(beat_of(7)->fault_signal, number);
    assert_string_equal(beat_of(7)->target, "/crash");
    assert_true(beat_of(7)->frame_count > 2);
    assert_int_equal(beat_of(5)->fault_signal, 0);
    assert_int_equal(beats->beat[SHM_BEAT_STRAY].fault_signal, 0);
}

static void test_own_faults_are_noted(void **state)
{
    (void)state;
    assert_own_fault(abort, SIGABRT);
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_own_fault(read_nowhere, SIGSEGV);
    assert_own_fault(overflow, SIGSEGV);
    assert_own_fault(divide, SIGFPE);
    assert_own_fault(trap, SIGILL);
}

/* ---- from outside ---- */

static int sent;

/* Another process sends it, to the very thread that has a request. */
static void be_killed(void)
{
    pid_t victim = getpid(), thread = gettid();
    if (fork() == 0) {
        tgkill(victim, thread, sent);
        _exit(0);
    }
    for (;;)
        pause();
}

static void test_signals_from_outside_are_nobodys_fault(void **state)
{
    (void)state;
    static const int all[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGKILL, SIGTERM};
    for (size_t i = 0; i < (BASE_UNDER_SANITIZER ? 1 : sizeof all / sizeof all[0]); i++) {
        sent = all[i];
        int status = end_of(be_killed);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), sent);
        assert_int_equal(beat_of(7)->fault_signal, 0);
    }
}

/* ---- threads without a request ---- */

static void *abort_thread(void *argument)
{
    (void)argument;
    abort();
}

static void abort_elsewhere(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, abort_thread, NULL);
    pthread_join(thread, NULL);
}

static void test_a_thread_without_a_request_blames_none(void **state)
{
    (void)state;
    int status = end_of(abort_elsewhere);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_int_equal(beat_of(7)->fault_signal, 0);
    assert_int_equal(beat_of(5)->fault_signal, 0);
    assert_int_equal(beats->beat[SHM_BEAT_STRAY].fault_signal, SIGABRT);
}

/* ---- beats ---- */

static void ask_where(void)
{
    raise(SIGXCPU);
    abort();
}

static void show_life(void)
{
    struct shm_beat *beat = &beats->beat[1];
    int64_t before_ms = beat->alive_ms;
    worker_fault_wait();
    if (beat->alive_ms != 0)
        _exit(2);
    worker_fault_alive();
    worker_fault_allow(99);
    if (beat->alive_ms < before_ms || beat->alive_ms > clock_monotonic_ms() || beat->allowed_ms != 99)
        _exit(3);
    worker_fault_end();
    if (beat->connection_id != 0)
        _exit(4);
    worker_fault_begin(8, "/next", clock_monotonic_ms());
    if (beat->connection_id != 8 || beat->allowed_ms != 0 || strcmp(beat->target, "/next") != 0)
        _exit(5);
    _exit(0);
}

static void test_a_thread_shows_its_life(void **state)
{
    (void)state;
    int status = end_of(show_life);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    end_of(ask_where);
    assert_true(beat_of(7)->frame_count > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_faults_are_noted),
        cmocka_unit_test(test_signals_from_outside_are_nobodys_fault),
        cmocka_unit_test(test_a_thread_without_a_request_blames_none),
        cmocka_unit_test(test_a_thread_shows_its_life),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
