#include "worker/worker.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"
#include "worker/account.h"
#include "worker/fault.h"
#include "worker/http/server.h"
#include "worker/request.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BEAT_MS        1000 /* how often the slot shows that the control thread lives */
#define RETRY_MS       10   /* while messages wait for room in the channel */
#define NEWS_MS        2    /* how long news wait for company */
#define DRAIN_LOOK_MS  20
#define RETIRE_LOOK_MS 10
/* So that a tier which always answers too late does not have one worker chase the other. */
#define TIER_AGAIN_MS 5000

struct worker_news {
    enum worker_message_kind kind; /* CLOSED or RELEASED */
    uint64_t connection_id;
};

/* What the control thread and the event thread of one worker share. */
struct worker {
    const struct worker_heritage *heritage;
    struct shm_slot *slot;
    struct worker_service *service;
    struct http_server *server;
    struct access_log *access_log; /* NULL: none */
    int channel;
    int news; /* an eventfd: something is to be told */
    /* Control thread only. */
    bool draining, retiring;
    int answer_fd;       /* worker_service_answer_fd(), until it has been told */
    int tier_answer_fd;  /* worker_service_tier_answer_fd(), likewise, */
    int64_t tier_due_ms; /* but not before */
    int64_t news_due_ms; /* when to tell what there is; 0: nothing new */
    bool has_told;       /* nothing was left over for want of room in the channel */
    /* Connections whose end or release is to be told. Room for all there can be, so that nothing is lost and the
     * event thread never waits. */
    pthread_mutex_t lock;
    struct worker_news *untold;
    size_t untold_count, untold_capacity;
};

/* Telling the master ------------------------------------------------------------------------------------- */

static enum rc worker_say(struct worker *worker, const struct worker_message *message)
{
    struct err err = {0};
    return fdio_send(worker->channel, message, sizeof *message, -1, &err);
}

/* The next thing to say: a release, or as many ends in a row as one message holds. Returns how many it holds. */
static size_t worker_compose(const struct worker *worker, struct worker_message *ret_message)
{
    const struct worker_news *last = &worker->untold[worker->untold_count - 1];
    memset(ret_message, 0, sizeof *ret_message);
    ret_message->kind = last->kind;
    if (last->kind != WORKER_CLOSED) {
        ret_message->connection_id = last->connection_id;
        return 1;
    }
    size_t at = worker->untold_count;
    while (at > 0 && ret_message->count < WORKER_CLOSED_AT_ONCE &&
           worker->untold[at - 1].kind == WORKER_CLOSED)
        ret_message->closed[ret_message->count++] = worker->untold[--at].connection_id;
    return ret_message->count;
}

/* Says what is to be told; true when nothing is left, false when the channel is full. A failure of another kind
 * means that the master is gone, which the control thread sees by itself. */
static bool worker_catch_up(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (worker->untold_count > 0) {
        struct worker_message message;
        size_t count = worker_compose(worker, &message);
        if (worker_say(worker, &message) == RC_BUSY)
            break;
        worker->untold_count -= count;
    }
    bool done = worker->untold_count == 0;
    pthread_mutex_unlock(&worker->lock);
    return done;
}

/* Each connection comes here once in its life with this worker. Never waits: the control thread does the talking. */
static void worker_tell(struct worker *worker, enum worker_message_kind kind, uint64_t connection_id)
{
    pthread_mutex_lock(&worker->lock);
    assert(worker->untold_count < worker->untold_capacity);
    worker->untold[worker->untold_count++] = (struct worker_news){kind, connection_id};
    bool is_first = worker->untold_count == 1;
    pthread_mutex_unlock(&worker->lock);
    if (is_first)
        (void)eventfd_write(worker->news, 1);
}

static void worker_on_closed(uint64_t connection_id, void *context)
{
    struct worker *worker = context;
    atomic_fetch_sub_explicit(&worker->slot->connections, 1, memory_order_relaxed);
    worker_tell(worker, WORKER_CLOSED, connection_id);
}

