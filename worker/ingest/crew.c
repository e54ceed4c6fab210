#include "worker/ingest/crew.h"

#include "base/own.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct slot {
    bool done;
    enum rc rc;
    struct err err;
};

struct lane {
    struct ingest_crew *crew;
    unsigned number;
    pthread_t thread;
};

/* Tasks are numbered through; number n lies in slot n % capacity. head <= taken <= tail. */
struct ingest_crew {
    const struct ingest_crew_ops *ops;
    void *context;
    unsigned capacity, lane_count;
    struct lane *lane; /* the owner's, number 0, has no thread */

    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t added, finished;
    uint64_t head, taken, tail;
    bool leave;
    struct slot *slot;

    bool failed; /* the owner's: a task or settling has failed */
    struct err failure;
};

static struct slot *slot_of(const struct ingest_crew *crew, uint64_t number)
{
    return &crew->slot[number % crew->capacity];
}

/* With the mutex held, which is released meanwhile: does the next task nobody has taken. */
static void do_next(struct ingest_crew *crew, unsigned lane)
{
    uint64_t number = crew->taken++;
    struct slot *slot = slot_of(crew, number);
    struct err err = {0};

    pthread_mutex_unlock(&crew->mutex);
    enum rc rc = crew->ops->work(crew->context, (unsigned)(number % crew->capacity), lane, &err);
    pthread_mutex_lock(&crew->mutex);
    slot->rc = rc;
    slot->err = err;
    slot->done = true;
    if (number == crew->head)
        pthread_cond_signal(&crew->finished);
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    struct ingest_crew *crew = lane->crew;

    pthread_mutex_lock(&crew->mutex);
    while (!crew->leave) {
        if (crew->taken < crew->tail)
            do_next(crew, lane->number);
        else
            pthread_cond_wait(&crew->added, &crew->mutex);
    }
    pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

/* Signals are the business of the process's own threads. */
static void start_lanes(struct ingest_crew *crew, unsigned threads)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (crew->lane_count = 1; crew->lane_count < threads; crew->lane_count++) {
        struct lane *lane = &crew->lane[crew->lane_count];
        *lane = (struct lane){.crew = crew, .number = crew->lane_count};
        if (pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum rc ingest_crew_open(unsigned threads, unsigned capacity, const struct ingest_crew_ops *ops,
                         void *context, struct ingest_crew **ret_crew, struct err *err)
{
    assert(threads >= 1 && capacity >= 1);
    struct ingest_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the threads of a conversion");
    crew->ops = ops;
    crew->context = context;
    crew->capacity = capacity;
    crew->lane = calloc(threads, sizeof *crew->lane);
    crew->slot = calloc(capacity, sizeof *crew->slot);
    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->added, NULL);
    pthread_cond_init(&crew->finished, NULL);
    if (crew->lane == NULL || crew->slot == NULL) {
        ingest_crew_close(&crew);
        return err_set(err, RC_NO_MEMORY, "no memory for the threads of a conversion");
    }
    start_lanes(crew, threads);
    *ret_crew = crew;
    return RC_OK;
}

void ingest_crew_close(struct ingest_crew **slot)
{
    struct ingest_crew *crew = TAKE_PTR(*slot);

    if (crew == NULL)
        return;
    pthread_mutex_lock(&crew->mutex);
    crew->leave = true;
    pthread_cond_broadcast(&crew->added);
    pthread_mutex_unlock(&crew->mutex);
    for (unsigned i = 1; i < crew->lane_count; i++)
        pthread_join(crew->lane[i].thread, NULL);
    for (; crew->head < crew->tail; crew->head++)
        crew->ops->discard(crew->context, (unsigned)(crew->head % crew->capacity));
    pthread_cond_destroy(&crew->added);
    pthread_cond_destroy(&crew->finished);
    pthread_mutex_destroy(&crew->mutex);
    free(crew->lane);
    free(crew->slot);
    free(crew);
}

/* ---- the owner ---- */

static enum rc fail(struct ingest_crew *crew, enum rc rc, const struct err *why, struct err *err)
{
    crew->failed = true;
    crew->failure = *why;
    crew->failure.rc = rc;
    if (err != NULL)
        *err = crew->failure;
    return rc;
}

/* With the mutex held: settles the head, which is done, releasing the mutex meanwhile. */
static enum rc settle_head(struct ingest_crew *crew, struct err *err)
{
    struct slot *slot = slot_of(crew, crew->head);
    unsigned task = (unsigned)(crew->head % crew->capacity);
    struct err why = slot->err;
    enum rc rc = slot->rc;

    pthread_mutex_unlock(&crew->mutex);
    if (rc == RC_OK)
        rc = crew->ops->settle(crew->context, task, &why);
    else
        crew->ops->discard(crew->context, task);
    pthread_mutex_lock(&crew->mutex);
    slot->done = false;
    crew->head++;
    return rc == RC_OK ? RC_OK : fail(crew, rc, &why, err);
}

static enum rc refused(const struct ingest_crew *crew, struct err *err)
{
    if (err != NULL)
        *err = crew->failure;
    return crew->failure.rc;
}

static enum rc step_locked(struct ingest_crew *crew, struct err *err)
{
    assert(crew->head < crew->tail);
    if (slot_of(crew, crew->head)->done)
        return settle_head(crew, err);
    if (crew->taken < crew->tail)
        do_next(crew, 0);
    else
        pthread_cond_wait(&crew->finished, &crew->mutex);
    return RC_OK;
}

enum rc ingest_crew_step(struct ingest_crew *crew, struct err *err)
{
    if (crew->failed)
        return refused(crew, err);
    pthread_mutex_lock(&crew->mutex);
    enum rc rc = step_locked(crew, err);
    pthread_mutex_unlock(&crew->mutex);
    return rc;
}

enum rc ingest_crew_drain(struct ingest_crew *crew, struct err *err)
{
    enum rc rc = crew->failed ? refused(crew, err) : RC_OK;

    pthread_mutex_lock(&crew->mutex);
    while (rc == RC_OK && crew->head < crew->tail)
        rc = step_locked(crew, err);
    pthread_mutex_unlock(&crew->mutex);
    return rc;
}

enum rc ingest_crew_slot(struct ingest_crew *crew, unsigned *ret_task, struct err *err)
{
    enum rc rc = crew->failed ? refused(crew, err) : RC_OK;

    pthread_mutex_lock(&crew->mutex);
    /* What is finished already is settled now, so that results do not pile up. */
    while (rc == RC_OK && crew->head < crew->tail &&
           (slot_of(crew, crew->head)->done || crew->tail - crew->head == crew->capacity))
        rc = step_locked(crew, err);
    uint64_t next = crew->tail;
    pthread_mutex_unlock(&crew->mutex);
    if (rc == RC_OK)
        *ret_task = (unsigned)(next % crew->capacity);
    return rc;
}

void ingest_crew_add(struct ingest_crew *crew)
{
    pthread_mutex_lock(&crew->mutex);
    crew->tail++;
    pthread_cond_signal(&crew->added);
    pthread_mutex_unlock(&crew->mutex);
}
