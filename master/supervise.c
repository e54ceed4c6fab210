#include "master/supervise.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/accept.h"
#include "master/child.h"
#include "master/connection.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define RETRY_MS 10         /* while channels are full */
#define CLOSED_GRACE_MS 1000 /* between the end of a worker's channel and the end of its process */
#define KILL_GRACE_MS 5000  /* until a killed process that does not go is left to its fate */
#define LAST_ROUNDS 100     /* of accepting, before the public listener closes */
#define MESSAGES_AT_ONCE 256
#define EVENTS_AT_ONCE 64

enum event_kind { EVENT_SIGNAL, EVENT_PUBLIC, EVENT_ADMIN, EVENT_CHANNEL };

struct supervisor {
    const struct settings *settings;
    struct shm_segment *segment;
    struct master_connections *connections;
    struct master_acceptor public, admin;
    int epoll, signals;
    uint32_t child_count;
    struct master_child *child;
    bool ran_well;            /* some worker has served with these settings */
    unsigned attempts_failed; /* workers in a row that ended before they served */
    bool stopping;
    int64_t give_up_ms;       /* stopping: when children are no longer waited for; 0: not killed yet */
};

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms == 0 || (b_ms != 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static uint64_t event_data(enum event_kind kind, uint32_t index)
{
    return (uint64_t)kind << 32 | index;
}

static bool supervise_watch(struct supervisor *s, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Connections and workers -------------------------------------------------------------------------------------- */

/* Connections it holds and renders that wait in it. The second number comes from shared memory, where a broken worker can
 * write anything: it is bounded, and the worst it can do is to attract or repel connections. */
static uint64_t supervise_load(const struct supervisor *s, const struct master_child *child)
{
    uint64_t queued = atomic_load_explicit(&s->segment->slot[child->slot].queued, memory_order_relaxed);
    uint64_t most = (uint64_t)s->settings->queue_length + SHM_MAX_WORKERS;
    return master_connection_count(s->connections, child->slot) + (queued < most ? queued : most);
}

/* The least busy of those that take connections, NULL when there is none. While the server leaves, workers that drain still
 * get what had been accepted before, and who asks on the admin listener. */
static struct master_child *supervise_choose(struct supervisor *s)
{
    struct master_child *best = NULL;
    uint64_t least = 0;
    for (uint32_t i = 0; i < s->child_count; i++) {
        struct master_child *child = &s->child[i];
        bool serves = child->state == CHILD_SERVING || (s->stopping && child->state == CHILD_DRAINING);
        if (!serves || child->is_full)
            continue;
        uint64_t load = supervise_load(s, child);
        if (best == NULL || load < least) {
            best = child;
            least = load;
        }
    }
    return best;
}

/* Gives every connection that waits to a worker, as far as workers take them. */
static void supervise_hand_out(struct supervisor *s)
{
    struct master_connection *connection;
    struct master_child *child;
    while ((connection = master_connection_first(s->connections, MASTER_CONNECTION_WAITING)) != NULL &&
           (child = supervise_choose(s)) != NULL) {
        struct worker_message message;
        memset(&message, 0, sizeof message);
        message.kind = WORKER_ADOPT;
        message.admin = connection->is_admin;
        message.connection_id = master_connection_id(connection);
        message.peer = connection->peer;
        struct err err = {0};
        enum rc rc = master_child_send(child, &message, connection->fd, &err);
        if (rc == RC_OK)
            master_connection_move(s->connections, connection, child->slot);
        else if (rc != RC_BUSY)
            child->is_full = true; /* its end of the channel is gone; the event that says so is on its way */
    }
}

/* What a dead worker leaves: connections that nobody serves. Those it was answering on cannot go on. */
static void supervise_orphans(struct supervisor *s, uint32_t slot)
{
    struct master_connection *connection;
    while ((connection = master_connection_first(s->connections, slot)) != NULL)
        master_connection_end(s->connections, connection);
}

/* The life of a worker ----------------------------------------------------------------------------------------- */

static void supervise_set_state(struct supervisor *s, struct master_child *child, enum master_child_state state)
{
    static const enum shm_slot_state shown[] = {[CHILD_NONE] = SHM_SLOT_FREE,
                                                [CHILD_STARTING] = SHM_SLOT_STARTING,
                                                [CHILD_SERVING] = SHM_SLOT_SERVING,
                                                [CHILD_DRAINING] = SHM_SLOT_DRAINING,
                                                [CHILD_LEAVING] = SHM_SLOT_DRAINING};
    child->state = state;
    atomic_store_explicit(&s->segment->slot[child->slot].state, shown[state], memory_order_relaxed);
}

/* Counts an attempt that ended before the worker served, and sets the time of the next. */
static void supervise_retry_later(struct supervisor *s, struct master_child *child)
{
    int64_t pause_ms = master_child_pause_ms(++s->attempts_failed);
    child->respawn_at_ms = clock_monotonic_ms() + pause_ms;
    log_info("worker %u is tried again in %" PRId64 " ms", child->slot, pause_ms);
}

static void supervise_spawn(struct supervisor *s, struct master_child *child)
{
    struct err err = {0};
    if (master_child_spawn(child, s->settings, s->segment, &err) != RC_OK) {
        log_error("%s", err.message);
        supervise_retry_later(s, child);
        return;
    }
    if (!supervise_watch(s, child->channel, event_data(EVENT_CHANNEL, child->slot))) {
        log_error("worker %u cannot be heard: %s", child->slot, strerror(errno));
        master_child_kill(child, SIGKILL);
    }
    log_debug("worker %u has pid %d", child->slot, (int)child->pid);
}

static void supervise_tell_drain(struct master_child *child)
{
    struct worker_message message;
    memset(&message, 0, sizeof message);
    message.kind = WORKER_DRAIN;
    struct err err = {0};
    child->drain_untold = master_child_send(child, &message, -1, &err) == RC_BUSY;
}

static void supervise_ready(struct supervisor *s, struct master_child *child)
{
    if (child->was_ready)
        return;
    child->was_ready = true;
    s->ran_well = true;
    s->attempts_failed = 0;
    if (child->state == CHILD_STARTING)
        supervise_set_state(s, child, CHILD_SERVING);
    log_info("worker %u (pid %d) serves", child->slot, (int)child->pid);
}

/* Hears a worker out, at most so many messages at a time. */
static void supervise_hear(struct supervisor *s, struct master_child *child)
{
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        struct worker_message message;
        struct err err = {0};
        enum rc rc = master_child_receive(child, &message, &err);
        if (rc == RC_BUSY)
            return;
        if (rc == RC_OK && message.kind == WORKER_READY) {
            supervise_ready(s, child);
        } else if (rc == RC_OK && message.kind == WORKER_CLOSED) {
            struct master_connection *ended =
                master_connection_find(s->connections, child->slot, message.connection_id);
            if (ended != NULL)
                master_connection_end(s->connections, ended);
        } else if (rc == RC_IO) {
            /* Usually the process ends now. One that only closed its channel is of no use to anybody. */
            epoll_ctl(s->epoll, EPOLL_CTL_DEL, child->channel, NULL);
            supervise_set_state(s, child, CHILD_LEAVING);
            child->kill_at_ms = earlier(child->kill_at_ms, clock_monotonic_ms() + CLOSED_GRACE_MS);
            return;
        } else {
            log_error("worker %u (pid %d) talks nonsense and is killed", child->slot, (int)child->pid);
            master_child_kill(child, SIGKILL);
            return;
        }
    }
}

static void supervise_log_end(struct supervisor *s, const struct master_child *child, pid_t pid, int status)
{
    char how[MASTER_CHILD_END_BYTES];
    double age_s = (double)(clock_monotonic_ms() - child->started_ms) / 1000;
    if (s->stopping && WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_DONE) {
        log_info("worker %u (pid %d) has drained after %.1f s of life", child->slot, (int)pid, age_s);
        return;
    }
    bool is_ours = s->give_up_ms != 0; /* who is killed by the master has not crashed */
    if (!is_ours)
        atomic_fetch_add_explicit(&s->segment->counters.crashes, 1, memory_order_relaxed);
    master_child_describe_end(status, how);
    log_write(is_ours ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
              "worker %u (pid %d) %s after %.1f s of life, %u connections are closed", child->slot, (int)pid, how,
              age_s, master_connection_count(s->connections, child->slot));
}

static void supervise_ended(struct supervisor *s, struct master_child *child, int status)
{
    pid_t pid = child->pid;
    child->pid = 0; /* from now on the number may be somebody else's: nothing may kill it */
    supervise_hear(s, child); /* its last words: connections that it had ended */
    supervise_log_end(s, child, pid, status);
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, child->channel, NULL);
    close(TAKE_FD(child->channel));
    supervise_orphans(s, child->slot);
    supervise_set_state(s, child, CHILD_NONE);
    atomic_store_explicit(&s->segment->slot[child->slot].pid, 0, memory_order_relaxed);
    child->kill_at_ms = child->respawn_at_ms = 0;
    child->drain_untold = false;
    if (s->stopping)
        return;
    if (child->was_ready)
        supervise_spawn(s, child);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG && !s->ran_well)
        log_error("worker %u is not started again", child->slot);
    else
        supervise_retry_later(s, child); /* also CONFIG, once these settings have been seen to work: a disc may be away */
}