static void worker_on_released(uint64_t connection_id, void *context)
{
    struct worker *worker = context;
    atomic_fetch_sub_explicit(&worker->slot->connections, 1, memory_order_relaxed);
    worker_tell(worker, WORKER_RELEASED, connection_id);
}

static void worker_on_request(struct http_exchange *exchange, void *context)
{
    struct worker *worker = context;
    worker_service_handle(exchange, worker->service);
}

static void worker_on_answering(struct http_exchange *exchange, void *context)
{
    struct worker *worker = context;
    worker_account_answering(worker->service, exchange);
}

static void worker_on_ended(struct http_exchange *exchange, void *context)
{
    struct worker *worker = context;
    worker_account_ended(worker->service, exchange);
}

static void worker_on_recovered(void *context)
{
    struct worker *worker = context;
    atomic_fetch_add_explicit(&worker->heritage->segment->counters.answers_recovered, 1,
                              memory_order_relaxed);
}

/* Listening to the master -------------------------------------------------------------------------------- */

static void worker_adopt(struct worker *worker, const struct worker_message *message, int fd)
{
    struct err err = {0};
    /* Counted before: the connection may end before adopt returns. */
    atomic_fetch_add_explicit(&worker->slot->connections, 1, memory_order_relaxed);
    enum rc rc = http_server_adopt(worker->server, fd, &message->peer,
                                   message->admin != 0 ? HTTP_ADMIN : HTTP_PUBLIC, message->connection_id,
                                   &err);
    if (rc == RC_OK)
        return;
    log_warning("a connection could not be taken: %s", err.message);
    worker_on_closed(message->connection_id, worker);
}

/* Takes in what the master has said. False when the master is gone. */
static bool worker_listen(struct worker *worker)
{
    for (;;) {
        struct worker_message message;
        size_t length = 0;
        OWN_FD int fd = -1;
        struct err err = {0};
        enum rc rc = fdio_receive(worker->channel, &message, sizeof message, &length, &fd, &err);
        if (rc == RC_BUSY)
            return true;
        if (rc != RC_OK || length == 0)
            return false;
        assert(length == sizeof message);
        if (message.kind == WORKER_ADOPT && fd >= 0) {
            worker_adopt(worker, &message, TAKE_FD(fd));
        } else if (message.kind == WORKER_ADOPT) {
            log_warning("a connection was lost on its way: no descriptor is free");
            worker_tell(worker, WORKER_CLOSED, message.connection_id);
        } else if (message.kind == WORKER_ACCESS_LOG || message.kind == WORKER_ERROR_LOG) {
            int place = message.kind == WORKER_ACCESS_LOG ? WORKER_FD_ACCESS : STDERR_FILENO;
            if (fd < 0 || dup3(fd, place, place == STDERR_FILENO ? 0 : O_CLOEXEC) < 0)
                log_warning("the log could not be opened anew here; it goes on in the old file");
        } else if (message.kind == WORKER_DRAIN && !worker->draining) {
            worker->draining = true;
            http_server_drain(worker->server);
        } else if (message.kind == WORKER_RETIRE && !worker->retiring) {
            worker->retiring = true;
            http_server_retire(worker->server);
        }
    }
}

/* True when this worker has nothing more to do. How long that may take is the master's to decide: it kills
 * who does not come to an end. */
static bool worker_is_done(struct worker *worker)
{
    uint32_t left = worker->retiring ? http_server_release(worker->server)
                                     : http_server_connections(worker->server);
    return (worker->retiring || worker->draining) && left == 0 && worker_catch_up(worker);
}

static int worker_patience_ms(const struct worker *worker, int64_t now_ms)
{
    if (worker->news_due_ms != 0)
        return worker->news_due_ms > now_ms ? (int)(worker->news_due_ms - now_ms) : 0;
    return !worker->has_told  ? RETRY_MS
           : worker->retiring ? RETIRE_LOOK_MS
           : worker->draining ? DRAIN_LOOK_MS
                              : BEAT_MS;
}

