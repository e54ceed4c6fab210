#include "master/child.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "master/manual.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PAUSE_FIRST_MS 100
#define PAUSE_MOST_MS  10000

int64_t master_child_pause_ms(unsigned attempts_failed)
{
    int64_t pause_ms = PAUSE_FIRST_MS;
    for (unsigned i = 1; i < attempts_failed && pause_ms < PAUSE_MOST_MS; i++)
        pause_ms *= 2;
    return pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS;
}

enum rc master_child_fork(const char *name, int (*run)(void *context, int channel), void *context,
                          pid_t *ret_pid, int *ret_channel, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set_errno(err, RC_IO, errno, "no channel for %s", name);
    OWN_FD int ours = pair[0];
    OWN_FD int theirs = pair[1];
    pid_t master = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_set_errno(err, RC_IO, errno, "%s could not be forked", name);
    if (pid == 0) {
        /* A worker sees the end of its channel by itself; this is for one that is stopped or busy and sees
         * nothing. The master may have died before the call, then nobody sends the signal any more. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != master)
            _exit(WORKER_EXIT_ORPHAN);
        exit(run(context, theirs));
    }
    *ret_pid = pid;
    *ret_channel = TAKE_FD(ours);
    return RC_OK;
}

static int child_run(void *context, int channel)
{
    struct worker_heritage heritage = *(const struct worker_heritage *)context;
    heritage.channel = channel;
    return worker_run(&heritage);
}

enum rc master_child_spawn(struct master_child *child, const struct worker_heritage *inherited,
                           struct err *err)
{
    struct worker_heritage heritage = *inherited;
    struct shm_segment *segment = heritage.segment;
    heritage.slot = child->slot;
    heritage.version = VITRINE_VERSION;
    char name[32];
    snprintf(name, sizeof name, "worker %u", child->slot);
    shm_segment_reset_slot(segment, child->slot, SHM_SLOT_STARTING);
    pid_t pid;
    int channel;
    enum rc rc = master_child_fork(name, child_run, &heritage, &pid, &channel, err);
    if (rc != RC_OK) {
        shm_segment_reset_slot(segment, child->slot, SHM_SLOT_FREE);
        return rc;
    }
    atomic_store_explicit(&segment->slot[child->slot].pid, pid, memory_order_relaxed);
    atomic_store_explicit(&segment->tally[child->slot].started_ms, clock_monotonic_ms(),
                          memory_order_relaxed);
    *child = (struct master_child){.state = CHILD_STARTING,
                                   .slot = child->slot,
                                   .generation = child->generation,
                                   .pid = pid,
                                   .channel = channel,
                                   .started_ms = clock_monotonic_ms()};
    return RC_OK;
}

enum rc master_child_receive(struct master_child *child, struct worker_message *ret_message, struct err *err)
{
    struct worker_message message;
    size_t length = 0;
    OWN_FD int fd = -1; /* workers send none; one that comes is closed */
    enum rc rc = fdio_receive(child->channel, &message, sizeof message, &length, &fd, err);
    if (rc != RC_OK)
        return rc;
    if (length == 0)
        return err_set(err, RC_IO, "worker %u has closed its channel", child->slot);
    if (length != sizeof message)
        return err_set(err, RC_CORRUPT, "worker %u sent %zu bytes that are no message", child->slot, length);
    *ret_message = message;
    return RC_OK;
}

enum rc master_child_send(struct master_child *child, const struct worker_message *message, int sent_fd,
                          struct err *err)
{
    enum rc rc = fdio_send(child->channel, message, sizeof *message, sent_fd, err);
    if (rc == RC_BUSY)
        child->is_full = true;
    return rc;
}

void master_child_kill(const struct master_child *child, int signal_number)
{
    if (child->pid > 0)
        kill(child->pid, signal_number);
}

bool master_child_is_dead(const struct master_child *child, int *ret_status)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child->pid);
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *state = strrchr(text, ')'), *status = strrchr(text, ' '); /* the third field, and the last */
    if (state == NULL || strncmp(state, ") Z ", 4) != 0)
        return false;
    *ret_status = atoi(status + 1); /* 0 to who may not know */
    if (*ret_status == 0)
        *ret_status = SIGKILL;
    return true;
}

void master_child_describe_end(int status, char ret_text[MASTER_CHILD_END_BYTES])
{
    if (WIFSIGNALED(status))
        snprintf(ret_text, MASTER_CHILD_END_BYTES, "was killed by signal %d (%s%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else if (WEXITSTATUS(status) == WORKER_EXIT_CONFIG)
        snprintf(ret_text, MASTER_CHILD_END_BYTES, "cannot serve with this configuration");
    else
        snprintf(ret_text, MASTER_CHILD_END_BYTES, "left with status %d", WEXITSTATUS(status));
}
