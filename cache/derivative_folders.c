#include "cache/derivative_folders.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ENTRY_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static unsigned digit_of(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static atomic_int *place_of(struct derivative_folders *folders, const char *name)
{
    return &folders->fd[(digit_of(name[0]) << 4 | digit_of(name[1])) & 255];
}

/* The folder was not kept, or is another one by now. */
static void keep(atomic_int *place, int parent_fd, const char *name)
{
    const char folder[] = {name[0], name[1], '\0'};
    OWN_FD int fd = openat(parent_fd, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int kept = atomic_load_explicit(place, memory_order_acquire);
    if (fd < 0)
        return;
    if (kept != 0)
        dup3(fd, kept - 1, O_CLOEXEC);
    else if (atomic_compare_exchange_strong(place, &kept, fd + 1))
        (void)TAKE_FD(fd);
}

int derivative_folders_open(struct derivative_folders *folders, int parent_fd, const char *name)
{
    atomic_int *place = place_of(folders, name);
    int kept = atomic_load_explicit(place, memory_order_acquire);
    int fd = kept != 0 ? openat(kept - 1, name + 3, ENTRY_FLAGS) : -1;
    if (fd >= 0 || (kept != 0 && errno != ENOENT))
        return fd;
    fd = openat(parent_fd, name, ENTRY_FLAGS);
    if (fd >= 0)
        keep(place, parent_fd, name);
    return fd;
}

void derivative_folders_done(struct derivative_folders *folders)
{
    for (unsigned i = 0; i < 256; i++) {
        int kept = atomic_exchange(&folders->fd[i], 0);
        if (kept != 0)
            close(kept - 1);
    }
}
