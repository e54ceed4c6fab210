#include "shm/stripe.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

void shm_stripe_init(struct shm_stripe *stripe)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&stripe->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

#ifdef __SANITIZE_THREAD__ /* which does not know pthread_mutex_clocklock(); nobody sets the clock there */
#define PATIENT_CLOCK            CLOCK_REALTIME
#define patient_lock(mutex, end) pthread_mutex_timedlock(mutex, end)
#else
#define PATIENT_CLOCK            CLOCK_MONOTONIC
#define patient_lock(mutex, end) pthread_mutex_clocklock(mutex, PATIENT_CLOCK, end)
#endif

static int take_until(struct shm_stripe *stripe, unsigned patience_us)
{
    struct timespec end;
    clock_gettime(PATIENT_CLOCK, &end);
    end.tv_nsec += (long)patience_us * 1000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return patient_lock(&stripe->mutex, &end);
}

enum shm_stripe_taken shm_stripe_take(struct shm_stripe *stripe, unsigned patience_us)
{
    int failed = pthread_mutex_trylock(&stripe->mutex);
    if (failed == EBUSY && patience_us > 0)
        failed = take_until(stripe, patience_us);
    if (failed == EOWNERDEAD) {
        pthread_mutex_consistent(&stripe->mutex);
        return SHM_STRIPE_BROKEN;
    }
    return failed == 0 ? SHM_STRIPE_WHOLE : SHM_STRIPE_BUSY;
}

void shm_stripe_give(struct shm_stripe *stripe)
{
    int failed = pthread_mutex_unlock(&stripe->mutex);
    assert(failed == 0);
    (void)failed;
}