/* The image directory or the lower tier answers now, or has been mounted anew. What is said in vain, into a
 * channel that is full, is said again in the next round. */
static void worker_ask_for_successor(struct worker *worker)
{
    const struct worker_message message = {.kind = WORKER_REPLACE};
    if (worker_say(worker, &message) == RC_OK)
        worker->answer_fd = worker->tier_answer_fd = -1;
}

/* Waits for the master's word, or for news to tell it, which then wait a little for others to join them. False when the
 * system does not let it wait. */
static bool worker_wait(struct worker *worker, int64_t now_ms)
{
    struct pollfd wait[] = {
        {.fd = worker->channel, .events = POLLIN},
        {.fd = worker->news_due_ms != 0 ? -1 : worker->news, .events = POLLIN},
        {.fd = worker->answer_fd, .events = POLLIN},
        {.fd = now_ms >= worker->tier_due_ms ? worker->tier_answer_fd : -1, .events = POLLIN}};
    if (poll(wait, 4, worker_patience_ms(worker, now_ms)) < 0 && errno != EINTR) {
        log_error("the control thread cannot wait: %s", strerror(errno));
        return false;
    }
    eventfd_t ignored;
    if (wait[1].revents != 0 && eventfd_read(worker->news, &ignored) == 0)
        worker->news_due_ms = clock_monotonic_ms() + NEWS_MS;
    if (wait[2].revents != 0 || wait[3].revents != 0)
        worker_ask_for_successor(worker);
    return true;
}

static int worker_control(struct worker *worker)
{
    int64_t last_beat_ms = 0;
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms - last_beat_ms >= BEAT_MS) {
            atomic_store_explicit(&worker->slot->beat_ms, (uint64_t)now_ms, memory_order_relaxed);
            last_beat_ms = now_ms;
        }
        if (worker_is_done(worker))
            return WORKER_EXIT_DONE;
        if (worker->news_due_ms <= now_ms && (worker->news_due_ms != 0 || !worker->has_told)) {
            worker->news_due_ms = 0;
            worker->has_told = worker_catch_up(worker);
        }
        if (!worker_wait(worker, now_ms))
            return WORKER_EXIT_FAILED;
        if (!worker_listen(worker))
            return WORKER_EXIT_ORPHAN;
    }
}

/* Coming and going --------------------------------------------------------------------------------------- */

/* A terminal and systemd send TERM, INT and QUIT to every process of the group; only the master decides what
 * follows. */
static void worker_ignore_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGRTMIN + 1, SIG_IGN); /* restart */
    signal(SIGCHLD, SIG_IGN);      /* a child that looked at a folder and was left behind leaves no zombie */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts a descriptor in its place; -1 leaves the place empty. By way of numbers above all places, so that none is overwritten
 * that is to be moved yet. */
static bool worker_move(int high, int place)
{
    return high < 0 || (dup3(high, place, O_CLOEXEC) == place);
}

static int worker_lift(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, WORKER_FD_SYSLOG + 1);
}

/* Returns the channel's new number, or -1. */
static int worker_keep_only(const struct worker_heritage *heritage)
{
    int channel = worker_lift(heritage->channel), access = worker_lift(heritage->access_log),
        syslog = worker_lift(heritage->syslog);
    close_range(WORKER_FD_CHANNEL, WORKER_FD_SYSLOG, 0);
    if (channel < 0 || !worker_move(channel, WORKER_FD_CHANNEL) || !worker_move(access, WORKER_FD_ACCESS) ||
        !worker_move(syslog, WORKER_FD_SYSLOG) || close_range(WORKER_FD_SYSLOG + 1, ~0u, 0) < 0)
        return -1;
    if (syslog >= 0)
        log_to_syslog(WORKER_FD_SYSLOG, settings_syslog_path(heritage->settings->error_log));
    return WORKER_FD_CHANNEL;
}

