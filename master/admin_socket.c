#include "master/admin_socket.h"

#include "base/own.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static_assert(MASTER_ADMIN_SOCKET_BYTES == sizeof((struct sockaddr_un){0}.sun_path),
              "a path fits an address");

/* ---- where ---- */

static bool is_auto(const struct settings *settings)
{
    return strcmp(settings->admin_socket, "auto") == 0;
}

/* The folders of "auto" in order; false: there is none of that number, or it does not apply. */
static bool folder_at(unsigned number, char ret_folder[MASTER_ADMIN_SOCKET_BYTES])
{
    const char *runtime = getenv("RUNTIME_DIRECTORY"), *session = getenv("XDG_RUNTIME_DIR");
    int length = -1;
    if (number == 0 && runtime != NULL && runtime[0] == '/') /* systemd may list several */
        length = snprintf(ret_folder, MASTER_ADMIN_SOCKET_BYTES, "%.*s", (int)strcspn(runtime, ":"), runtime);
    else if (number == 1)
        length = snprintf(ret_folder, MASTER_ADMIN_SOCKET_BYTES, "/run/vitrine");
    else if (number == 2 && session != NULL && session[0] == '/')
        length = snprintf(ret_folder, MASTER_ADMIN_SOCKET_BYTES, "%s/vitrine", session);
    else if (number == 3)
        length = snprintf(ret_folder, MASTER_ADMIN_SOCKET_BYTES, "/tmp/vitrine-%u", (unsigned)geteuid());
    return length > 0 && length < MASTER_ADMIN_SOCKET_BYTES;
}
#define FOLDERS 4u

/* A folder that somebody else may change is none. */
static bool is_ours(const char *folder)
{
    struct stat status;
    return lstat(folder, &status) == 0 && S_ISDIR(status.st_mode) && (status.st_mode & 022) == 0 &&
           (status.st_uid == geteuid() || status.st_uid == 0 || geteuid() == 0);
}

static bool name_in(const char *folder, const struct settings *settings,
                    char ret_path[MASTER_ADMIN_SOCKET_BYTES])
{
    const char *address = settings->admin[0] != '\0' ? settings->admin : settings->listen;
    int length = snprintf(ret_path, MASTER_ADMIN_SOCKET_BYTES, "%s/%s.sock", folder, address);
    return length > 0 && length < MASTER_ADMIN_SOCKET_BYTES;
}

static enum rc choose_path(const struct settings *settings, char ret_path[MASTER_ADMIN_SOCKET_BYTES],
                           struct err *err)
{
    char folder[MASTER_ADMIN_SOCKET_BYTES];
    if (!is_auto(settings)) {
        snprintf(ret_path, MASTER_ADMIN_SOCKET_BYTES, "%s", settings->admin_socket);
        return RC_OK;
    }
    for (unsigned i = 0; i < FOLDERS; i++) {
        if (!folder_at(i, folder) || (i == 1 && geteuid() != 0))
            continue;
        if (i > 0 && mkdir(folder, i == 1 ? 0755 : 0700) < 0 && errno != EEXIST)
            continue;
        if (is_ours(folder) && access(folder, W_OK) == 0 && name_in(folder, settings, ret_path))
            return RC_OK;
    }
    return err_set(err, RC_IO, "there is no folder for the admin socket; name one by admin_socket");
}

/* ---- opening ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(where.sun_path, sizeof where.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&where, sizeof where) < 0)
        return -1;
    return TAKE_FD(fd);
}

/* What is there may be taken away. */
static enum rc look_at(const char *path, bool replaces, struct err *err)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? RC_OK : err_set_errno(err, RC_IO, errno, "the admin socket %s", path);
    if (!S_ISSOCK(status.st_mode))
        return err_set(err, RC_IO, "%s is there and is no socket: it is not replaced by the admin socket",
                       path);
    OWN_FD int fd = replaces ? -1 : connect_to(path);
    if (fd >= 0 || (!replaces && errno != ECONNREFUSED && errno != ENOENT))
        return err_set(err, RC_BUSY, "another server has its admin socket at %s", path);
    return RC_OK;
}

