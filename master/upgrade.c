#include "master/upgrade.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/handover.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define READY_PATIENCE_MS 10000 /* nobody waits for it: the old workers serve */
#define TAKEN_PATIENCE_MS 5000  /* everybody waits for it */

static enum rc tell(int channel, enum master_handover_kind kind, int sent_fd, uint64_t number,
                    struct err *err)
{
    struct master_handover record;
    master_handover_fill(&record, kind);
    record.number = number;
    return master_handover_send(channel, &record, sent_fd, err);
}

enum rc master_upgrade_begin(struct master_upgrade *upgrade, const struct master_program *program,
                             const struct shm_journal *journal, uint32_t max_connections, int public,
                             int admin, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set_errno(err, RC_IO, errno, "no channel for the new program");
    OWN_FD int ours = pair[0];
    OWN_FD int theirs = pair[1];
    /* They wait in the channel until the program reads. */
    enum rc rc = tell(ours, HANDOVER_JOURNAL, shm_journal_fd(journal), max_connections, err);
    if (rc == RC_OK)
        rc = tell(ours, HANDOVER_PUBLIC, public, 0, err);
    if (rc == RC_OK && admin >= 0)
        rc = tell(ours, HANDOVER_ADMIN, admin, 0, err);
    if (rc == RC_OK)
        rc = tell(ours, HANDOVER_START, -1, 0, err);
    if (rc == RC_OK)
        rc = master_program_start(program, theirs, &upgrade->pid, err);
    if (rc != RC_OK)
        return rc;
    upgrade->channel = TAKE_FD(ours);
    upgrade->deadline_ms = clock_monotonic_ms() + READY_PATIENCE_MS;
    return RC_OK;
}

static enum rc expect(int channel, int patience_ms, enum master_handover_kind kind, struct err *err)
{
    struct master_handover record;
    OWN_FD int fd = -1;
    enum rc rc = master_handover_receive(channel, patience_ms, &record, &fd, err);
    if (rc == RC_OK && record.kind != (uint32_t)kind)
        return err_set(err, RC_CORRUPT, "the new program says %u where %u was expected", record.kind,
                       (unsigned)kind);
    return rc;
}

enum rc master_upgrade_hear(struct master_upgrade *upgrade, struct err *err)
{
    return expect(upgrade->channel, 0, HANDOVER_READY, err);
}

enum rc master_upgrade_hand_over(struct master_upgrade *upgrade, const struct master_connections *connections,
                                 bool shall_reload, struct err *err)
{
    uint32_t places = master_connection_places(connections);
    struct master_handover record;
    uint64_t open = 0;
    enum rc rc = RC_OK;
    for (uint32_t place = 0; place < places && rc == RC_OK; place++) {
        const struct master_connection *connection = master_connection_at(connections, place);
        master_handover_from(&record, connection);
        rc = master_handover_send(upgrade->channel, &record, connection->fd, err);
        open += connection->fd >= 0;
    }
    if (rc != RC_OK)
        return rc;
    master_handover_fill(&record, HANDOVER_END);
    record.number = open;
    record.shall_reload = shall_reload;
    rc = master_handover_send(upgrade->channel, &record, -1, err);
    return rc == RC_OK ? expect(upgrade->channel, TAKEN_PATIENCE_MS, HANDOVER_TAKEN, err) : rc;
}

void master_upgrade_abandon(struct master_upgrade *upgrade)
{
    if (upgrade->pid > 0) {
        /* It may be a script, with children that hold the channel and what came over it. */
        kill(-upgrade->pid, SIGKILL);
        if (!upgrade->has_ended)
            kill(upgrade->pid, SIGKILL);
        while (!upgrade->has_ended && waitpid(upgrade->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    own_close(&upgrade->channel);
    *upgrade = (struct master_upgrade){.channel = -1};
}