static enum rc worker_start(struct worker *worker, struct err *err)
{
    const struct settings *settings = worker->heritage->settings;
    worker->untold_capacity = WORKER_MOST_CONNECTIONS((size_t)settings->max_connections);
    worker->untold = calloc(worker->untold_capacity, sizeof *worker->untold);
    if (worker->untold == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu connections", worker->untold_capacity);
    worker->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->news < 0)
        return err_set(err, RC_IO, "no eventfd: %s", strerror(errno));
    enum rc rc = worker_service_start(worker->heritage, &worker->service, err);
    if (rc != RC_OK)
        return rc;
    if (strcmp(settings->access_log, "off") != 0)
        rc = access_log_start(settings, &worker->heritage->segment->log_ring[worker->heritage->slot],
                              worker->service->tally, &worker->access_log, err);
    if (rc != RC_OK)
        return rc;
    worker->service->access_log = worker->access_log;
    const struct http_server_options options = {
        .max_connections = (uint32_t)worker->untold_capacity,
        .idle_timeout_s = (uint32_t)settings->idle_timeout_s,
        .request_timeout_s = (uint32_t)settings->request_timeout_s,
        .journal = worker->heritage->journal,
        .trusted_proxies = settings->trusted_proxies,
        .max_header_bytes = (size_t)settings->max_header_bytes,
        .handle = worker_on_request,
        .answering = worker_on_answering,
        .ended = worker_on_ended,
        .recovered = worker_on_recovered,
        .closed = worker_on_closed,
        .released = worker_on_released,
        .context = worker,
    };
    return http_server_start(&options, &worker->server, err);
}

static void worker_stop(struct worker *worker)
{
    if (worker->service != NULL)
        worker_service_stop(&worker->service);
    if (worker->server != NULL)
        http_server_stop(&worker->server);
    access_log_stop(&worker->access_log);
    free(TAKE_PTR(worker->untold));
}

int worker_run(const struct worker_heritage *heritage)
{
    worker_ignore_signals();
    char role[32];
    snprintf(role, sizeof role, "worker %u", heritage->slot);
    log_init(role, settings_log_level(heritage->settings));
    struct worker worker = {.heritage = heritage,
                            .slot = &heritage->segment->slot[heritage->slot],
                            .channel = worker_keep_only(heritage),
                            .has_told = true,
                            .lock = PTHREAD_MUTEX_INITIALIZER};
    if (worker.channel < 0) {
        log_error("inherited descriptors could not be closed: %s", strerror(errno));
        return WORKER_EXIT_FAILED;
    }
    worker_fault_watch(&heritage->segment->beats[heritage->slot]);
    struct err err = {0};
    enum rc rc = worker_start(&worker, &err);
    if (rc != RC_OK) {
        log_error("it could not start: %s", err.message);
        worker_stop(&worker);
        return rc == RC_NO_MEMORY || rc == RC_BUSY ? WORKER_EXIT_FAILED : WORKER_EXIT_CONFIG;
    }
    const struct worker_message ready = {.kind = WORKER_READY};
    worker.answer_fd = worker_service_answer_fd(worker.service);
    worker.tier_answer_fd = worker_service_tier_answer_fd(worker.service);
    worker.tier_due_ms = clock_monotonic_ms() + TIER_AGAIN_MS;
    int status = worker_say(&worker, &ready) == RC_OK ? worker_control(&worker) : WORKER_EXIT_ORPHAN;
    /* Either nobody is left who could wait for what is under way, or the connections are somebody else's
     * now, and ending them in order would shut them down. */
    if (status == WORKER_EXIT_DONE && worker.retiring)
        access_log_stop(&worker.access_log);
    if (status != WORKER_EXIT_DONE || worker.retiring)
        _exit(status);
    worker_stop(&worker);
    return status;
}
