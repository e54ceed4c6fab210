#include "master/program.h"

#include "base/log.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The same file, now. */
static bool is_this_program(const char *path)
{
    struct stat it, this;
    return stat(path, &it) == 0 && stat("/proc/self/exe", &this) == 0 && it.st_dev == this.st_dev &&
           it.st_ino == this.st_ino;
}

/* `directory` may be relative, or empty for the working directory. */
static bool join(const char *directory, size_t length, const char *name, char ret_path[PATH_MAX])
{
    char cwd[PATH_MAX] = "";
    if (directory[0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
        return false;
    int written = snprintf(ret_path, PATH_MAX, "%s%s%.*s%s%s", cwd, cwd[0] != '\0' ? "/" : "", (int)length,
                           directory, length > 0 ? "/" : "", name);
    return written < PATH_MAX && is_this_program(ret_path);
}

/* As execvp() searches, but makes the name absolute. */
static bool search(const char *name, char ret_path[PATH_MAX])
{
    const char *slash = strrchr(name, '/');
    if (slash != NULL)
        return join(name, (size_t)(slash - name), slash + 1, ret_path);
    for (const char *at = getenv("PATH"); at != NULL; at = at[0] == ':' ? at + 1 : NULL) {
        size_t length = strcspn(at, ":");
        if (join(length > 0 ? at : "", length, name, ret_path))
            return true;
        at += length;
    }
    return false;
}

enum rc master_program_find(char *const *argv, struct master_program *ret_program, struct err *err)
{
    char path[PATH_MAX];
    if (argv[0] == NULL || !search(argv[0], path)) {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        if (length < 0)
            return err_set_errno(err, RC_IO, errno, "the file of this program cannot be found");
        path[length] = '\0';
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the name of this program");
    *ret_program = (struct master_program){.path = copy, .argv = argv};
    return RC_OK;
}

void master_program_done(struct master_program *program)
{
    free(TAKE_PTR(program->path));
}

/* In the child. */
__attribute__((noreturn)) static void become(const struct master_program *program, int channel)
{
    char number[16];
    sigset_t none;
    setpgid(0, 0);
    snprintf(number, sizeof number, "%d", channel);
    setenv(MASTER_PROGRAM_CHANNEL, number, 1);
    fcntl(channel, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(program->path, program->argv);
    log_error("USR2: %s cannot be started: %s", program->path, strerror(errno));
    _exit(1);
}

enum rc master_program_start(const struct master_program *program, int channel, pid_t *ret_pid,
                             struct err *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return err_set_errno(err, RC_IO, errno, "%s cannot be started", program->path);
    if (pid == 0)
        become(program, channel);
    setpgid(pid, pid); /* whoever of the two is first */
    *ret_pid = pid;
    return RC_OK;
}
