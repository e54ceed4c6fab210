#include "worker/ingest/scratch.h"

#include "base/fdio.h"
#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PREFIX   "vitrine-ingest-"
#define ATTEMPTS 100 /* each lost to a run that starts at the same moment */

static void close_folder(DIR **folder)
{
    if (*folder != NULL)
        closedir(*folder);
}

/* The files of a scratch folder, and it. They have no folders in them. */
static void remove_folder(int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    OWN(close_folder) DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL)
        unlinkat(dirfd(entries), entry->d_name, 0);
    unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* Whose run is over, and who was ours. */
static void sweep(const char *beside)
{
    OWN(close_folder) DIR *entries = opendir(beside);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        struct stat st;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        OWN_FD int fd = openat(dirfd(entries), entry->d_name,
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_folder(dirfd(entries), entry->d_name);
    }
}

/* Until it is locked, a run that sweeps takes it for left behind: true when it is locked and still there. */
static bool lock_folder(const char *path, int *ret_fd)
{
    struct stat st;
    OWN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
        return false;
    if (st.st_nlink == 0) { /* swept */
        errno = ENOENT;
        return false;
    }
    *ret_fd = TAKE_FD(fd);
    return true;
}

enum rc ingest_scratch_open(const char *beside, struct ingest_scratch *ret_scratch, struct err *err)
{
    if (beside[0] == '\0')
        beside = fdio_scratch_folder();
    sweep(beside);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        OWN_FREE char *path = NULL;
        OWN_FD int fd = -1;
        if (asprintf(&path, "%s/" PREFIX "XXXXXX", beside) < 0)
            return err_set(err, RC_NO_MEMORY, "no memory for a folder's name");
        if (mkdtemp(path) == NULL)
            return err_set_errno(err, RC_IO, errno, "no folder for files under way can be made in %s",
                                 beside);
        if (lock_folder(path, &fd)) {
            *ret_scratch = (struct ingest_scratch){.path = TAKE_PTR(path), .fd = TAKE_FD(fd)};
            return RC_OK;
        }
        if (errno != ENOENT && errno != EWOULDBLOCK)
            break;
    }
    return err_set_errno(err, RC_IO, errno, "no folder for files under way can be locked in %s", beside);
}

void ingest_scratch_close(struct ingest_scratch *scratch)
{
    if (scratch->path != NULL)
        remove_folder(AT_FDCWD, scratch->path);
    free(TAKE_PTR(scratch->path));
    own_close(&scratch->fd);
    scratch->fd = -1;
}
