#include "master/takeover.h"

#include "base/own.h"
#include "master/handover.h"
#include "master/program.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define PATIENCE_MS 5000 /* between two records that follow each other */
#define NAMED_MS    5000

static enum rc take_first(struct master_takeover *takeover, struct err *err)
{
    for (;;) {
        struct master_handover record;
        OWN_FD int fd = -1;
        enum rc rc = master_handover_receive(takeover->channel, PATIENCE_MS, &record, &fd, err);
        if (rc != RC_OK)
            return rc;
        int *place = record.kind == HANDOVER_JOURNAL  ? &takeover->journal
                     : record.kind == HANDOVER_PUBLIC ? &takeover->public
                     : record.kind == HANDOVER_ADMIN  ? &takeover->admin
                                                      : NULL;
        if (record.kind == HANDOVER_START && takeover->journal >= 0 && takeover->public >= 0)
            return RC_OK;
        if (place == NULL || *place >= 0 || fd < 0)
            return err_set(err, RC_CORRUPT, "the other master does not hand over what is needed");
        *place = TAKE_FD(fd);
        if (record.kind == HANDOVER_JOURNAL && record.number > 0 && record.number <= INT32_MAX)
            takeover->max_connections = (uint32_t)record.number;
    }
}

/* The descriptor's number, -1 where there is none. */
static int find_channel(void)
{
    const char *text = getenv(MASTER_PROGRAM_CHANNEL);
    char *end;
    if (text == NULL)
        return -1;
    long number = strtol(text, &end, 10);
    bool is_number = end != text && *end == '\0' && number > STDERR_FILENO && number <= INT_MAX;
    unsetenv(MASTER_PROGRAM_CHANNEL); /* not for the program after this */
    if (!is_number || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return (int)number;
}

enum rc master_takeover_begin(struct master_takeover *ret_takeover, struct err *err)
{
    *ret_takeover = (struct master_takeover){.channel = -1, .journal = -1, .public = -1, .admin = -1};
    struct master_takeover takeover = {.channel = find_channel(), .journal = -1, .public = -1, .admin = -1};
    if (takeover.channel >= 0) {
        enum rc rc = take_first(&takeover, err);
        if (rc != RC_OK) {
            master_takeover_done(&takeover);
            return rc;
        }
        takeover.state = TAKEOVER_BEGUN;
    }
    *ret_takeover = takeover;
    return RC_OK;
}

void master_takeover_done(struct master_takeover *takeover)
{
    own_close(&takeover->channel);
    own_close(&takeover->journal);
    own_close(&takeover->public);
    own_close(&takeover->admin);
    *takeover = (struct master_takeover){.channel = -1, .journal = -1, .public = -1, .admin = -1};
}

enum rc master_takeover_say_ready(struct master_takeover *takeover, struct err *err)
{
    /* Started in a group of its own, so that an attempt can be ended with all it has started. From now on it
     * belongs to the group that a terminal sends its signals to. */
    setpgid(0, getpgid(getppid()));
    struct master_handover record;
    master_handover_fill(&record, HANDOVER_READY);
    enum rc rc = master_handover_send(takeover->channel, &record, -1, err);
    if (rc == RC_OK)
        takeover->state = TAKEOVER_READY;
    return rc;
}

/* The other master closes the channel once it has told the service manager who is the main process now, which
 * hears nobody else. It does so at once; one that cannot is not waited for long. */
static void wait_to_be_named(const struct master_takeover *takeover)
{
    struct pollfd end = {.fd = takeover->channel, .events = POLLIN};
    (void)poll(&end, 1, NAMED_MS);
}

enum rc master_takeover_take(struct master_takeover *takeover, struct master_connections *connections,
                             struct err *err)
{
    uint64_t open = 0;
    for (;;) {
        struct master_handover record;
        OWN_FD int fd = -1;
        enum rc rc = master_handover_receive(takeover->channel, PATIENCE_MS, &record, &fd, err);
        if (rc != RC_OK)
            return rc;
        if (record.kind == HANDOVER_PLACE && record.place == master_connection_places(connections) &&
            (record.is_open != 0) == (fd >= 0)) {
            open += fd >= 0;
            rc = master_connection_restore(connections, record.generation, TAKE_FD(fd), &record.peer,
                                           record.is_admin != 0, err);
            if (rc != RC_OK)
                return rc;
        } else if (record.kind == HANDOVER_END && record.number == open) {
            takeover->shall_reload = record.shall_reload != 0;
            takeover->state = TAKEOVER_TAKEN;
            master_handover_fill(&record, HANDOVER_TAKEN);
            rc = master_handover_send(takeover->channel, &record, -1, err);
            if (rc == RC_OK)
                wait_to_be_named(takeover);
            return rc;
        } else {
            return err_set(err, RC_CORRUPT, "the other master's table of connections does not arrive whole");
        }
    }
}
