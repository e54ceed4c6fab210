/* A stripe: a robust mutex of all processes over a part of a table in shared memory.
 *
 * Who holds it may be killed at any instruction: the next one is told so, makes the part what it was at the
 * beginning (empty), and goes on. Who holds it may also be stopped: nobody waits for long, and a caller that
 * does not get the stripe does without what it protects. While it is held: no I/O, no allocation, no second
 * stripe. Workers only; the master makes stripes before its first fork and never takes one. */
#ifndef SHM_STRIPE_H
#define SHM_STRIPE_H

#include <pthread.h>
#include <stdbool.h>

struct shm_stripe {
    _Alignas(64) pthread_mutex_t mutex;
};

enum shm_stripe_taken {
    SHM_STRIPE_BUSY,   /* not taken */
    SHM_STRIPE_WHOLE,  /* taken */
    SHM_STRIPE_BROKEN, /* taken, and whoever had it before has died: clear what it protects */
};

/* Master, before it forks. */
void shm_stripe_init(struct shm_stripe *stripe);
/* Waits for at most `patience_us` (0: not at all). */
enum shm_stripe_taken shm_stripe_take(struct shm_stripe *stripe, unsigned patience_us);
void shm_stripe_give(struct shm_stripe *stripe);

#endif
