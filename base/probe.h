/* A look at folders that may hang.
 *
 * A call into a network file system whose server is away can stand still for minutes, and nothing ends it: no signal, and
 * no other thread can do without the one that stands. It may do so at any call, also right after one that was answered. So a child
 * process makes every call that is needed to begin with a folder and hands over what came of them, and whoever asks waits for it as
 * long as it cares to and makes none itself. A child that hangs is left behind: it holds nothing, and ends when the file system answers,
 * or with its parent as soon as the kernel lets it. One that is told that the folder is away (a stale handle, a file server that
 * does not answer a soft mount) may go on asking once a second until it is there. The master reaps it as any child of which it does not
 * know; a worker has no zombies.
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
    bool goes_on;     /* where it is away, it is asked again and again */
    /* What came of it. */
    int answer_fd; /* -1; or it has not answered, or is away and goes on being asked: becomes readable when it is there. The caller's, as
                    * the next */
    int fd;        /* O_PATH | O_DIRECTORY; -1: it cannot be opened */
    int os_errno;  /* why not, or why the user that we are may not read it; 0: all is well */
    long system_type; /* of the file system, as statfs(2) has it; 0 without a descriptor */
    pid_t child;      /* the probe's own */
};

/* Looks at all of them at once. Those that have not answered in `patience_ms` have an `answer_fd` and no os_errno; the others
 * answered, be it that they are not there. Where there is no child to do it nothing is known of the folder: probe_has_failed(). */
void probe_folders(struct probe *probe, size_t count, int64_t patience_ms);
/* Closes what there is of the descriptors. */
void probe_done(struct probe *probe, size_t count);

/* Whether the error says that the system had no process, memory or descriptor for it, and nothing about the folder. */
bool probe_has_failed(int os_errno);
/* Whether the error says that a file server is away for now, and nothing about the folder. */
bool probe_is_away(int os_errno);
/* Whether the error says that what was opened leads nowhere any more: a stale handle, or a mount whose server has ended. */
bool probe_is_lost(int os_errno);
/* Whether a file system of this type may hang: NFS, SMB, FUSE, Ceph, 9P. */
bool probe_may_hang(long system_type);

#endif
