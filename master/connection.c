#include "master/connection.h"

#include "base/own.h"
#include "master/address.h"
#include "worker/heritage.h"

struct connection_list {
    struct master_connection *first, *last;
    uint32_t count;
};

struct master_connections {
    uint32_t most_public, most_per_address;
    uint32_t public_count, admin_count;
    struct master_addresses *addresses;
    struct connection_list list[SHM_MAX_WORKERS + 1];
    struct master_connection *free; /* through `next` */
    uint32_t untouched; /* places from here on have never been used, so their memory is not there yet */
    uint32_t capacity;
    struct master_connection *place;
};

enum rc master_connection_table_new(uint32_t most_public, uint32_t most_per_address,
                                    struct master_connections **ret_table, struct err *err)
{
    struct master_connections *table = calloc(1, sizeof *table);
    if (table == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of connections");
    table->most_public = most_public;
    table->most_per_address = most_per_address;
    table->capacity = WORKER_MOST_CONNECTIONS(most_public);
    table->place = calloc(table->capacity, sizeof *table->place);
    enum rc rc = table->place == NULL
                     ? err_set(err, RC_NO_MEMORY, "no memory for a table of %u connections", table->capacity)
                     : master_address_new(most_public, &table->addresses, err);
    if (rc != RC_OK) {
        master_connection_table_free(&table);
        return rc;
    }
    *ret_table = table;
    return RC_OK;
}

void master_connection_table_free(struct master_connections **table)
{
    struct master_connections *t = TAKE_PTR(*table);
    if (t == NULL)
        return;
    for (uint32_t slot = 0; slot <= MASTER_CONNECTION_WAITING; slot++)
        while (t->list[slot].first != NULL)
            master_connection_end(t, t->list[slot].first);
    master_address_free(&t->addresses);
    free(t->place);
    free(t);
}

void master_connection_limit(struct master_connections *table, uint32_t most_per_address)
{
    table->most_per_address = most_per_address;
}

static void list_append(struct master_connections *table, struct master_connection *connection, uint32_t slot)
{
    struct connection_list *list = &table->list[slot];
    connection->slot = slot;
    connection->previous = list->last;
    connection->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = connection;
    list->last = connection;
    list->count++;
}

static void list_remove(struct master_connections *table, struct master_connection *connection)
{
    struct connection_list *list = &table->list[connection->slot];
    *(connection->previous != NULL ? &connection->previous->next : &list->first) = connection->next;
    *(connection->next != NULL ? &connection->next->previous : &list->last) = connection->previous;
    list->count--;
}

static struct master_connection *take_place(struct master_connections *table)
{
    struct master_connection *connection = table->free;
    if (connection != NULL) {
        table->free = connection->next;
        return connection;
    }
    assert(table->untouched < table->capacity);
    connection = &table->place[table->untouched];
    connection->place = table->untouched++;
    connection->fd = -1;
    connection->generation = 1; /* so that no id is 0 */
    return connection;
}

enum rc master_connection_add(struct master_connections *table, int fd, const struct sockaddr_storage *peer,
                              bool is_admin, struct err *err)
{
    OWN_FD int owned = fd;
    if (is_admin && table->admin_count >= WORKER_ADMIN_CONNECTIONS)
        return err_set(err, RC_BUSY, "%u admin connections are open already", table->admin_count);
    if (!is_admin && table->public_count >= table->most_public)
        return err_set(err, RC_BUSY, "max_connections, %u, are open already", table->public_count);
    enum rc rc = is_admin ? RC_OK : master_address_add(table->addresses, peer, table->most_per_address, err);
    if (rc != RC_OK)
        return rc;
    struct master_connection *connection = take_place(table);
    connection->fd = TAKE_FD(owned);
    connection->is_admin = is_admin;
    connection->peer = *peer;
    *(is_admin ? &table->admin_count : &table->public_count) += 1;
    list_append(table, connection, MASTER_CONNECTION_WAITING);
    return RC_OK;
}

void master_connection_end(struct master_connections *table, struct master_connection *connection)
{
    assert(connection->fd >= 0);
    list_remove(table, connection);
    *(connection->is_admin ? &table->admin_count : &table->public_count) -= 1;
    if (!connection->is_admin)
        master_address_remove(table->addresses, &connection->peer);
    close(TAKE_FD(connection->fd));
    connection->generation++;
    connection->next = table->free;
    table->free = connection;
}

uint32_t master_connection_places(const struct master_connections *table)
{
    return table->untouched;
}

const struct master_connection *master_connection_at(const struct master_connections *table, uint32_t place)
{
    assert(place < table->untouched);
    return &table->place[place];
}

enum rc master_connection_restore(struct master_connections *table, uint32_t generation, int fd,
                                  const struct sockaddr_storage *peer, bool is_admin, struct err *err)
{
    OWN_FD int owned = fd;
    if (table->untouched >= table->capacity ||
        (owned >= 0 && !is_admin && table->public_count >= table->most_public))
        return err_set(err, RC_BUSY, "there are more connections than the %u places of the table",
                       table->capacity);
    enum rc rc = owned < 0 || is_admin ? RC_OK : master_address_add(table->addresses, peer, UINT32_MAX, err);
    if (rc != RC_OK)
        return rc;
    struct master_connection *connection = &table->place[table->untouched];
    *connection = (struct master_connection){
        .fd = TAKE_FD(owned), .generation = generation, .place = table->untouched++, .is_admin = is_admin};
    if (connection->fd < 0) {
        connection->next = table->free;
        table->free = connection;
        return RC_OK;
    }
    connection->peer = *peer;
    *(is_admin ? &table->admin_count : &table->public_count) += 1;
    list_append(table, connection, MASTER_CONNECTION_WAITING);
    return RC_OK;
}

uint64_t master_connection_id(const struct master_connection *connection)
{
    return (uint64_t)connection->generation << 32 | connection->place;
}

struct master_connection *master_connection_find(struct master_connections *table, uint32_t slot, uint64_t id)
{
    uint32_t place = (uint32_t)id;
    if (place >= table->untouched)
        return NULL;
    struct master_connection *connection = &table->place[place];
    bool fits = connection->fd >= 0 && connection->generation == id >> 32 && connection->slot == slot;
    return fits ? connection : NULL;
}

void master_connection_move(struct master_connections *table, struct master_connection *connection,
                            uint32_t slot)
{
    list_remove(table, connection);
    list_append(table, connection, slot);
}

struct master_connection *master_connection_first(struct master_connections *table, uint32_t slot)
{
    return table->list[slot].first;
}

uint32_t master_connection_count(const struct master_connections *table, uint32_t slot)
{
    return table->list[slot].count;
}