static struct master_child *supervise_find(struct supervisor *s, pid_t pid)
{
    for (uint32_t i = 0; i < s->child_count; i++)
        if (s->child[i].pid == pid)
            return &s->child[i];
    return NULL; /* adopted from whoever started us with exec */
}

static void supervise_reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct master_child *child = supervise_find(s, pid);
        if (child != NULL)
            supervise_ended(s, child, status);
    }
}

/* Leaving ------------------------------------------------------------------------------------------------------ */

static void supervise_leave_now(struct supervisor *s, const char *why)
{
    master_acceptor_close(&s->public);
    s->stopping = true;
    if (s->give_up_ms != 0)
        return;
    log_info("%s: every worker is killed", why);
    s->give_up_ms = clock_monotonic_ms() + KILL_GRACE_MS;
    for (uint32_t i = 0; i < s->child_count; i++) {
        s->child[i].respawn_at_ms = 0;
        master_child_kill(&s->child[i], SIGKILL);
    }
}

/* The admin listener stays: who balances load must be able to read there that this server leaves. */
static void supervise_drain(struct supervisor *s)
{
    atomic_store_explicit(&s->segment->draining, 1, memory_order_relaxed);
    /* What the kernel has accepted for us would be reset by closing the listener. */
    for (int i = 0; i < LAST_ROUNDS && master_accept(&s->public, s->connections, s->segment); i++)
        ;
    master_acceptor_close(&s->public);
    supervise_hand_out(s);
    s->stopping = true;
    int64_t now_ms = clock_monotonic_ms();
    for (uint32_t i = 0; i < s->child_count; i++) {
        struct master_child *child = &s->child[i];
        child->respawn_at_ms = 0;
        if (child->state != CHILD_STARTING && child->state != CHILD_SERVING)
            continue;
        supervise_set_state(s, child, CHILD_DRAINING);
        supervise_tell_drain(child);
        child->kill_at_ms = now_ms + s->settings->drain_timeout_s * 1000;
    }
}

