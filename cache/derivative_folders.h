/* The 256 folders in which cached derivatives lie ("00" to "ff"), kept open once a file was found in them: a look-up then goes
 * through one directory instead of two.
 *
 * A descriptor may be of a folder that has been removed, and made again, meanwhile. So what is not found in it is looked for from
 * the parent, by which the descriptor is then set right. Its number stays, so that whoever is using it uses the old folder or the
 * new one. Any thread of a worker; these are its own, closed with it. */
#ifndef CACHE_DERIVATIVE_FOLDERS_H
#define CACHE_DERIVATIVE_FOLDERS_H

#include <stdatomic.h>

struct derivative_folders {
    atomic_int fd[256]; /* one more than the descriptor; 0: none */
};

/* Opens the entry of that name (cache/derivative_entry.h) for reading, below `parent_fd`. -1 with errno. */
int derivative_folders_open(struct derivative_folders *folders, int parent_fd, const char *name);
/* Fits OWN(derivative_folders_done), where nobody uses them any more. */
void derivative_folders_done(struct derivative_folders *folders);

#endif
