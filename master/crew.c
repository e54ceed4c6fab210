#include "master/crew.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/dealing.h"
#include "master/inquest.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

#define RETRY_MS         10   /* while a channel is full */
#define CLOSED_GRACE_MS  1000 /* between the end of a worker's channel and the end of its process */
#define KILL_GRACE_MS    5000 /* until a killed process that does not go is left to its fate */
#define MESSAGES_AT_ONCE 256

/* The life of a worker ----------------------------------------------------------------------------------- */

void master_crew_set_state(struct master_crew *crew, struct master_child *child,
                           enum master_child_state state)
{
    static const enum shm_slot_state shown[] = {
        [CHILD_NONE] = SHM_SLOT_FREE,         [CHILD_STARTING] = SHM_SLOT_STARTING,
        [CHILD_READY] = SHM_SLOT_STARTING,    [CHILD_SERVING] = SHM_SLOT_SERVING,
        [CHILD_DRAINING] = SHM_SLOT_DRAINING, [CHILD_RETIRING] = SHM_SLOT_DRAINING,
        [CHILD_LEAVING] = SHM_SLOT_DRAINING};
    child->state = state;
    atomic_store_explicit(&crew->segment->slot[child->slot].state, shown[state], memory_order_relaxed);
}

/* Counts an attempt that ended before the worker served, and sets the time of the next. */
static void crew_retry_later(struct master_crew *crew, struct master_child *child)
{
    int64_t pause_ms = master_child_pause_ms(++crew->attempts_failed);
    child->respawn_at_ms = clock_monotonic_ms() + pause_ms;
    log_info("worker %u is tried again in %" PRId64 " ms", child->slot, pause_ms);
}

static bool crew_listen_to(struct master_crew *crew, const struct master_child *child)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = crew->event_data + child->slot};
    return epoll_ctl(crew->epoll, EPOLL_CTL_ADD, child->channel, &event) == 0;
}

bool master_crew_spawn(struct master_crew *crew, struct master_child *child)
{
    struct err err = {0};
    const struct settings *settings = child->generation == crew->generation ? crew->settings
                                                                            : crew->next.settings;
    const struct worker_heritage heritage = {.settings = settings,
                                             .segment = crew->segment,
                                             .journal = crew->journal,
                                             .derivatives = settings->derivative_cache ? crew->derivatives
                                                                                       : NULL,
                                             .access_log = crew->logs->access,
                                             .syslog = crew->logs->syslog};
    if (master_child_spawn(child, &heritage, &err) != RC_OK) {
        log_error("%s", err.message);
        return false;
    }
    if (!crew_listen_to(crew, child)) {
        log_error("worker %u cannot be heard: %s", child->slot, strerror(errno));
        master_child_kill(child, SIGKILL);
    }
    log_debug("worker %u has pid %d", child->slot, (int)child->pid);
    return true;
}

static void crew_spawn(struct master_crew *crew, struct master_child *child)
{
    if (!master_crew_spawn(crew, child))
        crew_retry_later(crew, child);
}

static void crew_tell(struct master_child *child, enum worker_message_kind kind)
{
    struct worker_message message;
    memset(&message, 0, sizeof message);
    message.kind = kind;
    struct err err = {0};
    child->untold = master_child_send(child, &message, -1, &err) == RC_BUSY ? kind : 0;
}

/* What its channel has no room for now comes later. */
static void crew_tell_logs(struct master_crew *crew, struct master_child *child)
{
    static const enum worker_message_kind kind[] = {WORKER_ACCESS_LOG, WORKER_ERROR_LOG};
    for (unsigned i = 0; i < 2; i++) {
        struct worker_message message;
        struct err err = {0};
        if ((child->untold_logs & 1u << i) == 0)
            continue;
        memset(&message, 0, sizeof message);
        message.kind = kind[i];
        if (master_child_send(child, &message, i == 0 ? crew->logs->access : STDERR_FILENO, &err) != RC_BUSY)
            child->untold_logs &= ~(1u << i);
    }
}

void master_crew_reopen(struct master_crew *crew)
{
    uint32_t logs = (master_logs_has_access_file(crew->settings) ? 1u : 0u) |
                    (master_logs_has_error_file(crew->settings) ? 2u : 0u);
    for (uint32_t i = 0; i < crew->count; i++) {
        if (crew->child[i].pid == 0 || crew->child[i].channel < 0)
            continue;
        crew->child[i].untold_logs = logs;
        crew_tell_logs(crew, &crew->child[i]);
    }
}

