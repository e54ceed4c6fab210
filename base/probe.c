#include "base/probe.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that is asked of a folder before it is used. */
static void look(const char *path)
{
    struct stat status;
    struct statfs system;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && fstatfs(fd, &system) == 0)
        (void)!access(path, R_OK | X_OK);
}

/* Holds nothing of its parent's but the pipe, whose end says that the folder has answered. */
static _Noreturn void be_child(const char *path, int pipe_fd, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(pipe_fd, STDIN_FILENO) < 0 || close_range(STDIN_FILENO + 1, ~0u, 0) < 0 || getppid() != parent)
        _exit(1);
    look(path);
    _exit(0);
}

bool probe_folder(const char *path, int64_t patience_ms, int *ret_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return true; /* whoever looks next will see */
    OWN_FD int ours = ends[0];
    OWN_FD int theirs = ends[1];
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        be_child(path, theirs, parent);
    own_close(&theirs);
    if (child < 0)
        return true;
    struct pollfd end = {.fd = ours, .events = POLLIN};
    int ready;
    do
        ready = poll(&end, 1, (int)patience_ms);
    while (ready < 0 && errno == EINTR);
    if (ready != 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
        return true;
    }
    if (ret_fd != NULL)
        *ret_fd = TAKE_FD(ours);
    return false;
}
