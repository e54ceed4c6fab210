#include "master/address.h"

#include "base/bytes.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

struct address_entry {
    uint64_t network;
    uint32_t family; /* 4 or 6 */
    uint32_t count;  /* 0: the place is free */
};

/* Open addressing with linear probing, at most half full; removal shifts back what follows, so there are no
 * graves. */
struct master_addresses {
    uint64_t seed;
    uint32_t mask, used, capacity;
    struct address_entry entry[];
};

enum rc master_address_new(uint32_t capacity, struct master_addresses **ret_addresses, struct err *err)
{
    assert(capacity > 0 && capacity <= UINT32_MAX / 4);
    uint32_t places = 2;
    while (places < capacity * 2)
        places *= 2;
    struct master_addresses *addresses = calloc(1, sizeof *addresses + places * sizeof addresses->entry[0]);
    if (addresses == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to count the connections of %u addresses", capacity);
    addresses->mask = places - 1;
    addresses->capacity = capacity;
    /* Early in the boot there may be no randomness yet: then the addresses still count, only less safely. */
    if (getrandom(&addresses->seed, sizeof addresses->seed, GRND_NONBLOCK) != (ssize_t)sizeof addresses->seed)
        addresses->seed = BYTES_HASH_START;
    *ret_addresses = addresses;
    return RC_OK;
}

void master_address_free(struct master_addresses **addresses)
{
    free(*addresses);
    *addresses = NULL;
}

static struct address_entry address_key(const struct sockaddr_storage *peer)
{
    struct address_entry key = {0};
    if (peer->ss_family == AF_INET) {
        key.network = ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
        key.family = 4;
    } else if (peer->ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)peer)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
        memcpy(&key.network, &v6->s6_addr[mapped ? 12 : 0], mapped ? 4 : 8);
        key.family = mapped ? 4 : 6;
    }
    return key;
}

static uint32_t address_home(const struct master_addresses *addresses, const struct address_entry *key)
{
    uint64_t hash = bytes_hash(addresses->seed, &key->network, sizeof key->network);
    return (uint32_t)(hash >> 32 ^ hash) & addresses->mask;
}

/* Where `key` is, or the free place where it would go. */
static uint32_t address_find(const struct master_addresses *addresses, const struct address_entry *key)
{
    uint32_t i = address_home(addresses, key);
    while (addresses->entry[i].count != 0 &&
           (addresses->entry[i].network != key->network || addresses->entry[i].family != key->family))
        i = (i + 1) & addresses->mask;
    return i;
}

enum rc master_address_add(struct master_addresses *addresses, const struct sockaddr_storage *peer,
                           uint32_t most, struct err *err)
{
    struct address_entry key = address_key(peer);
    if (key.family == 0)
        return RC_OK;
    struct address_entry *entry = &addresses->entry[address_find(addresses, &key)];
    if (entry->count >= most) {
        char text[INET6_ADDRSTRLEN] = "?";
        const void *address = peer->ss_family == AF_INET
                                  ? (const void *)&((const struct sockaddr_in *)peer)->sin_addr
                                  : &((const struct sockaddr_in6 *)peer)->sin6_addr;
        inet_ntop(peer->ss_family, address, text, sizeof text);
        return err_set(err, RC_BUSY, "%s has %u connections open already", text, entry->count);
    }
    if (entry->count == 0) {
        assert(addresses->used < addresses->capacity);
        addresses->used++;
        *entry = key;
    }
    entry->count++;
    return RC_OK;
}

void master_address_remove(struct master_addresses *addresses, const struct sockaddr_storage *peer)
{
    struct address_entry key = address_key(peer);
    if (key.family == 0)
        return;
    uint32_t hole = address_find(addresses, &key);
    assert(addresses->entry[hole].count > 0);
    if (--addresses->entry[hole].count > 0)
        return;
    addresses->used--;
    for (uint32_t i = (hole + 1) & addresses->mask; addresses->entry[i].count != 0;
         i = (i + 1) & addresses->mask) {
        uint32_t home = address_home(addresses, &addresses->entry[i]);
        /* It may move into the hole unless its home lies behind the hole (both counted round the table). */
        if (((i - home) & addresses->mask) < ((i - hole) & addresses->mask))
            continue;
        addresses->entry[hole] = addresses->entry[i];
        addresses->entry[i].count = 0;
        hole = i;
    }
}
