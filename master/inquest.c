#include "master/inquest.h"

#include "base/own.h"

#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MOST_LINES   4 /* a broken worker shall not fill the log */
#define SKIP_FRAMES  2 /* the handler and the way into it */
#define PRINT_FRAMES 14

static bool is_fault_signal(uint32_t number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGABRT || number == SIGFPE ||
           number == SIGILL || number == SIGSYS;
}

/* "libjpeg.so.62(jpeg_start_decompress+0x1c) < vitrine(+0x2fa10)": who called whom, the innermost first. The
 * workers have the addresses from the fork, so the master's own tables explain them. */
static void describe_frames(const struct shm_beat *beat, char *ret_text, size_t size)
{
    void *frame[PRINT_FRAMES];
    uint32_t count = atomic_load_explicit(&beat->frame_count, memory_order_relaxed);
    int length = 0;
    for (uint32_t i = SKIP_FRAMES; i < count && i < SHM_BEAT_FRAMES && length < PRINT_FRAMES; i++)
        frame[length++] = (void *)(uintptr_t)beat->frame[i];
    OWN_FREE char **symbol = length > 0 ? backtrace_symbols(frame, length) : NULL;
    size_t used = (size_t)snprintf(ret_text, size, symbol != NULL ? "backtrace: " : "no backtrace");
    for (int i = 0; symbol != NULL && i < length && used < size; i++) {
        const char *slash = strrchr(symbol[i], '/');
        const char *name = slash != NULL ? slash + 1 : symbol[i];
        used += (size_t)snprintf(ret_text + used, size - used, "%s%.*s", i > 0 ? " < " : "",
                                 (int)strcspn(name, " "), name);
    }
}

/* The request's strikes, this one included; 0: its connection has ended, or there is none of that name. */
static uint32_t strike(struct master_crew *crew, uint32_t worker_slot, uint64_t connection_id,
                       uint32_t signal_number)
{
    if (master_connection_find(crew->connections, worker_slot, connection_id) == NULL)
        return 0;
    struct shm_journal_slot *slot = shm_journal_slot(crew->journal, connection_id);
    if (slot == NULL)
        return 0;
    atomic_store_explicit(&slot->strike_signal, signal_number, memory_order_relaxed);
    return atomic_fetch_add_explicit(&slot->strikes, 1, memory_order_relaxed) + 1;
}

static void judge(struct master_crew *crew, const struct master_child *child, pid_t pid,
                  const struct shm_beat *beat, uint32_t signal_number, bool may_log)
{
    uint64_t id = atomic_load_explicit(&beat->connection_id, memory_order_relaxed);
    uint32_t strikes = id != 0 ? strike(crew, child->slot, id, signal_number) : 0;
    atomic_fetch_add_explicit(&crew->segment->counters.faults, 1, memory_order_relaxed);
    if (!may_log)
        return;
    char target[SHM_BEAT_TARGET_BYTES], frames[2048], verdict[64];
    memcpy(target, beat->target, sizeof target);
    target[sizeof target - 1] = '\0';
    if (id == 0)
        snprintf(target, sizeof target, "no request");
    describe_frames(beat, frames, sizeof frames);
    if (strikes > 0)
        snprintf(verdict, sizeof verdict, "strike %" PRIu32, strikes);
    else
        snprintf(verdict, sizeof verdict, "nobody's strike");
    log_error("worker %u (pid %d) died of its own %s at work on %s: %s; %s", child->slot, (int)pid,
              signal_number == SIGKILL ? "standing still" : strsignal((int)signal_number), target, verdict,
              frames);
}

void master_inquest_hold(struct master_crew *crew, const struct master_child *child, pid_t pid)
{
    const struct shm_beats *beats = &crew->segment->beats[child->slot];
    uint32_t count = shm_beat_count(beats), found = 0;
    for (uint32_t i = 0; i <= count; i++) {
        const struct shm_beat *beat = &beats->beat[i < count ? i : SHM_BEAT_STRAY];
        uint32_t fault = atomic_load_explicit(&beat->fault_signal, memory_order_relaxed);
        bool hung = child->is_hung && child->hung_id != 0 && child->hung_beat == i && i < count &&
                    atomic_load_explicit(&beat->connection_id, memory_order_relaxed) == child->hung_id;
        if (is_fault_signal(fault) || hung)
            judge(crew, child, pid, beat, is_fault_signal(fault) ? fault : SIGKILL, found++ < MOST_LINES);
    }
}
