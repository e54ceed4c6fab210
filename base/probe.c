#include "base/probe.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGAIN_MS 1000

#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif

bool probe_may_hang(long system_type)
{
    static const long remote[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                  SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,
                                  V9FS_MAGIC,       AFS_SUPER_MAGIC,  CODA_SUPER_MAGIC};
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if (system_type == remote[i])
            return true;
    return false;
}

bool probe_has_failed(int os_errno)
{
    return os_errno == EAGAIN || os_errno == ENOMEM || os_errno == EMFILE || os_errno == ENFILE ||
           os_errno == ECHILD;
}

bool probe_is_away(int os_errno)
{
    static const int away[] = {ESTALE,    ENOTCONN,     ECONNABORTED, ECONNREFUSED, ECONNRESET, EIO,
                               ETIMEDOUT, EHOSTUNREACH, EHOSTDOWN,    ENETUNREACH,  EREMOTEIO};
    for (size_t i = 0; i < sizeof away / sizeof away[0]; i++)
        if (os_errno == away[i])
            return true;
    return false;
}

bool probe_is_lost(int os_errno)
{
    return os_errno == ESTALE || os_errno == ENOTCONN;
}

static bool is_readable(int fd, int64_t end_ms)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        ready = poll(&end, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    return ready != 0;
}

/* ---- the child ---- */

/* What it says; the descriptor goes beside it. */
struct word {
    int os_errno;
    long system_type;
};

/* Places of all that the child has. */
enum { SOCKET, FOLDER };

/* Holds nothing of its parent's but these two. */
static bool keep_only(int socket, int folder_fd)
{
    int high_socket = fcntl(socket, F_DUPFD, FOLDER + 1),
        high_folder = folder_fd < 0 ? -1 : fcntl(folder_fd, F_DUPFD, FOLDER + 1);
    return dup2(high_socket, SOCKET) >= 0 && (folder_fd < 0 || dup2(high_folder, FOLDER) >= 0) &&
           close_range(folder_fd < 0 ? FOLDER : FOLDER + 1, ~0u, 0) == 0;
}

/* Every call that may stand still. */
static int look(int folder_fd, const char *path, struct word *ret_word)
{
    struct statfs system;
    *ret_word = (struct word){.os_errno = 0};
    int fd = openat(folder_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || faccessat(fd, ".", R_OK | X_OK, AT_EACCESS) < 0)
        ret_word->os_errno = errno;
    if (fd >= 0 && fstatfs(fd, &system) == 0)
        ret_word->system_type = (long)system.f_type;
    return fd;
}

static _Noreturn void be_child(const struct probe *probe, int socket, pid_t parent)
{
    struct word word;
    struct err err;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!keep_only(socket, probe->folder_fd) || getppid() != parent)
        _exit(1);
    int folder_fd = probe->folder_fd < 0 ? probe->folder_fd : FOLDER;
    int fd = look(folder_fd, probe->path, &word);
    bool said = fdio_send(SOCKET, &word, sizeof word, fd, &err) == RC_OK;
    while (said && probe->goes_on && probe_is_away(word.os_errno)) {
        own_close(&fd);
        if (is_readable(SOCKET, clock_monotonic_ms() + AGAIN_MS))
            break; /* the parent's end has been closed */
        fd = look(folder_fd, probe->path, &word);
        if (!probe_is_away(word.os_errno))
            said = fdio_send(SOCKET, &word, sizeof word, -1, &err) == RC_OK;
    }
    _exit(said ? 0 : 1);
}

/* ---- the parent ---- */

static void begin(struct probe *probe)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        probe->os_errno = errno;
        return;
    }
    OWN_FD int ours = pair[0];
    OWN_FD int theirs = pair[1];
    pid_t child = fork();
    if (child == 0)
        be_child(probe, theirs, parent);
    if (child < 0) {
        probe->os_errno = errno;
        return;
    }
    probe->child = child;
    probe->answer_fd = TAKE_FD(ours);
}

/* It has said something, or ended. */
static void hear(struct probe *probe)
{
    struct word word;
    struct err err;
    size_t length = 0;
    enum rc rc = fdio_receive(probe->answer_fd, &word, sizeof word, &length, &probe->fd, &err);
    if (rc != RC_OK || length != sizeof word)
        probe->os_errno = ECHILD; /* somebody has killed it */
    else if (word.os_errno == 0 && probe->fd < 0)
        probe->os_errno = EMFILE;
    else
        probe->os_errno = word.os_errno;
    if (probe->goes_on && probe_is_away(probe->os_errno) && length == sizeof word) {
        own_close(&probe->fd);
        probe->fd = -1;
        return; /* the child goes on */
    }
    if (probe->fd >= 0)
        probe->system_type = word.system_type;
    close(TAKE_FD(probe->answer_fd));
    while (waitpid(probe->child, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void probe_folders(struct probe *probe, size_t count, int64_t patience_ms)
{
    int64_t end_ms = clock_monotonic_ms() + patience_ms;
    for (size_t i = 0; i < count; i++) {
        probe[i].answer_fd = probe[i].fd = -1;
        probe[i].os_errno = 0;
        probe[i].system_type = 0;
        if (probe[i].path != NULL)
            begin(&probe[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (probe[i].answer_fd >= 0 && is_readable(probe[i].answer_fd, end_ms))
            hear(&probe[i]);
}

void probe_done(struct probe *probe, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        own_close(&probe[i].answer_fd);
        own_close(&probe[i].fd);
        probe[i].answer_fd = probe[i].fd = -1;
    }
}
