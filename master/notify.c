#include "master/notify.h"

#include "base/log.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define MESSAGE_BYTES 1024
#define FDS_AT_ONCE   128 /* the kernel takes 253 */
#define PATIENCE_S    2
#define FLUSH_MS      1000

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, length + 1);
    if (path[0] == '@') /* a name in no file system */
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/'));
    OWN_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (const struct sockaddr *)&address, size) < 0) {
        log_warning("the service manager is not reached at %s: %s", path, strerror(errno));
        return -1;
    }
    return TAKE_FD(fd);
}

static int64_t environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL)
        return -1;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? number : -1;
}

void master_notify_open(struct master_notify *notify, bool is_taker)
{
    const char *path = getenv("NOTIFY_SOCKET");
    *notify = (struct master_notify){.socket = path != NULL ? connect_to(path) : -1};
    int64_t watchdog_us = environment_number("WATCHDOG_USEC"), pid = environment_number("WATCHDOG_PID");
    if (notify->socket >= 0 && watchdog_us > 0 && (is_taker || pid < 0 || pid == getpid()))
        notify->watchdog_ms = watchdog_us / 2000 > 0 ? watchdog_us / 2000 : 1;
}

void master_notify_close(struct master_notify *notify)
{
    own_close(&notify->socket);
    *notify = (struct master_notify){.socket = -1};
}

static bool send_text(const struct master_notify *notify, const char *text, const int *fd, size_t count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FDS_AT_ONCE * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fd, count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(notify->socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        log_warning("the service manager does not hear: %s", strerror(errno));
    return sent >= 0;
}

void master_notify_say(const struct master_notify *notify, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list arguments;
    if (notify->socket < 0)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_text(notify, text, NULL, 0);
}

void master_notify_reloading(const struct master_notify *notify)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    master_notify_say(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                      (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

bool master_notify_keep(const struct master_notify *notify, const char *name, const int *fd, size_t count)
{
    char text[MESSAGE_BYTES];
    if (notify->socket < 0)
        return false;
    snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
    for (size_t sent = 0; sent < count; sent += FDS_AT_ONCE)
        if (!send_text(notify, text, fd + sent, count - sent < FDS_AT_ONCE ? count - sent : FDS_AT_ONCE))
            return false;
    return true;
}

void master_notify_flush(const struct master_notify *notify)
{
    int pair[2];
    if (notify->socket < 0 || pipe2(pair, O_CLOEXEC) < 0)
        return;
    OWN_FD int ours = pair[0];
    bool sent = send_text(notify, "BARRIER=1", &pair[1], 1);
    close(pair[1]);
    struct pollfd wait = {.fd = ours}; /* the manager closes the other end when its turn has come */
    if (sent)
        poll(&wait, 1, FLUSH_MS);
}

int64_t master_notify_due(struct master_notify *notify, bool is_well, int64_t now_ms)
{
    if (notify->watchdog_ms == 0)
        return 0;
    if (notify->next_ms > now_ms)
        return notify->next_ms;
    if (is_well)
        master_notify_say(notify, "WATCHDOG=1");
    /* A worker that is just being replaced shall not make the manager wait for the whole of the next half. */
    notify->next_ms = now_ms + (is_well ? notify->watchdog_ms : notify->watchdog_ms / 8 + 1);
    return notify->next_ms;
}
