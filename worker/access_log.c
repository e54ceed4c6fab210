#include "worker/access_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/heritage.h"

#include <errno.h>
#include <limits.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_BYTES  (64u << 10)
#define WAKE_BYTES   (SHM_LOG_RING_BYTES / 4) /* so much does not wait for the next look */
#define LOOK_MS      200
#define PAUSE_MS     100 /* after a write that failed, or for a pipe that is full */
#define SAY_AGAIN_MS 60000
#define LAST_MS      1000

struct access_log {
    struct shm_log_ring *ring;
    struct shm_tally *tally;
    const char *syslog_path; /* NULL: it is no syslog */
    bool is_stderr;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ends; /* under the lock */
    atomic_bool is_urgent;
    /* Event thread. */
    struct log_pause dropped;
    uint64_t unsaid;
    /* Writer. */
    bool is_torn; /* a line was begun and not ended */
    int last_errno;
    struct log_pause failed;
    char batch[BATCH_BYTES];
};

/* ---- the writer ---- */

static int fd_of(const struct access_log *log)
{
    return log->is_stderr ? STDERR_FILENO : WORKER_FD_ACCESS;
}

static size_t count_lines(const char *text, size_t length)
{
    size_t lines = 0;
    for (const char *end = text + length; (text = memchr(text, '\n', (size_t)(end - text))) != NULL; text++)
        lines++;
    return lines;
}

/* Nobody takes them: they are as good as never put in. */
static void give_up(struct access_log *log, size_t length)
{
    if (log_may_say(&log->failed, SAY_AGAIN_MS))
        log_warning("the access log cannot be written: %s; lines are dropped", strerror(log->last_errno));
    atomic_fetch_add_explicit(&log->tally->log_dropped, count_lines(log->batch, length),
                              memory_order_relaxed);
    shm_log_ring_take(log->ring, length);
}

static bool write_syslog(struct access_log *log, size_t length)
{
    for (char *line = log->batch, *end = log->batch + length; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        *stop = '\0';
        if (!log_syslog_send(WORKER_FD_ACCESS, log->syslog_path, 6, line, false)) {
            *stop = '\n';
            return false;
        }
        shm_log_ring_take(log->ring, (size_t)(stop + 1 - line));
        line = stop + 1;
    }
    return true;
}

/* A pipe takes up to PIPE_BUF bytes whole, and no write of others comes between. */
static size_t fit_pipe(const struct access_log *log, size_t length)
{
    if (length <= PIPE_BUF)
        return length;
    const char *end = memrchr(log->batch, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - log->batch) + 1 : length;
}

/* Writes the oldest lines. False: nothing was written, and it is not worth trying again at once. */
static bool write_batch(struct access_log *log)
{
    struct stat status;
    size_t length = shm_log_ring_peek(log->ring, log->batch, sizeof log->batch);
    if (length == 0)
        return false;
    if (log->syslog_path != NULL)
        return write_syslog(log, length);
    int fd = fd_of(log);
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (!is_file) {
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        if (poll(&room, 1, 0) == 0)
            return false; /* the ring fills, and then lines are dropped */
        length = fit_pipe(log, length);
    }
    if (log->is_torn && write(fd, "\n", 1) == 1)
        log->is_torn = false;
    ssize_t count = write(fd, log->batch, length);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (count < 0) { /* the disk is full, the reader is gone */
        log->last_errno = errno;
        give_up(log, length);
        return false;
    }
    log->is_torn = (size_t)count < length && log->batch[count > 0 ? count - 1 : 0] != '\n';
    if (log->is_torn) { /* of a line that is cut the rest is dropped */
        const char *end = memchr(log->batch + count, '\n', length - (size_t)count);
        atomic_fetch_add_explicit(&log->tally->log_dropped, 1, memory_order_relaxed);
        count = end - log->batch + 1;
    }
    shm_log_ring_take(log->ring, (size_t)count);
    return true;
}

static void wait_for_lines(struct access_log *log, int ms)
{
    pthread_mutex_lock(&log->lock);
    if (!log->ends && !atomic_load_explicit(&log->is_urgent, memory_order_relaxed))
        clock_wait_until(&log->wake, &log->lock, clock_monotonic_ms() + ms);
    pthread_mutex_unlock(&log->lock);
}

static bool has_ended(struct access_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool ends = log->ends;
    pthread_mutex_unlock(&log->lock);
    return ends;
}

static bool is_empty(struct access_log *log)
{
    return shm_log_ring_peek(log->ring, log->batch, sizeof log->batch) == 0;
}

static void *run(void *context)
{
    struct access_log *log = context;
    int64_t give_up_ms = 0;
    pthread_setname_np(pthread_self(), "access log");
    for (;;) {
        bool ends = has_ended(log);
        if (ends && give_up_ms == 0)
            give_up_ms = clock_monotonic_ms() + LAST_MS;
        if (write_batch(log))
            continue;
        if (ends && (is_empty(log) || clock_monotonic_ms() >= give_up_ms))
            return NULL;
        bool is_stuck = !is_empty(log);
        atomic_store_explicit(&log->is_urgent, false, memory_order_relaxed);
        if (is_stuck || ends)
            nanosleep(&(struct timespec){.tv_nsec = ends ? 5000000 : PAUSE_MS * 1000000L}, NULL);
        else
            wait_for_lines(log, LOOK_MS);
    }
}

/* ---- the event thread ---- */

static void say_dropped(struct access_log *log)
{
    log->unsaid++;
    if (!log_may_say(&log->dropped, SAY_AGAIN_MS))
        return;
    log_warning("the access log does not keep up: %" PRIu64 " lines were dropped", log->unsaid);
    log->unsaid = 0;
}

void access_log_put(struct access_log *log, const char *line, size_t length)
{
    size_t held = 0;
    if (!shm_log_ring_put(log->ring, line, length, &held)) {
        atomic_fetch_add_explicit(&log->tally->log_dropped, 1, memory_order_relaxed);
        say_dropped(log);
        return;
    }
    if (held < WAKE_BYTES || atomic_exchange_explicit(&log->is_urgent, true, memory_order_relaxed))
        return;
    pthread_mutex_lock(&log->lock);
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
}

/* ---- coming and going ---- */

enum rc access_log_start(const struct settings *settings, struct shm_log_ring *ring, struct shm_tally *tally,
                         struct access_log **ret_log, struct err *err)
{
    struct access_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the access log");
    log->ring = ring;
    log->tally = tally;
    log->syslog_path = settings_syslog_path(settings->access_log);
    log->is_stderr = strcmp(settings->access_log, "stderr") == 0;
    pthread_cond_init(&log->wake, NULL);
    pthread_mutex_init(&log->lock, NULL);
    int failed = pthread_create(&log->thread, NULL, run, log);
    if (failed != 0) {
        free(log);
        return err_set_errno(err, RC_IO, failed, "the thread of the access log cannot start");
    }
    *ret_log = log;
    return RC_OK;
}

void access_log_stop(struct access_log **slot)
{
    struct access_log *log = TAKE_PTR(*slot);
    struct timespec until;
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    log->ends = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2 * LAST_MS / 1000;
    if (pthread_timedjoin_np(log->thread, NULL, &until) != 0)
        return; /* the process ends, and the thread with it */
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
