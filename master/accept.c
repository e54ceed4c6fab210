#include "master/accept.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "master/admin_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#define AT_ONCE      128 /* then the other events have their turn */
#define PAUSE_MS     100 /* after the system ran out of something */
#define LOG_EVERY_MS 1000

static void accept_refused(struct master_acceptor *acceptor, const struct err *err)
{
    if (!log_may_say(&acceptor->refused, LOG_EVERY_MS)) {
        acceptor->refusals_unlogged++;
        return;
    }
    if (acceptor->refusals_unlogged > 0)
        log_warning("connection refused: %s (and %" PRIu64 " more before)", err->message,
                    acceptor->refusals_unlogged);
    else
        log_warning("connection refused: %s", err->message);
    acceptor->refusals_unlogged = 0;
}

static bool accept_is_passing(int os_errno)
{
    /* The client left before it was accepted, or its network failed: accept(2) tells of it, the next may be
     * well. */
    return os_errno == EINTR || os_errno == ECONNABORTED || os_errno == EPROTO || os_errno == EPERM ||
           os_errno == ENETDOWN || os_errno == EHOSTDOWN || os_errno == EHOSTUNREACH ||
           os_errno == ENETUNREACH || os_errno == ENONET || os_errno == ENOPROTOOPT || os_errno == EOPNOTSUPP;
}

bool master_accept(struct master_acceptor *acceptor, struct master_connections *connections,
                   struct shm_segment *segment)
{
    if (acceptor->fd < 0 || acceptor->is_paused)
        return false;
    for (int i = 0; i < AT_ONCE; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(acceptor->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && accept_is_passing(errno))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return false;
        if (fd < 0) {
            log_error("no connection can be accepted for %d ms: %s", PAUSE_MS, strerror(errno));
            acceptor->resume_at_ms = clock_monotonic_ms() + PAUSE_MS;
            return false;
        }
        if (acceptor->local != NULL && !master_admin_socket_admits(acceptor->local, fd)) {
            log_warning(
                "a connection to the admin socket was refused: its user is neither this one nor root");
            close(fd);
            continue;
        }
        struct err err = {0};
        enum rc rc = master_connection_add(connections, fd, &peer, acceptor->is_admin, &err);
        atomic_fetch_add_explicit(rc == RC_OK ? &segment->counters.connections_accepted
                                              : &segment->counters.connections_refused,
                                  1, memory_order_relaxed);
        if (rc != RC_OK)
            accept_refused(acceptor, &err);
    }
    return true;
}

int64_t master_acceptor_resume(struct master_acceptor *acceptor, int epoll, int64_t now_ms)
{
    if (acceptor->fd < 0 || acceptor->resume_at_ms == 0)
        return 0;
    bool pause = acceptor->resume_at_ms > now_ms;
    if (pause != acceptor->is_paused) {
        struct epoll_event event = {.events = pause ? 0 : EPOLLIN, .data.u64 = acceptor->event_data};
        epoll_ctl(epoll, EPOLL_CTL_MOD, acceptor->fd, &event);
        acceptor->is_paused = pause;
    }
    if (!pause)
        acceptor->resume_at_ms = 0;
    return acceptor->resume_at_ms;
}

void master_acceptor_close(struct master_acceptor *acceptor)
{
    own_close(&acceptor->fd);
    acceptor->fd = -1;
}
