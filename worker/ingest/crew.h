/* Threads that work off tasks of one conversion, in any order, and hand the results back in the order of the
 * tasks.
 *
 * One thread, the owner, calls everything here. It adds tasks, and is a worker itself whenever it has to
 * wait: with N threads N - 1 are started. What must happen in order (writing to files) happens on the owner's
 * thread. The first failure, in the order of tasks, is the one that counts; whatever the number of threads,
 * outcome and order are the same. */
#ifndef WORKER_INGEST_CREW_H
#define WORKER_INGEST_CREW_H

#include "base/err.h"

struct ingest_crew;

struct ingest_crew_ops {
    /* Does task `task` (0 to capacity - 1, the slot's number) on thread `lane` (0 to threads - 1; 0 is the
     * owner). */
    enum rc (*work)(void *context, unsigned task, unsigned lane, struct err *err);
    /* Takes over a finished task's result; on the owner's thread, in order. Not called for tasks that failed,
     * nor behind one that failed. */
    enum rc (*settle)(void *context, unsigned task, struct err *err);
    /* Instead of settle() behind a failure, after work() or without. */
    void (*discard)(void *context, unsigned task);
};

/* Room for `capacity` unsettled tasks. Fewer threads than wanted are no failure. RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_crew_open(unsigned threads, unsigned capacity, const struct ingest_crew_ops *ops,
                                     void *context, struct ingest_crew **ret_crew, struct err *err);
/* Waits for the threads, discards what is unsettled. Fits OWN(). */
void ingest_crew_close(struct ingest_crew **crew);

/* A slot for the next task, which the caller fills in and then adds. Works and settles until there is one. */
RC_MUST_USE enum rc ingest_crew_slot(struct ingest_crew *crew, unsigned *ret_task, struct err *err);
void ingest_crew_add(struct ingest_crew *crew);

/* Settles what is finished at the head, or does a task, or waits for one: for an owner that cannot go on
 * before something was settled. Must not be called when everything is. */
RC_MUST_USE enum rc ingest_crew_step(struct ingest_crew *crew, struct err *err);
/* Until everything is settled. */
RC_MUST_USE enum rc ingest_crew_drain(struct ingest_crew *crew, struct err *err);

#endif
