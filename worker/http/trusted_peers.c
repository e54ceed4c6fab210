#include "worker/http/base_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Every network is kept as IPv6, IPv4 in its mapped form (::ffff:a.b.c.d), so that a peer of a dual-stack
 * socket and one of an IPv4 socket are the same. */
struct network {
    struct in6_addr address;
    unsigned prefix_bits;
};

static const struct {
    const char *name;
    const char *networks[8]; /* up to the first NULL */
} named[] = {
    {"loopback", {"127.0.0.0/8", "::1"}},
    {"private", {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"}},
};

static struct in6_addr mapped(struct in_addr v4)
{
    struct in6_addr v6 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&v6.s6_addr[12], &v4, 4);
    return v6;
}

static bool read_prefix(const char *text, unsigned most, unsigned *ret_bits)
{
    unsigned bits = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 3)
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return false;
        bits = bits * 10 + (unsigned)(*p - '0');
    }
    *ret_bits = bits;
    return bits <= most;
}

static bool read_network(const char *text, size_t length, struct network *ret)
{
    char word[INET6_ADDRSTRLEN + 4];
    struct in_addr v4;
    unsigned bits = 0;
    if (length >= sizeof word)
        return false;
    memcpy(word, text, length);
    word[length] = '\0';
    char *slash = strchr(word, '/');
    if (slash != NULL)
        *slash = '\0';
    bool is_v4 = inet_pton(AF_INET, word, &v4) == 1;
    if (!is_v4 && inet_pton(AF_INET6, word, &ret->address) != 1)
        return false;
    if (is_v4)
        ret->address = mapped(v4);
    if (slash != NULL && !read_prefix(slash + 1, is_v4 ? 32 : 128, &bits))
        return false;
    ret->prefix_bits = slash == NULL ? 128 : is_v4 ? bits + 96 : bits;
    return true;
}

static bool contains(const struct network *network, const struct in6_addr *address)
{
    unsigned bytes = network->prefix_bits / 8, bits = network->prefix_bits % 8;
    if (memcmp(&network->address, address, bytes) != 0)
        return false;
    if (bits == 0)
        return true;
    unsigned differ = (unsigned)(network->address.s6_addr[bytes] ^ address->s6_addr[bytes]);
    return differ >> (8 - bits) == 0;
}

static bool address_of(const struct sockaddr_storage *peer, struct in6_addr *ret)
{
    if (peer->ss_family == AF_INET) {
        *ret = mapped(((const struct sockaddr_in *)peer)->sin_addr);
        return true;
    }
    if (peer->ss_family == AF_INET6) {
        *ret = ((const struct sockaddr_in6 *)peer)->sin6_addr;
        return true;
    }
    if (peer->ss_family == AF_UNIX) {
        *ret = in6addr_loopback;
        return true;
    }
    return false;
}

/* The index in `named`, or -1. */
static int name_index(const char *word, size_t length)
{
    for (int i = 0; i < (int)(sizeof named / sizeof named[0]); i++)
        if (strlen(named[i].name) == length && memcmp(named[i].name, word, length) == 0)
            return i;
    return -1;
}

/* Reads one word. False: it is none. *ret_holds says whether `address` (may be NULL) lies within. */
static bool read_word(const char *word, size_t length, const struct in6_addr *address, bool *ret_holds)
{
    struct network network;
    int index = name_index(word, length);
    *ret_holds = false;
    if (index < 0) {
        if (!read_network(word, length, &network))
            return false;
        *ret_holds = address != NULL && contains(&network, address);
        return true;
    }
    for (const char *const *text = named[index].networks; address != NULL && *text != NULL; text++)
        if (read_network(*text, strlen(*text), &network) && contains(&network, address))
            *ret_holds = true;
    return true;
}

/* Walks the list. Returns the first bad word, or NULL. */
static const char *walk(const char *list, const struct in6_addr *address, bool *ret_holds)
{
    static const char gap[] = " \t,";
    bool holds = false;
    for (const char *p = list + strspn(list, gap); *p != '\0'; p += strspn(p, gap)) {
        size_t length = strcspn(p, gap);
        bool in_word;
        if (!read_word(p, length, address, &in_word))
            return p;
        holds |= in_word;
        p += length;
    }
    *ret_holds = holds;
    return NULL;
}

bool http_peer_is_trusted(const struct sockaddr_storage *peer, const char *list)
{
    struct in6_addr address;
    bool holds = false;
    if (list == NULL || list[0] == '\0' || !address_of(peer, &address))
        return false;
    return walk(list, &address, &holds) == NULL && holds;
}

const char *http_trusted_list_check(const char *list, unsigned *ret_at)
{
    bool holds;
    const char *bad = walk(list, NULL, &holds);
    if (bad == NULL)
        return NULL;
    *ret_at = (unsigned)(bad - list);
    return "neither an address, a network such as 10.0.0.0/8, \"loopback\" nor \"private\"";
}
