#include "worker/fault.h"

#include "base/clock.h"
#include "base/sanitizer.h"
#include "shm/pyramid_index.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* backtrace() walks with tables that it may have to decode: some kilobytes. */
#define STACK_BYTES ((size_t)64 << 10)

static struct shm_beats *watched;
static pid_t watched_pid;
static pthread_key_t stack_key; /* frees a thread's signal stack at its end */

static _Thread_local struct shm_beat *own_beat;
static _Thread_local bool is_introduced;

/* ---- the handler ---- */

/* Sent by kill() from whoever is allowed to, it says nothing about the thread it hits. The kernel lets only
 * a process itself send SI_TKILL with its own pid: raise() and abort(). */
static bool is_own_fault(const siginfo_t *info)
{
    return info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == watched_pid);
}

static void note_frames(struct shm_beat *beat)
{
    void *frame[SHM_BEAT_FRAMES];
    int count = backtrace(frame, SHM_BEAT_FRAMES);
    for (int i = 0; i < count; i++)
        beat->frame[i] = (uint64_t)(uintptr_t)frame[i];
    atomic_store_explicit(&beat->frame_count, (uint32_t)count, memory_order_release);
}

/* The watchdog wants to know where this thread stands, before it kills us. */
static void on_overdue(int signal_number)
{
    (void)signal_number;
    if (own_beat != NULL)
        note_frames(own_beat);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    struct shm_beat *beat = own_beat != NULL ? own_beat : &watched->beat[SHM_BEAT_STRAY];
    if (is_own_fault(info)) {
        if (shm_index_fault()) /* a damaged file is to blame, not the request */
            atomic_store_explicit(&beat->connection_id, 0, memory_order_relaxed);
        /* First what counts: should the walk go astray in a broken stack, SIGSEGV comes again and ends it. */
        atomic_store_explicit(&beat->fault_signal, (uint32_t)signal_number, memory_order_release);
        note_frames(beat);
    }
    /* SA_RESETHAND has put the default action back; the signal waits until this returns. */
    raise(signal_number);
}

static void install_handlers(void)
{
    static const int fault[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    size_t count = BASE_UNDER_SANITIZER ? 1 : sizeof fault / sizeof fault[0];
    for (size_t i = 0; i < count; i++)
        sigaction(fault[i], &action, NULL);
    struct sigaction overdue = {.sa_handler = on_overdue, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&overdue.sa_mask);
    sigaction(SIGXCPU, &overdue, NULL);
}

static void free_stack(void *memory)
{
    const stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(memory, STACK_BYTES);
}

void worker_fault_watch(struct shm_beats *beats)
{
    watched = beats;
    watched_pid = getpid();
    if (beats == NULL || pthread_key_create(&stack_key, free_stack) != 0) {
        watched = NULL;
        return;
    }
    void *frame[2];
    backtrace(frame, 2); /* the first call loads a library, which no signal handler may do */
    install_handlers();
}

/* ---- beats ---- */

static void introduce(void)
{
    is_introduced = true;
    own_beat = shm_beat_claim(watched);
    if (own_beat != NULL)
        atomic_store_explicit(&own_beat->thread, (int32_t)gettid(), memory_order_relaxed);
    if (BASE_UNDER_SANITIZER)
        return;
    stack_t stack = {.ss_size = STACK_BYTES};
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) == 0)
        pthread_setspecific(stack_key, stack.ss_sp);
}

void worker_fault_begin(uint64_t connection_id, const char *target, int64_t now_ms)
{
    if (watched == NULL)
        return;
    if (!is_introduced)
        introduce();
    if (own_beat != NULL)
        shm_beat_begin(own_beat, connection_id, target, now_ms);
}

void worker_fault_end(void)
{
    if (own_beat != NULL)
        shm_beat_end(own_beat);
}

void worker_fault_alive(void)
{
    if (own_beat != NULL)
        atomic_store_explicit(&own_beat->alive_ms, clock_monotonic_ms(), memory_order_relaxed);
}

void worker_fault_wait(void)
{
    if (own_beat != NULL)
        atomic_store_explicit(&own_beat->alive_ms, 0, memory_order_relaxed);
}

void worker_fault_allow(uint32_t allowed_ms)
{
    if (own_beat != NULL)
        atomic_store_explicit(&own_beat->allowed_ms, allowed_ms, memory_order_relaxed);
}