static enum rc set_rights(const struct settings *settings, const char *path, struct err *err)
{
    mode_t mode = (mode_t)strtol(settings->admin_socket_mode, NULL, 8);
    if (settings->admin_socket_group[0] != '\0') {
        const struct group *group = getgrnam(settings->admin_socket_group);
        if (group == NULL)
            return err_set(err, RC_IO, "there is no group %s for the admin socket",
                           settings->admin_socket_group);
        if (chown(path, (uid_t)-1, group->gr_gid) < 0)
            return err_set_errno(err, RC_IO, errno, "the admin socket cannot be given to the group %s",
                                 settings->admin_socket_group);
    }
    if (chmod(path, mode) < 0)
        return err_set_errno(err, RC_IO, errno, "the rights of the admin socket %s", path);
    return RC_OK;
}

/* Beside its path, where nobody looks for it until its rights are set. */
static enum rc bind_beside(const struct settings *settings, const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un beside = {.sun_family = AF_UNIX};
    int length = snprintf(beside.sun_path, sizeof beside.sun_path, "%s.%d", path, (int)getpid());
    OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (length >= (int)sizeof beside.sun_path)
        return err_set(err, RC_IO, "the path of the admin socket is too long: %s", path);
    unlink(beside.sun_path);
    mode_t mask = umask(0177);
    int failed = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&beside, sizeof beside);
    umask(mask);
    if (failed < 0)
        return err_set_errno(err, RC_IO, errno, "the admin socket %s", path);
    enum rc rc = set_rights(settings, beside.sun_path, err);
    if (rc == RC_OK && (listen(fd, 128) < 0 || rename(beside.sun_path, path) < 0))
        rc = err_set_errno(err, RC_IO, errno, "the admin socket %s", path);
    if (rc != RC_OK) {
        unlink(beside.sun_path);
        return rc;
    }
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

enum rc master_admin_socket_open(const struct settings *settings, bool replaces,
                                 struct master_admin_socket *ret_socket, int *ret_fd, struct err *err)
{
    struct master_admin_socket opened = {0};
    struct stat status;
    *ret_fd = -1;
    if (settings->admin_socket[0] == '\0')
        return RC_OK;
    enum rc rc = choose_path(settings, opened.path, err);
    if (rc == RC_OK)
        rc = look_at(opened.path, replaces, err);
    if (rc == RC_OK)
        rc = bind_beside(settings, opened.path, ret_fd, err);
    if (rc != RC_OK && is_auto(settings)) {
        log_warning("%s; there is none", err->message);
        return RC_OK;
    }
    if (rc != RC_OK)
        return rc;
    if (lstat(opened.path, &status) == 0) {
        opened.device = status.st_dev;
        opened.inode = status.st_ino;
    }
    *ret_socket = opened;
    return RC_OK;
}

void master_admin_socket_remove(struct master_admin_socket *socket)
{
    struct stat status;
    if (socket->path[0] != '\0' && lstat(socket->path, &status) == 0 && status.st_dev == socket->device &&
        status.st_ino == socket->inode)
        unlink(socket->path);
    *socket = (struct master_admin_socket){0};
}

/* ---- who comes ---- */

bool master_admin_socket_admits(const struct settings *settings, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return false;
    bool is_shared = (strtol(settings->admin_socket_mode, NULL, 8) & 066) != 0;
    return is_shared || peer.uid == 0 || peer.uid == geteuid();
}

int master_admin_socket_connect(const struct settings *settings)
{
    char folder[MASTER_ADMIN_SOCKET_BYTES], path[MASTER_ADMIN_SOCKET_BYTES];
    if (settings->admin_socket[0] == '\0')
        return -1;
    if (!is_auto(settings))
        return connect_to(settings->admin_socket);
    for (unsigned i = 0; i < FOLDERS; i++) {
        bool is_safe = folder_at(i, folder) &&
                       (i < 2 || is_ours(folder)); /* nobody but root makes folders in /run */
        int fd = is_safe && name_in(folder, settings, path) ? connect_to(path) : -1;
        if (fd >= 0)
            return fd;
    }
    return -1;
}
