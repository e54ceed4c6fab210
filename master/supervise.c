#include "master/supervisor.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/store.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LAST_ROUNDS              100 /* of accepting, before the public listener closes */
#define EVENTS_AT_ONCE           64
#define LATELY_MS                3000 /* three beats of a worker */
#define SUPERVISE_RESTART_SIGNAL (SIGRTMIN + 1)

bool supervise_watch(struct supervisor *s, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    return fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

enum rc supervise_open_socket(struct supervisor *s, bool replaces, struct err *err)
{
    enum rc rc = master_admin_socket_open(&s->config->settings, replaces, &s->admin_socket, &s->local.fd,
                                          err);
    if (rc != RC_OK)
        return rc;
    s->local.local = &s->config->settings;
    return supervise_watch(s, s->local.fd, s->local.event_data)
               ? RC_OK
               : err_set_errno(err, RC_IO, errno, "the admin socket cannot be listened to");
}

/* Signals ------------------------------------------------------------------------------------------------ */

void supervise_leave_now(struct supervisor *s, const char *why)
{
    if (s->crew.give_up_ms != 0)
        return; /* under way */
    log_info("%s: every worker is killed", why);
    master_notify_say(&s->notify, "STOPPING=1\nSTATUS=%s", why);
    supervise_forget_upgrade(s);
    master_acceptor_close(&s->public);
    master_crew_kill(&s->crew);
}

/* Nothing ends: the service manager keeps every connection for the next process. */
static bool supervise_keep(struct supervisor *s)
{
    struct err err = {0};
    const struct master_store store = {.connections = s->connections,
                                       .journal = s->journal,
                                       .max_connections = (uint32_t)s->config->settings.max_connections,
                                       .public = s->launch->is_public_managed ? -1 : s->public.fd,
                                       .admin = s->launch->is_admin_managed ? -1 : s->admin.fd};
    if (s->notify.socket < 0 || s->crew.is_held)
        return false;
    supervise_forget_upgrade(s);
    master_notify_say(&s->notify, "STOPPING=1\nSTATUS=restarting, connections are kept");
    enum rc rc = master_crew_stop(&s->crew) ? master_store_keep(&store, &s->notify, &err)
                                            : err_set(&err, RC_IO, "a killed worker does not end");
    s->is_handed_over = rc == RC_OK;
    if (s->is_handed_over)
        return true;
    log_error("told to restart: %s", err.message);
    master_crew_resume(&s->crew);
    return false;
}

/* The admin listener stays: who balances load must be able to read there that this server leaves. */
static void supervise_drain(struct supervisor *s)
{
    supervise_forget_upgrade(s);
    master_notify_say(&s->notify, "STOPPING=1\nSTATUS=finishing what was begun");
    log_info("told to leave: answers in flight have %" PRId64 " s", s->config->settings.drain_timeout_s);
    atomic_store_explicit(&s->segment->draining, 1, memory_order_relaxed);
    /* What the kernel has accepted for us would be reset by closing the listener. */
    for (int i = 0; i < LAST_ROUNDS && master_accept(&s->public, s->connections, s->segment); i++)
        ;
    master_acceptor_close(&s->public);
    master_crew_drain(&s->crew);
}

static void supervise_obey(struct supervisor *s, uint32_t signal_number)
{
    int status;
    if (s->is_handed_over)
        return;
    if (signal_number == (uint32_t)SUPERVISE_RESTART_SIGNAL) {
        if (!s->crew.is_leaving && !supervise_keep(s))
            supervise_drain(s);
        return;
    }
    switch (signal_number) {
    case SIGCHLD:
        if (master_crew_reap(&s->crew, s->upgrade.pid, &status))
            supervise_upgrade_ended(s, status);
        break;
    case SIGTERM:
    case SIGINT:
        if (s->crew.is_leaving)
            supervise_leave_now(s, "told to leave for the second time");
        else
            supervise_drain(s);
        break;
    case SIGQUIT:
        supervise_leave_now(s, "told to leave at once");
        break;
    case SIGHUP:
        s->is_told_to_reload = true;
        break;
    case SIGUSR1:
        master_logs_reopen(&s->config->settings, &s->logs);
        master_crew_reopen(&s->crew);
        log_info("USR1: the logs were opened anew");
        break;
    case SIGUSR2:
        s->is_told_to_upgrade = true;
        break;
    default:
        break;
    }
}

/* The loop ----------------------------------------------------------------------------------------------- */

static void supervise_event(struct supervisor *s, uint64_t data)
{
    struct signalfd_siginfo info;
    switch ((enum event_kind)(data >> 32)) {
    case EVENT_SIGNAL:
        while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
            supervise_obey(s, info.ssi_signo);
        break;
    case EVENT_PUBLIC:
        master_accept(&s->public, s->connections, s->segment);
        break;
    case EVENT_ADMIN:
        master_accept(&s->admin, s->connections, s->segment);
        break;
    case EVENT_LOCAL:
        master_accept(&s->local, s->connections, s->segment);
        break;
    case EVENT_CHANNEL:
        master_crew_hear(&s->crew, (uint32_t)data);
        break;
    case EVENT_UPGRADE:
        supervise_hear_upgrade(s);
        break;
    case EVENT_TAKEOVER:
        supervise_hear_takeover(s);
        break;
    }
}

/* Does everything whose time has come; returns for how long epoll may wait. */
static int supervise_due(struct supervisor *s, int64_t now_ms)
{
    int64_t next_ms = supervise_change_due(s, now_ms);
    if (!s->was_ready && s->crew.ran_well && !s->crew.is_held && !s->crew.is_leaving) {
        s->was_ready = true;
        master_notify_say(&s->notify, "READY=1\nSTATUS=%u workers serve", s->crew.wanted);
    }
    int64_t lately_ms = s->notify.watchdog_ms > LATELY_MS ? s->notify.watchdog_ms : LATELY_MS;
    /* As long as the crew is held, the service manager knows us by no name. */
    bool is_well = s->notify.watchdog_ms == 0 ||
                   (!s->crew.is_held && master_crew_is_well(&s->crew, lately_ms, now_ms));
    next_ms = clock_earlier_ms(next_ms, master_notify_due(&s->notify, is_well, now_ms));
    next_ms = clock_earlier_ms(next_ms, master_crew_due(&s->crew, now_ms));
    next_ms = clock_earlier_ms(next_ms, master_acceptor_resume(&s->public, s->epoll, now_ms));
    next_ms = clock_earlier_ms(next_ms, master_acceptor_resume(&s->admin, s->epoll, now_ms));
    next_ms = clock_earlier_ms(next_ms, master_acceptor_resume(&s->local, s->epoll, now_ms));
    if (next_ms == 0)
        return -1;
    return next_ms <= now_ms ? 0 : next_ms - now_ms < INT32_MAX ? (int)(next_ms - now_ms) : INT32_MAX;
}

/* Returns the exit status. */
static int supervise_loop(struct supervisor *s)
{
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        int patience_ms = supervise_due(s, now_ms);
        if (s->is_handed_over) {
            log_info("left; every connection goes on");
            return 0;
        }
        if (master_crew_is_gone(&s->crew)) {
            if (s->has_failed)
                return 1;
            if (!s->crew.is_leaving)
                log_error("no worker can serve with this configuration");
            else
                log_info("left");
            return s->crew.is_leaving ? 0 : 1;
        }
        if (s->crew.give_up_ms != 0 && s->crew.give_up_ms <= now_ms) {
            log_error("a killed worker does not end; left without it");
            return 1;
        }
        struct epoll_event event[EVENTS_AT_ONCE];
        int count = epoll_wait(s->epoll, event, EVENTS_AT_ONCE, patience_ms);
        if (count < 0 && errno != EINTR) {
            log_error("the master cannot wait for events: %s", strerror(errno));
            return 1;
        }
        for (int i = 0; i < count && !s->is_handed_over; i++) /* what is accepted after that would be lost */
            supervise_event(s, event[i].data.u64);
    }
}

