#include "worker/derivative_inside.h"

#define IDLE_LOOK_MS 10000 /* while nobody waits */

static void refuse_all(struct worker_wanted *late)
{
    struct err err;
    err_set(&err, RC_BUSY, "the image took too long, please try again");
    for (struct worker_wanted *next; late != NULL; late = next) {
        next = late->next;
        late->refuse(late, &err);
    }
}

static void *watch(void *argument)
{
    struct worker_derivatives *derivatives = argument;
    pthread_setname_np(pthread_self(), "derivatives");
    for (;;) {
        uint32_t rung = shm_lease_rung(&derivatives->holder);
        pthread_mutex_lock(&derivatives->lock);
        bool quits = derivatives->quits, is_idle = derivatives->waiting == 0;
        pthread_mutex_unlock(&derivatives->lock);
        if (quits)
            return NULL;
        struct worker_wanted *late = NULL;
        struct worker_flight *flight = worker_flight_table_take(derivatives, &late);
        refuse_all(late);
        for (struct worker_flight *next; flight != NULL; flight = next) {
            next = flight->taken;
            worker_flight_go_on(flight);
        }
        shm_lease_wait(&derivatives->holder, rung, is_idle ? IDLE_LOOK_MS : SHM_LEASE_LOOK_MS);
    }
}

enum rc worker_flight_watch_start(struct worker_derivatives *derivatives, struct err *err)
{
    int failed = pthread_create(&derivatives->watch, NULL, watch, derivatives);
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed,
                             "the thread that waits for others' derivatives cannot start");
    derivatives->watches = true;
    return RC_OK;
}

void worker_flight_watch_stop(struct worker_derivatives *derivatives)
{
    if (!derivatives->watches)
        return;
    pthread_mutex_lock(&derivatives->lock);
    derivatives->quits = true;
    pthread_mutex_unlock(&derivatives->lock);
    shm_lease_ring(&derivatives->holder);
    pthread_join(derivatives->watch, NULL);
    derivatives->watches = false;
}

void worker_flight_watch_done(struct worker_derivatives *derivatives)
{
    for (uint32_t i = 0; i < WORKER_FLIGHT_BUCKETS; i++)
        for (struct worker_flight *flight = derivatives->bucket[i], *next; flight != NULL; flight = next) {
            next = flight->chain;
            refuse_all(flight->first);
            worker_flight_free(flight);
        }
}
