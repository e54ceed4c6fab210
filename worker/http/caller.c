#include "worker/http/caller.h"

#include "base/digits.h"
#include "worker/http/base_url.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* A part of a header. */
struct span {
    const char *text;
    size_t length;
};

static struct in6_addr mapped(struct in_addr v4)
{
    struct in6_addr v6 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&v6.s6_addr[12], &v4, 4);
    return v6;
}

static struct in6_addr address_of(const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET)
        return mapped(((const struct sockaddr_in *)peer)->sin_addr);
    return peer->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)peer)->sin6_addr : in6addr_loopback;
}

static bool is_trusted(const struct in6_addr *address, const char *trusted)
{
    struct sockaddr_storage peer = {0};
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
    v6->sin6_family = AF_INET6;
    v6->sin6_addr = *address;
    return http_peer_is_trusted(&peer, trusted);
}

static struct span trim(struct span span)
{
    for (; span.length > 0 && (*span.text == ' ' || *span.text == '\t'); span.length--)
        span.text++;
    while (span.length > 0 && (span.text[span.length - 1] == ' ' || span.text[span.length - 1] == '\t'))
        span.length--;
    return span;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80", any of them in quotes. */
static bool read_address(struct span span, struct in6_addr *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (span.length >= 2 && span.text[0] == '"' && span.text[span.length - 1] == '"')
        span = (struct span){span.text + 1, span.length - 2};
    const char *colon = memchr(span.text, ':', span.length), *last = memrchr(span.text, ':', span.length);
    if (span.length > 0 && span.text[0] == '[') {
        const char *end = memchr(span.text, ']', span.length);
        if (end == NULL)
            return false;
        span = (struct span){span.text + 1, (size_t)(end - span.text) - 1};
    } else if (colon != NULL && colon == last) {
        span.length = (size_t)(colon - span.text);
    }
    if (span.length == 0 || span.length >= sizeof text)
        return false;
    memcpy(text, span.text, span.length);
    text[span.length] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        *ret_address = mapped(v4);
        return true;
    }
    return inet_pton(AF_INET6, text, ret_address) == 1;
}

/* What stands before the next `mark` outside of quotes; the cursor moves behind the mark, or to the end. */
static struct span next_part(struct span *rest, char mark)
{
    size_t i = 0;
    bool quoted = false;
    for (; i < rest->length && (quoted || rest->text[i] != mark); i++) {
        if (quoted && rest->text[i] == '\\' && i + 1 < rest->length)
            i++;
        else if (rest->text[i] == '"')
            quoted = !quoted;
    }
    struct span part = {rest->text, i};
    size_t taken = i < rest->length ? i + 1 : i;
    *rest = (struct span){rest->text + taken, rest->length - taken};
    return trim(part);
}

/* The `for` of one element of Forwarded; empty where it has none. */
static struct span find_for(struct span element)
{
    while (element.length > 0) {
        struct span pair = next_part(&element, ';');
        if (pair.length > 4 && strncasecmp(pair.text, "for=", 4) == 0)
            return (struct span){pair.text + 4, pair.length - 4};
    }
    return (struct span){element.text, 0};
}

/* Elements from the last to the first need the last kept: as many as any chain of proxies is long. */
#define MOST_HOPS 32u

struct in6_addr http_caller(const struct sockaddr_storage *peer, const char *trusted, const char *forwarded,
                            const char *x_forwarded_for)
{
    struct in6_addr caller = address_of(peer);
    struct span hop[MOST_HOPS];
    size_t count = 0;
    const char *header = forwarded != NULL ? forwarded : x_forwarded_for;
    if (header == NULL || !http_peer_is_trusted(peer, trusted))
        return caller;
    for (struct span rest = {header, strlen(header)}; rest.length > 0; count++) {
        struct span element = next_part(&rest, ',');
        hop[count % MOST_HOPS] = forwarded != NULL ? find_for(element) : element;
    }
    for (size_t i = 0; i < count && i < MOST_HOPS; i++) {
        struct in6_addr address;
        if (!read_address(hop[(count - 1 - i) % MOST_HOPS], &address))
            break;
        caller = address;
        if (!is_trusted(&address, trusted))
            break;
    }
    return caller;
}

void http_caller_text(const struct in6_addr *address, char ret_text[HTTP_CALLER_TEXT_BYTES])
{
    bool is_v4 = IN6_IS_ADDR_V4MAPPED(address);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? (const void *)&address->s6_addr[12] : address, ret_text,
              HTTP_CALLER_TEXT_BYTES);
}

bool http_caller_is_id(const char *text)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:+/=@";
    size_t length = strspn(text, good);
    return length > 0 && length <= HTTP_CALLER_ID_MOST && text[length] == '\0';
}

/* The steps of SplitMix64: every bit of what goes in moves every bit of what comes out. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void http_caller_make_id(uint64_t seed, uint64_t connection_id, uint64_t request_start,
                         char ret_text[HTTP_CALLER_ID_BYTES])
{
    uint64_t id = mix(mix(seed + 0x9e3779b97f4a7c15u * connection_id) + request_start + 1);
    *digits_hex(ret_text, id, 16) = '\0';
}
