#include "master/activation.h"

#include "base/log.h"
#include "base/own.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_FD   3
#define MOST_FDS   100000
#define NAME_BYTES 256

static const struct master_activation nothing = {
    .public = -1, .admin = -1, .kept_public = -1, .kept_admin = -1, .journal = -1, .table = -1};

static long environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL)
        return -1;
    long number = strtol(text, &end, 10);
    return end != text && *end == '\0' ? number : -1;
}

/* How many are meant for this process. */
static long count_given(void)
{
    long pid = environment_number("LISTEN_PID"), count = environment_number("LISTEN_FDS");
    return pid == getpid() && count > 0 && count <= MOST_FDS ? count : 0;
}

/* The next of the names, which are separated by colons; empty where there is none. */
static const char *next_name(const char *names, char ret_name[NAME_BYTES])
{
    size_t length = strcspn(names, ":");
    snprintf(ret_name, NAME_BYTES, "%.*s", (int)(length < NAME_BYTES ? length : 0), names);
    return names[length] == ':' ? names + length + 1 : names + length;
}

static bool is_listener(int fd)
{
    int type = 0, listens = 0;
    socklen_t length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
        return false;
    length = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0;
}

/* Where a descriptor of this name belongs; NULL: nowhere, or something is there already. */
static int *find_place(struct master_activation *activation, const char *name, int fd)
{
    struct {
        const char *name;
        int *place;
    } known[] = {
        {MASTER_ACTIVATION_PUBLIC, &activation->public},
        {MASTER_ACTIVATION_ADMIN, &activation->admin},
        {MASTER_ACTIVATION_KEPT_PUBLIC, &activation->kept_public},
        {MASTER_ACTIVATION_KEPT_ADMIN, &activation->kept_admin},
        {MASTER_ACTIVATION_JOURNAL, &activation->journal},
        {MASTER_ACTIVATION_TABLE, &activation->table},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0)
            return *known[i].place < 0 ? known[i].place : NULL;
    if (strcmp(name, MASTER_ACTIVATION_CONNECTION) == 0)
        return &activation->connection[activation->connection_count++];
    if (!is_listener(fd))
        return NULL;
    return activation->public < 0 ? &activation->public : activation->admin < 0 ? &activation->admin : NULL;
}

static void take_all(struct master_activation *activation, long count, const char *names)
{
    char name[NAME_BYTES];
    for (int fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
        names = next_name(names, name);
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            continue; /* there is none of that number */
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        int *place = find_place(activation, name, fd);
        if (place != NULL) {
            *place = fd;
        } else {
            log_warning("descriptor %d of the service manager, named \"%s\", is not needed", fd, name);
            close(fd);
        }
    }
}

enum rc master_activation_take(struct master_activation *ret_activation, struct err *err)
{
    const char *names = getenv("LISTEN_FDNAMES");
    long count = count_given();
    *ret_activation = nothing;
    if (count > 0) {
        ret_activation->connection = calloc((size_t)count, sizeof *ret_activation->connection);
        if (ret_activation->connection == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for %ld descriptors", count);
        take_all(ret_activation, count, names != NULL ? names : "");
    }
    unsetenv("LISTEN_PID"); /* neither for workers nor for the program after this */
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return RC_OK;
}

void master_activation_drop(struct master_activation *activation)
{
    for (uint32_t i = 0; i < activation->connection_count; i++)
        own_close(&activation->connection[i]);
    free(TAKE_PTR(activation->connection));
    activation->connection_count = 0;
    own_close(&activation->journal);
    own_close(&activation->table);
    activation->journal = activation->table = -1;
}

void master_activation_done(struct master_activation *activation)
{
    master_activation_drop(activation);
    own_close(&activation->public);
    own_close(&activation->admin);
    own_close(&activation->kept_public);
    own_close(&activation->kept_admin);
    *activation = nothing;
}
