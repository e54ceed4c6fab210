#include "base/fdio.h"

#include "base/own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum rc fdio_pread_exact(int fd, void *data, size_t length, uint64_t offset, struct err *err)
{
    uint8_t *to = data;
    while (length > 0) {
        ssize_t n = pread(fd, to, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, RC_IO, errno, "%zu bytes could not be read", length);
        if (n == 0)
            return err_set(err, RC_CORRUPT, "the file ends %zu bytes too early", length);
        to += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return RC_OK;
}

enum rc fdio_write_all(int fd, const void *data, size_t length, struct err *err)
{
    const uint8_t *from = data;
    while (length > 0) {
        ssize_t n = write(fd, from, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, RC_IO, errno, "%zu bytes could not be written", length);
        from += n;
        length -= (size_t)n;
    }
    return RC_OK;
}

enum rc fdio_send(int socket, const void *data, size_t length, int sent_fd, struct err *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (sent_fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &sent_fd, sizeof sent_fd);
    }
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return RC_OK;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
        return err_set_errno(err, RC_BUSY, errno, "the peer's queue is full");
    return err_set_errno(err, RC_IO, errno, "a message could not be sent");
}

enum rc fdio_receive(int socket, void *data, size_t capacity, size_t *ret_length, int *ret_fd,
                     struct err *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = data, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return err_set(err, RC_BUSY, "no message is there");
    if (n < 0 && errno == ECONNRESET)
        n = 0;
    if (n < 0)
        return err_set_errno(err, RC_IO, errno, "a message could not be received");
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
    *ret_length = (size_t)n;
    *ret_fd = fd;
    return RC_OK;
}

const char *fdio_scratch_folder(void)
{
    const char *environment = getenv("TMPDIR");
    return environment != NULL && environment[0] != '\0' ? environment : "/var/tmp";
}

enum rc fdio_scratch_file(const char *what, char **ret_path, struct err *err)
{
    OWN_FREE char *path = NULL;
    if (asprintf(&path, "%s/vitrine-%s-XXXXXX", fdio_scratch_folder(), what) < 0) {
        path = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a file's name");
    }
    OWN_FD int fd = mkstemp(path);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "a temporary file %s cannot be made", path);
    *ret_path = TAKE_PTR(path);
    return RC_OK;
}
