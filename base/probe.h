/* A look at folders that may hang.
 *
 * A call into a network file system whose server is away can stand still for minutes, and nothing ends it: no signal, and
 * no other thread can do without the one that stands. It may do so at any call, also right after one that was answered. So a child
 * process makes every call that is needed to begin with a folder and hands over what came of them, and whoever asks waits for it as
 * long as it cares to and makes none itself. A child that hangs is left behind: it holds nothing, and ends when the file system answers,
 * or with its parent as soon as the kernel lets it. The master reaps it as any child of which it does not know; a worker has no zombies.
 *
 * For processes with one thread (it forks): the master, and a worker before it enters its box. */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct probe {
    /* What is asked. */
    int folder_fd;    /* of the folder that `path` begins in, or AT_FDCWD */
    const char *path; /* NULL: this one is not asked */
    /* What came of it. */
    int answer_fd; /* -1; or it has not answered: becomes readable when it does. The caller's, as the next */
    int fd;        /* O_PATH | O_DIRECTORY; -1: it cannot be opened */
    int os_errno;  /* why not, or why the user that we are may not read it; 0: all is well */
    long system_type; /* of the file system, as statfs(2) has it; 0 without a descriptor */
    pid_t child;      /* the probe's own */
};

/* Looks at all of them at once. Those that have not answered in `patience_ms` have an `answer_fd`; the others answered, be
 * it that they are not there. Where no child can be had os_errno says why (EAGAIN, ENOMEM). */
void probe_folders(struct probe *probe, size_t count, int64_t patience_ms);
/* Closes what there is of the descriptors. */
void probe_done(struct probe *probe, size_t count);

/* Whether a file system of this type may hang: NFS, SMB, FUSE, Ceph, 9P. */
bool probe_may_hang(long system_type);

#endif
