/* Changes while the server runs: other settings (HUP), another program (USR2), and being that other program.
 * One at a time; what is asked for meanwhile comes next. */
#include "master/supervisor.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/options.h"
#include "master/reload.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Other settings ----------------------------------------------------------------------------------------- */

static void supervise_say_reloaded(struct supervisor *s, const char *how)
{
    master_notify_say(&s->notify, "READY=1\nSTATUS=%u workers serve; %s", s->crew.wanted, how);
}

static void supervise_reload(struct supervisor *s)
{
    s->is_told_to_reload = false;
    log_info("HUP: the configuration is read again");
    master_notify_reloading(&s->notify);
    if (master_reload_read(s->launch->argument, &s->config->settings, &s->next_config) != RC_OK) {
        supervise_say_reloaded(s, "the new configuration is wrong, the old one goes on");
        return;
    }
    const struct settings *settings = &s->next_config->settings;
    master_succession_begin(&s->crew, settings, master_options_workers(settings));
}

static void supervise_reloaded(struct supervisor *s)
{
    struct master_config *old = s->config;
    s->config = TAKE_PTR(s->next_config);
    s->local.local = &s->config->settings;
    master_config_free(&old);
    log_init("master", settings_log_level(&s->config->settings));
    master_connection_limit(s->connections, (uint32_t)s->config->settings.connections_per_address);
    log_info("HUP: %u workers serve with the new configuration, the old ones retire", s->crew.wanted);
    supervise_say_reloaded(s, "reloaded");
}

/* A reload that is asked for while one is under way begins when that is through. */
static int64_t supervise_succession(struct supervisor *s, int64_t now_ms)
{
    int64_t next_ms = 0;
    bool is_free = s->next_config == NULL && s->upgrade.pid == 0 && !s->crew.is_held;
    if (s->crew.is_leaving)
        return 0;
    if (s->is_told_to_reload && is_free)
        supervise_reload(s);
    enum master_succession_state state = master_succession_due(&s->crew, now_ms, &next_ms);
    if (state == SUCCESSION_DONE) {
        supervise_reloaded(s);
    } else if (state == SUCCESSION_FAILED) {
        master_config_free(&s->next_config);
        supervise_say_reloaded(s, "the new workers did not come up, the old ones go on");
    }
    bool is_next = (s->is_told_to_reload || s->is_told_to_upgrade) && s->next_config == NULL &&
                   s->upgrade.pid == 0;
    return is_next && !s->crew.is_held ? now_ms : next_ms;
}

/* Another program ---------------------------------------------------------------------------------------- */

void supervise_forget_upgrade(struct supervisor *s)
{
    if (s->upgrade.channel >= 0)
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->upgrade.channel, NULL);
    master_upgrade_abandon(&s->upgrade);
}

static void supervise_upgrade_failed(struct supervisor *s, const char *why)
{
    log_error("USR2: %s; this program goes on", why);
    supervise_forget_upgrade(s);
}

static void supervise_upgrade(struct supervisor *s)
{
    struct err err = {0};
    s->is_told_to_upgrade = false;
    enum rc rc = master_upgrade_begin(&s->upgrade, s->launch->program, s->journal,
                                      (uint32_t)s->config->settings.max_connections, s->public.fd,
                                      s->admin.fd, &err);
    if (rc == RC_OK && !supervise_watch(s, s->upgrade.channel, supervise_event_data(EVENT_UPGRADE)))
        rc = err_set_errno(&err, RC_IO, errno, "the new program cannot be heard");
    if (rc != RC_OK)
        supervise_upgrade_failed(s, err.message);
    else
        log_info("USR2: %s is started to take over", s->launch->program->path);
}