static void crew_ready(struct master_crew *crew, struct master_child *child)
{
    if (child->was_ready)
        return;
    child->was_ready = true;
    bool is_next = child->generation != crew->generation;
    if (!is_next) {
        crew->ran_well = true;
        crew->attempts_failed = 0;
        crew->hold_until_ms = 0;
    }
    if (child->state == CHILD_STARTING)
        master_crew_set_state(crew, child, is_next ? CHILD_READY : CHILD_SERVING);
    log_info("worker %u (pid %d) %s", child->slot, (int)child->pid, is_next ? "is ready" : "serves");
}

/* Does what one message says; false where it is none that workers send. */
static bool crew_heed(struct master_crew *crew, struct master_child *child,
                      const struct worker_message *message)
{
    struct master_connection *named;
    switch (message->kind) {
    case WORKER_READY:
        crew_ready(crew, child);
        return true;
    case WORKER_CLOSED:
        for (uint32_t i = 0; message->count <= WORKER_CLOSED_AT_ONCE && i < message->count; i++)
            if ((named = master_connection_find(crew->connections, child->slot, message->closed[i])) != NULL)
                master_connection_end(crew->connections, named);
        return message->count <= WORKER_CLOSED_AT_ONCE;
    case WORKER_REPLACE:
        child->is_to_be_replaced = true;
        return true;
    case WORKER_RELEASED:
        named = master_connection_find(crew->connections, child->slot, message->connection_id);
        if (named != NULL)
            master_connection_move(crew->connections, named, MASTER_CONNECTION_WAITING);
        return true;
    default:
        return false;
    }
}

/* Hears a worker out, at most so many messages at a time. */
static void crew_hear_out(struct master_crew *crew, struct master_child *child)
{
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        struct worker_message message;
        struct err err = {0};
        enum rc rc = master_child_receive(child, &message, &err);
        if (rc == RC_BUSY)
            return;
        if (rc == RC_IO) {
            /* Usually the process ends now. One that only closed its channel is of no use to anybody. */
            epoll_ctl(crew->epoll, EPOLL_CTL_DEL, child->channel, NULL);
            master_crew_set_state(crew, child, CHILD_LEAVING);
            child->kill_at_ms = clock_earlier_ms(child->kill_at_ms, clock_monotonic_ms() + CLOSED_GRACE_MS);
            return;
        }
        if (rc != RC_OK || !crew_heed(crew, child, &message)) {
            log_error("worker %u (pid %d) talks nonsense and is killed", child->slot, (int)child->pid);
            master_child_kill(child, SIGKILL);
            return;
        }
    }
}

static void crew_log_end(struct master_crew *crew, const struct master_child *child, pid_t pid, int status)
{
    char how[MASTER_CHILD_END_BYTES];
    double age_s = (double)(clock_monotonic_ms() - child->started_ms) / 1000;
    if ((crew->is_leaving || child->was_retired) && WIFEXITED(status) &&
        WEXITSTATUS(status) == WORKER_EXIT_DONE) {
        log_info("worker %u (pid %d) has %s after %.1f s of life", child->slot, (int)pid,
                 child->was_retired ? "retired" : "drained", age_s);
        return;
    }
    bool is_ours = crew->give_up_ms != 0 || child->is_discarded; /* who is killed by us has not crashed */
    if (!is_ours) {
        atomic_fetch_add_explicit(&crew->segment->counters.crashes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&crew->segment->tally[child->slot].crashes, 1, memory_order_relaxed);
    }
    master_child_describe_end(status, how);
    log_write(is_ours ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
              "worker %u (pid %d) %s after %.1f s of life, %u connections go on elsewhere", child->slot,
              (int)pid, how, age_s, master_connection_count(crew->connections, child->slot));
}

