#include "master/handover.h"

#include "base/fdio.h"
#include "base/own.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define SEND_PATIENCE_MS 5000

static const char magic[8] = "VITRHAND";

void master_handover_fill(struct master_handover *record, enum master_handover_kind kind)
{
    memset(record, 0, sizeof *record);
    memcpy(record->magic, magic, sizeof magic);
    record->version = MASTER_HANDOVER_VERSION;
    record->bytes = sizeof *record;
    record->journal_version = SHM_JOURNAL_VERSION;
    record->kind = kind;
}

enum rc master_handover_check(const struct master_handover *record, size_t length, struct err *err)
{
    if (length < sizeof record->magic + 2 * sizeof(uint32_t) ||
        memcmp(record->magic, magic, sizeof magic) != 0)
        return err_set(err, RC_CORRUPT, "what the other master says is no handover");
    if (record->version != MASTER_HANDOVER_VERSION || record->bytes != sizeof *record ||
        length != sizeof *record)
        return err_set(err, RC_CORRUPT, "the other master hands over by version %u, this one by version %u",
                       record->version, MASTER_HANDOVER_VERSION);
    if (record->journal_version != SHM_JOURNAL_VERSION)
        return err_set(err, RC_CORRUPT,
                       "the other master's journal is of version %u, this one's of version %u",
                       record->journal_version, SHM_JOURNAL_VERSION);
    return RC_OK;
}

void master_handover_from(struct master_handover *record, const struct master_connection *connection)
{
    master_handover_fill(record, HANDOVER_PLACE);
    record->place = connection->place;
    record->generation = connection->generation;
    record->is_open = connection->fd >= 0;
    if (record->is_open) {
        record->is_admin = connection->is_admin;
        record->peer = connection->peer;
    }
}

enum rc master_handover_send(int channel, const struct master_handover *record, int sent_fd, struct err *err)
{
    for (;;) {
        enum rc rc = fdio_send(channel, record, sizeof *record, sent_fd, err);
        if (rc != RC_BUSY)
            return rc;
        struct pollfd wait = {.fd = channel, .events = POLLOUT};
        int count = poll(&wait, 1, SEND_PATIENCE_MS);
        if (count == 0)
            return err_set(err, RC_IO, "the other master takes nothing");
        if (count < 0 && errno != EINTR)
            return err_set_errno(err, RC_IO, errno, "the other master cannot be waited for");
    }
}

enum rc master_handover_receive(int channel, int patience_ms, struct master_handover *ret_record, int *ret_fd,
                                struct err *err)
{
    struct pollfd wait = {.fd = channel, .events = POLLIN};
    int count;
    do
        count = poll(&wait, 1, patience_ms);
    while (count < 0 && errno == EINTR);
    if (count == 0)
        return err_set(err, RC_BUSY, "the other master says nothing");
    struct master_handover record;
    OWN_FD int fd = -1;
    size_t length = 0;
    enum rc rc = fdio_receive(channel, &record, sizeof record, &length, &fd, err);
    if (rc == RC_OK && length == 0)
        rc = err_set(err, RC_IO, "the other master is gone");
    if (rc == RC_OK)
        rc = master_handover_check(&record, length, err);
    if (rc != RC_OK)
        return rc;
    *ret_record = record;
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}