static void supervise_obey(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            supervise_reap(s);
            break;
        case SIGTERM:
        case SIGINT:
            if (s->stopping) {
                supervise_leave_now(s, "told to leave for the second time");
                break;
            }
            log_info("told to leave: answers in flight have %" PRId64 " s", s->settings->drain_timeout_s);
            supervise_drain(s);
            break;
        case SIGQUIT:
            supervise_leave_now(s, "told to leave at once");
            break;
        case SIGHUP:
            log_warning("HUP: this version cannot read its configuration again while it runs");
            break;
        case SIGUSR1:
            log_info("USR1: the log goes to standard error, there is no file to reopen");
            break;
        case SIGUSR2:
            log_warning("USR2: this version cannot hand over to another program");
            break;
        default:
            break;
        }
    }
}

/* The loop ----------------------------------------------------------------------------------------------------- */

/* Does what is due and returns when the next thing will be, 0: nothing is. */
static int64_t supervise_due(struct supervisor *s, int64_t now_ms)
{
    int64_t next_ms = 0;
    for (uint32_t i = 0; i < s->child_count; i++) {
        struct master_child *child = &s->child[i];
        child->is_full = false;
        if (child->respawn_at_ms != 0 && child->respawn_at_ms <= now_ms)
            supervise_spawn(s, child);
        if (child->drain_untold)
            supervise_tell_drain(child);
        if (child->kill_at_ms != 0 && child->kill_at_ms <= now_ms) {
            log_warning("worker %u (pid %d) did not leave in time and is killed", child->slot, (int)child->pid);
            master_child_kill(child, SIGKILL);
            child->kill_at_ms = 0;
            if (s->stopping && s->give_up_ms == 0)
                s->give_up_ms = now_ms + KILL_GRACE_MS;
        }
        next_ms = earlier(next_ms, child->respawn_at_ms);
        next_ms = earlier(next_ms, child->kill_at_ms);
        next_ms = earlier(next_ms, child->drain_untold ? now_ms + RETRY_MS : 0);
    }
    supervise_hand_out(s);
    /* Workers that took no more are asked again soon. Where there is no worker at all, its READY will be the event. */
    if (master_connection_first(s->connections, MASTER_CONNECTION_WAITING) != NULL)
        for (uint32_t i = 0; i < s->child_count; i++)
            next_ms = earlier(next_ms, s->child[i].is_full ? now_ms + RETRY_MS : 0);
    next_ms = earlier(next_ms, master_acceptor_resume(&s->public, s->epoll, now_ms));
    next_ms = earlier(next_ms, master_acceptor_resume(&s->admin, s->epoll, now_ms));
    return earlier(next_ms, s->give_up_ms);
}