/* Setting up --------------------------------------------------------------------------------------------- */

static enum rc supervise_take_signals(struct supervisor *s, struct err *err)
{
    static const int heard[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof heard / sizeof heard[0]; i++) {
        signal(heard[i],
               SIG_DFL); /* a signal that is ignored since before exec would not reach the descriptor */
        sigaddset(&set, heard[i]);
    }
    signal(SUPERVISE_RESTART_SIGNAL, SIG_DFL);
    sigaddset(&set, SUPERVISE_RESTART_SIGNAL);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return err_set_errno(err, RC_IO, errno, "signals cannot be blocked");
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signals < 0)
        return err_set_errno(err, RC_IO, errno, "no descriptor for signals");
    return RC_OK;
}

/* The table of connections and the journal: new ones, or those of a master that is to leave or has left. */
static enum rc supervise_make_tables(struct supervisor *s, struct err *err)
{
    const struct settings *settings = &s->config->settings;
    struct master_activation *kept = s->launch->activation;
    uint32_t slots = WORKER_MOST_CONNECTIONS((uint32_t)settings->max_connections);
    int *journal = s->takeover->journal >= 0 ? &s->takeover->journal : &kept->journal;
    enum rc rc = *journal >= 0 ? shm_journal_inherit(TAKE_FD(*journal), slots, &s->journal, err)
                               : shm_journal_make(slots, &s->journal, err);
    if (rc == RC_OK)
        rc = master_connection_table_new((uint32_t)settings->max_connections,
                                         (uint32_t)settings->connections_per_address, &s->connections, err);
    if (rc == RC_OK && kept->table >= 0) {
        rc = master_store_restore(kept, s->connections, err);
        if (rc == RC_OK)
            log_info("%u connections were kept over the restart and go on",
                     master_connection_count(s->connections, MASTER_CONNECTION_WAITING));
    }
    if (kept->has_kept)
        master_store_forget(&s->notify); /* also where it is of no use: the next start shall not find it */
    return rc;
}

