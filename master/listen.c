#include "master/listen.h"

#include "base/own.h"
#include "base/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Sources and cache files that one worker holds open, listeners, channels, standard streams: never more than
 * this. */
#define OTHER_FILES 2048

static enum rc listen_refused(const char *address, int os_errno, struct err *err)
{
    if (os_errno == EADDRINUSE)
        return err_set(err, RC_IO, "%s is in use: another program listens there", address);
    if (os_errno == EADDRNOTAVAIL)
        return err_set(err, RC_IO, "%s is no address of this machine", address);
    if (os_errno == EACCES)
        return err_set(err, RC_IO, "%s may not be bound: ports below 1024 need root or CAP_NET_BIND_SERVICE",
                       address);
    return err_set_errno(err, RC_IO, os_errno, "%s cannot be listened on", address);
}

enum rc master_listen_open(const char *address, int *ret_fd, struct err *err)
{
    struct sockaddr_storage where;
    socklen_t length;
    const char *wrong = settings_parse_address(address, &where, &length);
    if (wrong != NULL)
        return err_set(err, RC_BAD_REQUEST, "%s: %s", address, wrong);
    OWN_FD int fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1, off = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return listen_refused(address, errno, err);
    if (where.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return listen_refused(address, errno, err);
    /* The kernel cuts the backlog down to net.core.somaxconn, so this asks for all there is. */
    if (bind(fd, (const struct sockaddr *)&where, length) < 0 || listen(fd, INT32_MAX) < 0)
        return listen_refused(address, errno, err);
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

void master_listen_text(int fd, char ret_text[MASTER_LISTEN_TEXT_BYTES])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } where = {0};
    socklen_t length = sizeof where;
    char host[INET6_ADDRSTRLEN] = "?";
    getsockname(fd, &where.any, &length);
    bool is_v6 = where.any.sa_family == AF_INET6;
    inet_ntop(where.any.sa_family, is_v6 ? (const void *)&where.v6.sin6_addr : &where.v4.sin_addr, host,
              sizeof host);
    /* The port lies at the same place in both. */
    snprintf(ret_text, MASTER_LISTEN_TEXT_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", host, ntohs(where.v4.sin_port));
}

bool master_listen_is_at(int fd, const char *address)
{
    struct sockaddr_storage wanted, bound = {0};
    socklen_t length, bound_length = sizeof bound;
    if (settings_parse_address(address, &wanted, &length) != NULL ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_length) < 0 || bound.ss_family != wanted.ss_family)
        return false;
    if (wanted.ss_family == AF_INET6) {
        struct sockaddr_in6 a, b;
        memcpy(&a, &wanted, sizeof a);
        memcpy(&b, &bound, sizeof b);
        return memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0 &&
               (a.sin6_port == 0 || a.sin6_port == b.sin6_port);
    }
    struct sockaddr_in a, b;
    memcpy(&a, &wanted, sizeof a);
    memcpy(&b, &bound, sizeof b);
    return a.sin_addr.s_addr == b.sin_addr.s_addr && (a.sin_port == 0 || a.sin_port == b.sin_port);
}

int64_t master_listen_room(void)
{
    struct rlimit files = {.rlim_cur = 1024, .rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        getrlimit(RLIMIT_NOFILE, &files);
    int64_t most = files.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)files.rlim_cur;
    return most > 2 * OTHER_FILES ? most - OTHER_FILES : most / 2;
}