static bool supervise_has_children(const struct supervisor *s)
{
    for (uint32_t i = 0; i < s->child_count; i++)
        if (s->child[i].pid != 0 || s->child[i].respawn_at_ms != 0)
            return true;
    return false;
}

static void supervise_event(struct supervisor *s, uint64_t data)
{
    switch ((enum event_kind)(data >> 32)) {
    case EVENT_SIGNAL:
        supervise_obey(s);
        break;
    case EVENT_PUBLIC:
        master_accept(&s->public, s->connections, s->segment);
        break;
    case EVENT_ADMIN:
        master_accept(&s->admin, s->connections, s->segment);
        break;
    case EVENT_CHANNEL: {
        struct master_child *child = &s->child[(uint32_t)data];
        if (child->channel >= 0 && child->state != CHILD_LEAVING)
            supervise_hear(s, child);
        break;
    }
    }
}

/* Returns the exit status. */
static int supervise_loop(struct supervisor *s)
{
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        int64_t next_ms = supervise_due(s, now_ms);
        if (!supervise_has_children(s)) {
            log_write(s->stopping ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s",
                      s->stopping ? "left" : "no worker can serve with this configuration");
            return s->stopping ? 0 : 1;
        }
        if (s->give_up_ms != 0 && s->give_up_ms <= now_ms) {
            log_error("a killed worker does not end; left without it");
            return 1;
        }
        int64_t patience_ms = next_ms == 0 ? -1 : next_ms > now_ms ? next_ms - now_ms : 0;
        struct epoll_event event[EVENTS_AT_ONCE];
        int count = epoll_wait(s->epoll, event, EVENTS_AT_ONCE, patience_ms < INT32_MAX ? (int)patience_ms : INT32_MAX);
        if (count < 0 && errno != EINTR) {
            log_error("the master cannot wait for events: %s", strerror(errno));
            return 1;
        }
        for (int i = 0; i < count; i++)
            supervise_event(s, event[i].data.u64);
    }
}

/* Setting up --------------------------------------------------------------------------------------------------- */

static enum rc supervise_take_signals(struct supervisor *s, struct err *err)
{
    static const int heard[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof heard / sizeof heard[0]; i++) {
        signal(heard[i], SIG_DFL); /* a signal that is ignored since before exec would not reach the descriptor */
        sigaddset(&set, heard[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return err_set_errno(err, RC_IO, errno, "signals cannot be blocked");
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signals < 0)
        return err_set_errno(err, RC_IO, errno, "no descriptor for signals");
    return RC_OK;
}

static enum rc supervise_start(struct supervisor *s, struct err *err)
{
    s->child = calloc(s->child_count, sizeof *s->child);
    if (s->child == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u workers", s->child_count);
    for (uint32_t i = 0; i < s->child_count; i++)
        s->child[i] = (struct master_child){.slot = i, .channel = -1};
    enum rc rc = shm_segment_make(s->child_count, &s->segment, err);
    if (rc == RC_OK)
        rc = master_connection_table_new((uint32_t)s->settings->max_connections,
                                         (uint32_t)s->settings->connections_per_address, &s->connections, err);
    if (rc == RC_OK)
        rc = supervise_take_signals(s, err);
    if (rc != RC_OK)
        return rc;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0 || !supervise_watch(s, s->signals, event_data(EVENT_SIGNAL, 0)) ||
        !supervise_watch(s, s->public.fd, s->public.event_data) ||
        (s->admin.fd >= 0 && !supervise_watch(s, s->admin.fd, s->admin.event_data)))
        return err_set_errno(err, RC_IO, errno, "events cannot be waited for");
    return RC_OK;
}

static void supervise_done(struct supervisor *s)
{
    master_connection_table_free(&s->connections);
    shm_segment_free(&s->segment);
    free(s->child);
    own_close(&s->signals);
    own_close(&s->epoll);
    own_close(&s->public.fd);
    own_close(&s->admin.fd);
}

int master_supervise(const struct settings *settings, uint32_t worker_count, struct master_sockets sockets)
{
    struct supervisor s = {.settings = settings,
                           .child_count = worker_count,
                           .public = {.fd = sockets.listen, .event_data = event_data(EVENT_PUBLIC, 0)},
                           .admin = {.fd = sockets.admin, .is_admin = true, .event_data = event_data(EVENT_ADMIN, 0)},
                           .epoll = -1,
                           .signals = -1};
    struct err err = {0};
    int status = 1;
    if (supervise_start(&s, &err) != RC_OK) {
        log_error("%s", err.message);
    } else {
        for (uint32_t i = 0; i < s.child_count; i++)
            supervise_spawn(&s, &s.child[i]);
        status = supervise_loop(&s);
    }
    supervise_done(&s);
    return status;
}
