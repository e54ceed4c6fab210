#include "master/logs.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_file(const char *value)
{
    return strcmp(value, "off") != 0 && strcmp(value, "stderr") != 0 && settings_syslog_path(value) == NULL;
}

bool master_logs_has_access_file(const struct settings *settings)
{
    return is_file(settings->access_log);
}

bool master_logs_has_error_file(const struct settings *settings)
{
    return is_file(settings->error_log);
}

/* Readable by the group: log files tell who has looked at what. */
static enum rc open_file(const char *path, int *ret_fd, struct err *err)
{
    const int flags = O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC | O_NONBLOCK;
    OWN_FD int fd = open(path, O_WRONLY | flags, 0640);
    if (fd < 0 && errno == ENXIO) /* a named pipe without a reader, yet */
        fd = open(path, O_RDWR | flags, 0640);
    int state = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (state < 0 || fcntl(fd, F_SETFL, state & ~O_NONBLOCK) < 0)
        return err_set_errno(err, RC_IO, errno, "the log %s cannot be opened", path);
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

static enum rc open_socket(int *ret_fd, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "no socket for syslog");
    *ret_fd = fd;
    return RC_OK;
}

static enum rc open_access(const struct settings *settings, int *ret_fd, struct err *err)
{
    if (is_file(settings->access_log))
        return open_file(settings->access_log, ret_fd, err);
    return settings_syslog_path(settings->access_log) != NULL ? open_socket(ret_fd, err) : RC_OK;
}

static enum rc open_error(const struct settings *settings, struct err *err)
{
    OWN_FD int fd = -1;
    if (!is_file(settings->error_log))
        return RC_OK;
    enum rc rc = open_file(settings->error_log, &fd, err);
    if (rc == RC_OK && dup2(fd, STDERR_FILENO) < 0)
        rc = err_set_errno(err, RC_IO, errno, "the log %s cannot take the place of standard error",
                           settings->error_log);
    return rc;
}

enum rc master_logs_open(const struct settings *settings, struct master_logs *ret_logs, struct err *err)
{
    struct master_logs logs = {.access = -1, .syslog = -1};
    const char *path = settings_syslog_path(settings->error_log);
    enum rc rc = open_access(settings, &logs.access, err);
    if (rc == RC_OK && path != NULL)
        rc = open_socket(&logs.syslog, err);
    if (rc == RC_OK)
        rc = open_error(settings, err);
    if (rc != RC_OK) {
        own_close(&logs.access);
        own_close(&logs.syslog);
        return rc;
    }
    if (path != NULL)
        log_to_syslog(logs.syslog, path);
    *ret_logs = logs;
    return RC_OK;
}

void master_logs_reopen(const struct settings *settings, struct master_logs *logs)
{
    struct err err;
    int access = -1;
    if (open_error(settings, &err) != RC_OK)
        log_error("%s", err.message);
    if (!is_file(settings->access_log))
        return;
    if (open_access(settings, &access, &err) != RC_OK) {
        log_error("%s", err.message);
        return;
    }
    own_close(&logs->access);
    logs->access = access;
}

void master_logs_close(struct master_logs *logs)
{
    log_to_syslog(-1, "");
    own_close(&logs->access);
    own_close(&logs->syslog);
    *logs = (struct master_logs){.access = -1, .syslog = -1};
}
