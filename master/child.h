/* One worker as the master sees it: its process, its channel and its history. Lives in the master's private
 * table; what a child does to shared memory cannot reach it. */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

#include "base/err.h"
#include "worker/heritage.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum master_child_state {
    CHILD_NONE,     /* no process; respawn_at_ms says whether there will be one */
    CHILD_STARTING, /* forked, not heard of yet */
    CHILD_READY,    /* has said so; its generation does not serve yet */
    CHILD_SERVING,  /* gets connections */
    CHILD_DRAINING, /* has been told to leave */
    CHILD_RETIRING, /* has been told to give its connections back and leave */
    CHILD_LEAVING,  /* its channel has ended, the process not yet */
};

struct master_child {
    enum master_child_state state;
    uint32_t slot;
    uint32_t generation;            /* which reading of the configuration it serves */
    pid_t pid;                      /* 0: none */
    int channel;                    /* -1: none */
    bool was_ready;                 /* this process has served */
    bool was_retired;               /* has been told to give its connections back */
    bool is_discarded;              /* killed because it is not needed: no crash */
    bool is_to_be_replaced;         /* has asked for it */
    bool is_full;                   /* its channel took no more in this round */
    uint32_t untold;                /* WORKER_DRAIN or _RETIRE: the channel was full; 0: nothing */
    uint32_t untold_logs;           /* 1: the access log, 2: the error log; the same */
    int64_t memory_bytes;           /* its own, when it was last weighed */
    int64_t started_ms, kill_at_ms; /* 0: not to be killed */
    int64_t respawn_at_ms;          /* CHILD_NONE: when to fork the next one; 0: never */
    /* By the watchdog. */
    bool is_succeeded;  /* another was forked in its place: nobody follows when it ends */
    bool is_hung;       /* killed, or about to be, because it stood still, */
    uint32_t hung_beat; /* as this thread of it did */
    uint64_t hung_id;   /* over this connection; 0: all of it */
};

/* How long to wait before the next attempt, when workers die before they have served: doubles from 100 ms to
 * 10 s. */
int64_t master_child_pause_ms(unsigned attempts_failed);

/* Forks a process that runs `run` and ends with what it returns. The two have the ends of a SOCK_SEQPACKET
 * pair, ours non-blocking, and the process does not outlive its master. `name` is for the sentence where
 * that fails: RC_IO. */
RC_MUST_USE enum rc master_child_fork(const char *name, int (*run)(void *context, int channel), void *context,
                                      pid_t *ret_pid, int *ret_channel, struct err *err);

/* Forks a worker into the child's slot; of `child` only slot and generation stay. Of `heritage` slot, channel
 * and version are filled in here. In the new process this does not return. */
RC_MUST_USE enum rc master_child_spawn(struct master_child *child, const struct worker_heritage *inherited,
                                       struct err *err);

/* One of the worker's messages. RC_BUSY: there is none; RC_IO: its end of the channel is closed; RC_CORRUPT:
 * it is no message. */
RC_MUST_USE enum rc master_child_receive(struct master_child *child, struct worker_message *ret_message,
                                         struct err *err);
/* RC_BUSY: its channel is full (is_full is set then). */
RC_MUST_USE enum rc master_child_send(struct master_child *child, const struct worker_message *message,
                                      int sent_fd, struct err *err);
void master_child_kill(const struct master_child *child, int signal_number);

/* Its first thread has ended and it has not: others are about to, or one stands still in the kernel, in a
 * file system that hangs, say, and so keeps the process from ending. *ret_status is as waitpid() will give
 * it. */
bool master_child_is_dead(const struct master_child *child, int *ret_status);

#define MASTER_CHILD_END_BYTES 96
/* "was killed by signal 11 (Segmentation fault)", "left with status 3": `status` as waitpid() gives it. */
void master_child_describe_end(int status, char ret_text[MASTER_CHILD_END_BYTES]);

#endif