static void crew_ended(struct master_crew *crew, struct master_child *child, int status)
{
    pid_t pid = child->pid;
    child->pid = 0;             /* from now on the number may be somebody else's: nothing may kill it */
    crew_hear_out(crew, child); /* its last words: connections that it had ended */
    master_inquest_hold(crew, child, pid);
    crew_log_end(crew, child, pid, status);
    epoll_ctl(crew->epoll, EPOLL_CTL_DEL, child->channel, NULL);
    close(TAKE_FD(child->channel));
    master_dealing_recover(crew, child->slot);
    master_crew_set_state(crew, child, CHILD_NONE);
    atomic_store_explicit(&crew->segment->slot[child->slot].pid, 0, memory_order_relaxed);
    child->kill_at_ms = child->respawn_at_ms = 0;
    child->untold = child->untold_logs = 0;
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool was_superseded = master_succession_ended(crew, child, was_killed);
    if (crew->is_leaving || child->is_succeeded || was_superseded)
        return;
    if (child->was_ready) {
        crew_spawn(crew, child);
        master_dealing_hold(crew);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG && !crew->ran_well) {
        log_error("worker %u is not started again", child->slot);
    } else { /* also CONFIG, once these settings have been seen to work: a disc may be away */
        crew_retry_later(crew, child);
    }
}

static struct master_child *crew_find(struct master_crew *crew, pid_t pid)
{
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->child[i].pid == pid)
            return &crew->child[i];
    return NULL; /* adopted from whoever started us with exec */
}

bool master_crew_reap(struct master_crew *crew, pid_t other, int *ret_status)
{
    int status;
    pid_t pid;
    bool others_end = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct master_child *child = crew_find(crew, pid);
        if (child != NULL)
            crew_ended(crew, child, status);
        if (pid == other) {
            *ret_status = status;
            others_end = true;
        }
    }
    return others_end;
}

void master_crew_leave_behind(struct master_crew *crew, struct master_child *child, int status)
{
    log_error("worker %u (pid %d) has died, but a thread of it stands still in the kernel: it is left behind",
              child->slot, (int)child->pid);
    crew_ended(crew, child, status);
}

void master_crew_hear(struct master_crew *crew, uint32_t slot)
{
    struct master_child *child = &crew->child[slot];
    /* The event may be of a channel that was closed since, by another event of the same round. */
    if (child->channel >= 0 && child->state != CHILD_LEAVING)
        crew_hear_out(crew, child);
}

/* Coming and leaving together ---------------------------------------------------------------------------- */

enum rc master_crew_start(struct master_crew *crew, struct err *err)
{
    crew->child = calloc(SHM_MAX_WORKERS, sizeof *crew->child);
    if (crew->child == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u workers", crew->wanted);
    enum rc rc = master_watchdog_new(&crew->watchdog, err);
    if (rc != RC_OK)
        return rc;
    crew->count = crew->wanted;
    for (uint32_t i = 0; i < SHM_MAX_WORKERS; i++)
        crew->child[i] = (struct master_child){.slot = i, .channel = -1};
    for (uint32_t i = 0; i < crew->count; i++)
        crew_spawn(crew, &crew->child[i]);
    return RC_OK;
}

void master_crew_done(struct master_crew *crew)
{
    for (uint32_t i = 0; crew->child != NULL && i < crew->count; i++)
        own_close(&crew->child[i].channel);
    free(TAKE_PTR(crew->child));
    master_watchdog_free(&crew->watchdog);
}

void master_crew_drain(struct master_crew *crew)
{
    master_succession_abandon(crew);
    master_dealing_hand_out(crew);
    crew->is_leaving = true;
    int64_t kill_at_ms = clock_monotonic_ms() + crew->settings->drain_timeout_s * 1000;
    for (uint32_t i = 0; i < crew->count; i++) {
        struct master_child *child = &crew->child[i];
        child->respawn_at_ms = 0;
        if (child->state == CHILD_RETIRING)
            child->kill_at_ms = clock_earlier_ms(child->kill_at_ms, kill_at_ms);
        if (child->state != CHILD_STARTING && child->state != CHILD_SERVING)
            continue;
        master_crew_set_state(crew, child, CHILD_DRAINING);
        crew_tell(child, WORKER_DRAIN);
        child->kill_at_ms = kill_at_ms;
    }
}

void master_crew_retire(struct master_crew *crew, struct master_child *child)
{
    master_crew_set_state(crew, child, CHILD_RETIRING);
    child->was_retired = true;
    child->kill_at_ms = clock_monotonic_ms() + crew->settings->drain_timeout_s * 1000;
    crew_tell(child, WORKER_RETIRE);
}

void master_crew_kill(struct master_crew *crew)
{
    master_succession_abandon(crew);
    crew->is_leaving = true;
    crew->give_up_ms = clock_monotonic_ms() + KILL_GRACE_MS;
    for (uint32_t i = 0; i < crew->count; i++) {
        crew->child[i].respawn_at_ms = 0;
        master_child_kill(&crew->child[i], SIGKILL);
    }
}

static uint32_t crew_alive(const struct master_crew *crew)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < crew->count; i++)
        alive += crew->child[i].pid != 0;
    return alive;
}