void supervise_hear_upgrade(struct supervisor *s)
{
    struct err err = {0};
    if (s->upgrade.pid == 0)
        return; /* an event of the same round has ended it */
    enum rc rc = master_upgrade_hear(&s->upgrade, &err);
    if (rc == RC_BUSY)
        return;
    if (rc != RC_OK) {
        supervise_upgrade_failed(s, err.message);
        return;
    }
    if (!master_crew_stop(&s->crew))
        rc = err_set(&err, RC_IO, "a killed worker does not end");
    if (rc == RC_OK)
        rc = master_upgrade_hand_over(&s->upgrade, s->connections, s->is_told_to_reload, &err);
    s->is_handed_over = rc == RC_OK;
    if (s->is_handed_over) {
        /* Before the new master can say anything: who is not the main process is not heard. */
        master_notify_say(&s->notify, "MAINPID=%d", (int)s->upgrade.pid);
        log_info("USR2: pid %d has taken over", (int)s->upgrade.pid);
        own_close(&s->upgrade.channel);
        s->upgrade.channel = -1;
        master_notify_flush(&s->notify);
        return;
    }
    supervise_upgrade_failed(s, err.message);
    master_crew_resume(&s->crew);
}

void supervise_upgrade_ended(struct supervisor *s, int status)
{
    char how[MASTER_CHILD_END_BYTES];
    char why[MASTER_CHILD_END_BYTES + 32];
    master_child_describe_end(status, how);
    snprintf(why, sizeof why, "the new program %s", how);
    s->upgrade.has_ended = true;
    supervise_upgrade_failed(s, why);
}

static int64_t supervise_upgrade_due(struct supervisor *s, int64_t now_ms)
{
    if (s->upgrade.pid != 0 && s->upgrade.deadline_ms <= now_ms)
        supervise_upgrade_failed(s, "the new program is not ready in time");
    bool is_free = s->upgrade.pid == 0 && s->next_config == NULL && !s->crew.is_leaving && !s->crew.is_held;
    if (s->is_told_to_upgrade && is_free)
        supervise_upgrade(s);
    return s->upgrade.pid != 0 ? s->upgrade.deadline_ms : 0;
}

/* Taking over from another program ----------------------------------------------------------------------- */

static void supervise_takeover_failed(struct supervisor *s, const char *why)
{
    log_error("this program cannot take over: %s", why);
    s->has_failed = true;
    master_crew_kill(&s->crew);
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->takeover->channel, NULL);
    master_takeover_done(s->takeover);
}

/* The other master has left: what it had is ours. */
static void supervise_take_over(struct supervisor *s)
{
    struct err err = {0};
    uint32_t count = master_connection_count(s->connections, MASTER_CONNECTION_WAITING);
    s->is_told_to_reload = s->is_told_to_reload || s->takeover->shall_reload;
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->takeover->channel, NULL);
    master_takeover_done(s->takeover);
    s->crew.is_held = false;
    if (supervise_open_socket(s, true, &err) != RC_OK)
        log_error("%s; there is none", err.message);
    if (supervise_watch(s, s->public.fd, s->public.event_data) &&
        supervise_watch(s, s->admin.fd, s->admin.event_data))
        log_info("this program (pid %d) has taken over with %u connections", (int)getpid(), count);
    else
        supervise_leave_now(s, "events cannot be waited for");
}

void supervise_hear_takeover(struct supervisor *s)
{
    struct err err = {0};
    char byte;
    if (s->takeover->state == TAKEOVER_READY) {
        if (master_takeover_take(s->takeover, s->connections, &err) != RC_OK)
            supervise_takeover_failed(s, err.message);
    } else if (s->takeover->state == TAKEOVER_TAKEN &&
               recv(s->takeover->channel, &byte, 1, MSG_DONTWAIT) == 0) {
        supervise_take_over(s);
    } else if (s->takeover->state != TAKEOVER_NONE) {
        supervise_takeover_failed(s, "the other one has changed its mind");
    }
}

static void supervise_takeover_due(struct supervisor *s)
{
    struct err err = {0};
    if (s->takeover->state != TAKEOVER_BEGUN || s->crew.is_leaving)
        return;
    if (s->crew.attempts_failed > 0)
        supervise_takeover_failed(s, "a worker does not come up");
    else if (master_crew_ready(&s->crew) == s->crew.wanted &&
             master_takeover_say_ready(s->takeover, &err) != RC_OK)
        supervise_takeover_failed(s, err.message);
}

int64_t supervise_change_due(struct supervisor *s, int64_t now_ms)
{
    supervise_takeover_due(s);
    int64_t next_ms = supervise_succession(s, now_ms);
    return clock_earlier_ms(next_ms, supervise_upgrade_due(s, now_ms));
}