/* Workers inherit this, and the ring with it. */
static void supervise_note(enum log_level level, const char *request, const char *text, void *context)
{
    shm_troubles_add(context, level, request, text);
}

static enum rc supervise_start(struct supervisor *s, struct err *err)
{
    const struct settings *settings = &s->config->settings;
    master_notify_open(&s->notify, s->takeover->state != TAKEOVER_NONE);
    enum rc rc = master_logs_open(settings, &s->logs, err);
    if (rc == RC_OK)
        rc = shm_segment_make(SHM_MAX_WORKERS, &s->segment, err);
    if (rc == RC_OK)
        log_tap(supervise_note, &s->segment->troubles);
    if (rc == RC_OK)
        rc = shm_derivatives_make((uint32_t)settings->cache_files, (uint64_t)settings->memory_cache,
                                  &s->derivatives, err);
    if (rc == RC_OK)
        rc = supervise_make_tables(s, err);
    if (rc == RC_OK)
        rc = supervise_take_signals(s, err);
    if (rc != RC_OK)
        return rc;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool is_held = s->takeover->state != TAKEOVER_NONE;
    if (s->epoll < 0 || !supervise_watch(s, s->signals, supervise_event_data(EVENT_SIGNAL)) ||
        !supervise_watch(s, s->takeover->channel, supervise_event_data(EVENT_TAKEOVER)) ||
        !supervise_watch(s, is_held ? -1 : s->public.fd, s->public.event_data) ||
        !supervise_watch(s, is_held ? -1 : s->admin.fd, s->admin.event_data))
        return err_set_errno(err, RC_IO, errno, "events cannot be waited for");
    rc = is_held ? RC_OK : supervise_open_socket(s, s->launch->activation->has_kept, err);
    if (rc != RC_OK)
        return rc;
    s->crew = (struct master_crew){.settings = settings,
                                   .segment = s->segment,
                                   .journal = s->journal,
                                   .derivatives = s->derivatives,
                                   .connections = s->connections,
                                   .logs = &s->logs,
                                   .epoll = s->epoll,
                                   .event_data = supervise_event_data(EVENT_CHANNEL),
                                   .wanted = master_options_workers(settings),
                                   .is_held = is_held};
    return master_crew_start(&s->crew, err);
}

static void supervise_done(struct supervisor *s)
{
    master_crew_done(&s->crew);
    master_connection_table_free(&s->connections);
    shm_journal_free(&s->journal);
    shm_derivatives_free(&s->derivatives);
    log_tap(NULL, NULL);
    shm_segment_free(&s->segment);
    master_notify_close(&s->notify);
    master_logs_close(&s->logs);
    own_close(&s->signals);
    own_close(&s->epoll);
    own_close(&s->public.fd);
    own_close(&s->admin.fd);
    own_close(&s->local.fd);
    master_admin_socket_remove(&s->admin_socket);
    master_config_free(&s->next_config);
    master_config_free(&s->config);
}

int master_supervise(const struct master_launch *launch)
{
    struct supervisor s = {
        .launch = launch,
        .config = launch->config,
        .takeover = launch->takeover,
        .upgrade = {.channel = -1},
        .notify = {.socket = -1},
        .public = {.fd = launch->public, .event_data = supervise_event_data(EVENT_PUBLIC)},
        .admin = {.fd = launch->admin, .is_admin = true, .event_data = supervise_event_data(EVENT_ADMIN)},
        .logs = {.access = -1, .syslog = -1},
        .local = {.fd = -1, .is_admin = true, .event_data = supervise_event_data(EVENT_LOCAL)},
        .epoll = -1,
        .signals = -1,
    };
    struct err err = {0};
    int status = 1;
    if (supervise_start(&s, &err) == RC_OK)
        status = supervise_loop(&s);
    else
        log_error("%s", err.message);
    supervise_done(&s);
    return status;
}
