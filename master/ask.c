#include "master/ask.h"

#include "base/fdio.h"
#include "base/own.h"
#include "master/admin_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PATIENCE_S    120 /* a purge of very much, or an image behind many others */
#define AT_ONCE_BYTES 65536

/* The one place that knows how the admin listener is reached. */
static enum rc connect_admin(const struct settings *settings, int *ret_fd, struct err *err)
{
    struct sockaddr_storage address;
    socklen_t length;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    OWN_FD int local = master_admin_socket_connect(settings);
    if (local >= 0 && setsockopt(local, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0) {
        *ret_fd = TAKE_FD(local);
        return RC_OK;
    }
    if (settings->admin[0] == '\0')
        return err_set(err, RC_IO, "the setting admin is empty: the server has no listener for this");
    const char *wrong = settings_parse_address(settings->admin, &address, &length);
    if (wrong != NULL)
        return err_set(err, RC_BAD_REQUEST, "admin is \"%s\": %s", settings->admin, wrong);
    OWN_FD int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (const struct sockaddr *)&address, length) < 0)
        return err_set_errno(err, RC_IO, errno, "no server answers at %s", settings->admin);
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

static enum rc read_all(int fd, struct bytes *out, struct err *err)
{
    for (;;) {
        enum rc rc = bytes_reserve(out, AT_ONCE_BYTES, err);
        if (rc != RC_OK)
            return rc;
        ssize_t count = recv(fd, out->data + out->length, AT_ONCE_BYTES, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return err_set_errno(err, RC_IO, errno, "the server's answer cannot be read");
        if (count == 0)
            return RC_OK;
        out->length += (size_t)count;
    }
}

/* HTTP/1.0, so that the body ends with the connection. */
enum rc master_ask(const struct settings *settings, const char *method, const char *target,
                   unsigned *ret_status, struct bytes *ret_body, struct err *err)
{
    OWN(bytes_done) struct bytes request = {0};
    OWN(bytes_done) struct bytes answer = {0};
    OWN_FD int fd = -1;
    enum rc rc = connect_admin(settings, &fd, err);
    if (rc == RC_OK)
        rc = bytes_format(&request, err, "%s %s HTTP/1.0\r\nHost: localhost\r\n", method, target);
    if (rc == RC_OK && settings->admin_token[0] != '\0')
        rc = bytes_format(&request, err, "Authorization: Bearer %s\r\n", settings->admin_token);
    if (rc == RC_OK)
        rc = bytes_format(&request, err, "\r\n");
    if (rc == RC_OK)
        rc = fdio_write_all(fd, request.data, request.length, err);
    if (rc == RC_OK)
        rc = read_all(fd, &answer, err);
    if (rc != RC_OK)
        return rc;
    const uint8_t *end = answer.length > 0 ? memmem(answer.data, answer.length, "\r\n\r\n", 4) : NULL;
    unsigned status = 0;
    if (end == NULL || sscanf((const char *)answer.data, "HTTP/1.%*1u %3u ", &status) != 1)
        return err_set(err, RC_IO, "what answers at %s is no server of this kind", settings->admin);
    size_t head = (size_t)(end - answer.data) + 4;
    memmove(answer.data, answer.data + head, answer.length - head);
    answer.length -= head;
    *ret_status = status;
    *ret_body = answer;
    answer = (struct bytes){0};
    return RC_OK;
}
