/* Crashes and hangs, as far as a worker itself can tell of them: its threads' beats (shm/beat.h) and the
 * handler of the signals by which a thread kills its process.
 *
 * Any thread that works on a request brackets that with begin and end; its first begin takes one of the
 * worker's beats and gives the thread a signal stack of its own, so that even an overflow of its stack is
 * noted. When the thread commits a fault of its own (not one that was sent from outside, which anybody may
 * do to any process), the handler writes signal and backtrace into the beat; then the process dies of that
 * signal as it would have without us. What that means for the request is the master's to decide
 * (master/inquest.h).
 *
 * SIGXCPU, from the master, makes a thread write its backtrace into its beat and go on: it hangs, and will
 * be killed.
 *
 * Under a sanitizer only SIGABRT is handled, with which its reports end: the rest is the sanitizer's own.
 * One set of beats per process, after fork. */
#ifndef WORKER_FAULT_H
#define WORKER_FAULT_H

#include "shm/beat.h"

/* Before the first thread is made. NULL beats: nothing is noted, as in tests. */
void worker_fault_watch(struct shm_beats *beats);

/* The calling thread takes up a request at `now_ms` (monotonic); is done with it (which may be somebody else's or over by now). */
void worker_fault_begin(uint64_t connection_id, const char *target, int64_t now_ms);
void worker_fault_end(void);

/* It has got on with it. */
void worker_fault_alive(void);
/* It waits for other threads until it says alive again. */
void worker_fault_wait(void);
/* Until worker_fault_end() there may be no progress to show for so much longer than usual. */
void worker_fault_allow(uint32_t allowed_ms);

#endif
