#include "master/store.h"

#include "base/fdio.h"
#include "base/own.h"
#include "master/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static enum rc socket_cookie(int fd, uint64_t *ret_cookie, struct err *err)
{
    socklen_t length = sizeof *ret_cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &length) < 0)
        return err_set_errno(err, RC_IO, errno, "a connection cannot be recognised");
    return RC_OK;
}

/* Keeping ------------------------------------------------------------------------------------------------ */

/* The table's file and, in `fd`, the connections that are kept. */
static enum rc write_table(const struct master_store *store, int table, int fd[MASTER_STORE_MOST],
                           uint32_t *ret_count, struct err *err)
{
    struct master_handover record;
    uint32_t places = master_connection_places(store->connections), count = 0;
    master_handover_fill(&record, HANDOVER_JOURNAL);
    record.number = store->max_connections;
    enum rc rc = fdio_write_all(table, &record, sizeof record, err);
    for (uint32_t place = 0; place < places && rc == RC_OK; place++) {
        const struct master_connection *connection = master_connection_at(store->connections, place);
        master_handover_from(&record, connection);
        if (record.is_open != 0 && count == MASTER_STORE_MOST) {
            record.is_open = 0;
            record.generation++; /* its number shall not come again */
        } else if (record.is_open != 0) {
            rc = socket_cookie(connection->fd, &record.number, err);
            fd[count++] = connection->fd;
        }
        if (rc == RC_OK)
            rc = fdio_write_all(table, &record, sizeof record, err);
    }
    master_handover_fill(&record, HANDOVER_END);
    if (rc == RC_OK)
        rc = fdio_write_all(table, &record, sizeof record, err);
    if (rc == RC_OK)
        *ret_count = count;
    return rc;
}

enum rc master_store_keep(const struct master_store *store, const struct master_notify *notify,
                          struct err *err)
{
    if (notify->socket < 0)
        return err_set(err, RC_IO, "there is no service manager that could keep connections");
    OWN_FD int table = memfd_create("vitrine table", MFD_CLOEXEC);
    int fd[MASTER_STORE_MOST];
    uint32_t count = 0;
    if (table < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of connections");
    enum rc rc = write_table(store, table, fd, &count, err);
    if (rc != RC_OK)
        return rc;
    int journal = shm_journal_fd(store->journal);
    bool kept =
        master_notify_keep(notify, MASTER_ACTIVATION_TABLE, &table, 1) &&
        master_notify_keep(notify, MASTER_ACTIVATION_JOURNAL, &journal, 1) &&
        master_notify_keep(notify, MASTER_ACTIVATION_CONNECTION, fd, count) &&
        (store->public < 0 || master_notify_keep(notify, MASTER_ACTIVATION_KEPT_PUBLIC, &store->public, 1)) &&
        (store->admin < 0 || master_notify_keep(notify, MASTER_ACTIVATION_KEPT_ADMIN, &store->admin, 1));
    if (!kept) {
        master_store_forget(notify);
        return err_set(err, RC_IO, "the service manager does not keep the connections");
    }
    master_notify_flush(notify);
    return RC_OK;
}

void master_store_forget(const struct master_notify *notify)
{
    static const char *const name[] = {MASTER_ACTIVATION_TABLE, MASTER_ACTIVATION_JOURNAL,
                                       MASTER_ACTIVATION_CONNECTION, MASTER_ACTIVATION_KEPT_PUBLIC,
                                       MASTER_ACTIVATION_KEPT_ADMIN};
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        master_notify_say(notify, "FDSTOREREMOVE=1\nFDNAME=%s", name[i]);
}

/* Taking up again ---------------------------------------------------------------------------------------- */

struct kept_connection {
    uint64_t cookie;
    int *fd;
};

static int compare_cookies(const void *a, const void *b)
{
    uint64_t one = ((const struct kept_connection *)a)->cookie,
             other = ((const struct kept_connection *)b)->cookie;
    return (one > other) - (one < other);
}

static enum rc read_record(int table, uint64_t index, struct master_handover *ret_record, struct err *err)
{
    enum rc rc = fdio_pread_exact(table, ret_record, sizeof *ret_record, index * sizeof *ret_record, err);
    return rc == RC_OK ? master_handover_check(ret_record, sizeof *ret_record, err) : rc;
}

enum rc master_store_check(const struct master_activation *activation, uint32_t max_connections,
                           struct err *err)
{
    struct master_handover record;
    if (activation->table < 0 || activation->journal < 0)
        return err_set(err, RC_CORRUPT, "it is not whole");
    enum rc rc = read_record(activation->table, 0, &record, err);
    if (rc == RC_OK && (record.kind != HANDOVER_JOURNAL || record.number != max_connections))
        return err_set(err, RC_CORRUPT, "it is for another max_connections");
    return rc;
}

enum rc master_store_restore(struct master_activation *activation, struct master_connections *connections,
                             struct err *err)
{
    uint32_t count = activation->connection_count;
    OWN_FREE struct kept_connection *kept = calloc((size_t)count + 1, sizeof *kept);
    if (kept == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %u connections", count);
    for (uint32_t i = 0; i < count; i++) {
        kept[i].fd = &activation->connection[i];
        if (socket_cookie(*kept[i].fd, &kept[i].cookie, err) != RC_OK)
            kept[i].cookie = 0;
    }
    qsort(kept, count, sizeof *kept, compare_cookies);
    for (uint64_t index = 1;; index++) {
        struct master_handover record;
        enum rc rc = read_record(activation->table, index, &record, err);
        if (rc != RC_OK || record.kind == HANDOVER_END)
            return rc;
        const struct kept_connection key = {.cookie = record.number};
        struct kept_connection *found = record.is_open != 0
                                            ? bsearch(&key, kept, count, sizeof *kept, compare_cookies)
                                            : NULL;
        int fd = found != NULL ? TAKE_FD(*found->fd) : -1;
        bool has_ended = record.is_open != 0 && fd < 0;
        rc = master_connection_restore(connections, record.generation + has_ended, fd, &record.peer,
                                       record.is_admin != 0, err);
        if (rc != RC_OK)
            return rc;
    }
}