static void crew_leave_the_dead(struct master_crew *crew)
{
    int status;
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->child[i].pid != 0 && master_child_is_dead(&crew->child[i], &status))
            master_crew_leave_behind(crew, &crew->child[i], status);
}

bool master_crew_stop(struct master_crew *crew)
{
    master_crew_kill(crew);
    for (;;) {
        for (uint32_t i = 0; i < crew->count; i++) {
            int status;
            pid_t pid = crew->child[i].pid;
            if (pid != 0 && waitpid(pid, &status, WNOHANG) == pid)
                crew_ended(crew, &crew->child[i], status);
        }
        if (crew_alive(crew) == 0)
            return true;
        if (clock_monotonic_ms() >= crew->give_up_ms) {
            crew_leave_the_dead(crew);
            return crew_alive(crew) == 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void master_crew_resume(struct master_crew *crew)
{
    crew->is_leaving = false;
    crew->give_up_ms = 0;
    uint32_t left = crew->wanted;
    for (uint32_t i = 0; i < SHM_MAX_WORKERS && left > 0; i++) {
        struct master_child *child = &crew->child[i];
        if (child->pid != 0)
            continue;
        child->generation = crew->generation;
        if (crew->count <= i)
            crew->count = i + 1;
        crew_spawn(crew, child);
        left--;
    }
}

/* One child's share of master_crew_due(). */
static int64_t crew_due(struct master_crew *crew, struct master_child *child, int64_t now_ms)
{
    child->is_full = false;
    if (child->respawn_at_ms != 0 && child->respawn_at_ms <= now_ms)
        crew_spawn(crew, child);
    if (child->untold != 0)
        crew_tell(child, child->untold);
    if (child->untold_logs != 0)
        crew_tell_logs(crew, child);
    if (child->kill_at_ms != 0 && child->kill_at_ms <= now_ms) {
        log_warning("worker %u (pid %d) did not leave in time and is killed", child->slot, (int)child->pid);
        child->is_discarded = child->was_retired;
        master_child_kill(child, SIGKILL);
        child->kill_at_ms = 0;
        if (crew->is_leaving && crew->give_up_ms == 0)
            crew->give_up_ms = now_ms + KILL_GRACE_MS;
    }
    return clock_earlier_ms(clock_earlier_ms(child->respawn_at_ms, child->kill_at_ms),
                            child->untold != 0 || child->untold_logs != 0 ? now_ms + RETRY_MS : 0);
}

int64_t master_crew_due(struct master_crew *crew, int64_t now_ms)
{
    int64_t next_ms = clock_earlier_ms(crew->give_up_ms, master_watchdog_look(crew->watchdog, crew, now_ms));
    for (uint32_t i = 0; i < crew->count; i++)
        next_ms = clock_earlier_ms(next_ms, crew_due(crew, &crew->child[i], now_ms));
    return clock_earlier_ms(next_ms, master_dealing_due(crew, now_ms));
}

bool master_crew_is_gone(const struct master_crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->child[i].pid != 0 || crew->child[i].respawn_at_ms != 0)
            return false;
    return true;
}

bool master_crew_is_well(const struct master_crew *crew, int64_t lately_ms, int64_t now_ms)
{
    for (uint32_t i = 0; i < crew->count; i++) {
        const struct master_child *child = &crew->child[i];
        uint64_t beat_ms = atomic_load_explicit(&crew->segment->slot[i].beat_ms, memory_order_relaxed);
        bool is_up = child->state == CHILD_SERVING || child->state == CHILD_DRAINING ||
                     child->state == CHILD_RETIRING;
        if (is_up && now_ms - (int64_t)beat_ms < lately_ms)
            return true;
    }
    return false;
}

uint32_t master_crew_ready(const struct master_crew *crew)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < crew->count; i++)
        ready += crew->child[i].state == CHILD_SERVING || crew->child[i].state == CHILD_READY;
    return ready;
}
