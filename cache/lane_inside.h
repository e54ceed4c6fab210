/* What the two halves of the transport for slow folders share: lane_transport.c (jobs that wait, threads, giving up) and lane_job.c
 * (what a thread does with a job). For these only. */
#ifndef CACHE_LANE_INSIDE_H
#define CACHE_LANE_INSIDE_H

#include "cache/lane_transport.h"

#include <pthread.h>

#define LANE_MOST_THREADS 64u

/* What a thread works on is its own: the fetch may be given up, and gone, at any time while it reads. */
struct lane_job {
    struct lane_job *next;
    /* One of the two, until it is given up. Under the lane's mutex, as `delivers`. */
    struct transport_fetch *fetch;
    struct transport_listing *listing;
    bool is_listing;
    bool delivers; /* the thread is in one of the fetch's call-backs */
    int64_t deadline_ms;
    uint64_t offset, length;
    bool first, has_known;
    struct origin_version known;
    char *path;
};

struct lane {
    struct transport transport; /* first */
    int root_fd, other_root_fd; /* the second is -1, or open in place of a stale first */
    char *root_path, *name;
    int64_t timeout_ms;
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    bool cancelled, stopping;
    struct lane_job *first, **last;
    struct lane_job *at_work[LANE_MOST_THREADS];
    uint32_t thread_count, started, standing_still;
    pthread_t thread[LANE_MOST_THREADS], watcher;
    uint32_t created; /* of the threads; theirs who starts and closes */
    bool watched;
};

/* Whether nobody wants it any more. Under the mutex. */
static inline bool lane_job_is_given_up(const struct lane_job *job)
{
    return job->fetch == NULL && job->listing == NULL;
}

/* Reads the file or lists the folder, and ends the fetch or the listing unless it was given up. Without the mutex; may stand still
 * in the file system for any time. */
void lane_job_run(struct lane *lane, struct lane_job *job);

#endif
