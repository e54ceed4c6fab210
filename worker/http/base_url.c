#include "worker/http/base_url.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define HTTP_MAX_HOST_LENGTH 255u

/* A piece of a header's text. */
struct piece {
    const char *text;
    size_t length;
};

static const struct piece nothing = {NULL, 0};

/* ---- what counts as a scheme, a host, a port, a path ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* "http" or "https" in lower case; NULL: neither. */
static const char *scheme_of(struct piece piece)
{
    if (piece.length == 4 && strncasecmp(piece.text, "http", 4) == 0)
        return "http";
    return piece.length == 5 && strncasecmp(piece.text, "https", 5) == 0 ? "https" : NULL;
}

static bool is_port(struct piece piece)
{
    unsigned port = 0;
    if (piece.length == 0 || piece.length > 5)
        return false;
    for (size_t i = 0; i < piece.length; i++) {
        if (piece.text[i] < '0' || piece.text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(piece.text[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* The length of "[v6]" at the start of `piece`, or 0. */
static size_t bracketed_length(struct piece piece)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    const char *end = memchr(piece.text, ']', piece.length);
    size_t length = end == NULL ? 0 : (size_t)(end - piece.text);
    if (length < 2 || length > sizeof address)
        return 0;
    memcpy(address, piece.text + 1, length - 1);
    address[length - 1] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1 ? length + 1 : 0;
}

/* A name, an IPv4 address or a bracketed IPv6 address, and perhaps a port. */
static bool is_host(struct piece piece)
{
    size_t length = 0;
    if (piece.length == 0 || piece.length > HTTP_MAX_HOST_LENGTH)
        return false;
    if (piece.text[0] == '[')
        length = bracketed_length(piece);
    else
        while (length < piece.length &&
               (is_alnum(piece.text[length]) || strchr("-._", piece.text[length]) != NULL))
            length++;
    if (length == 0 || length == piece.length)
        return length > 0;
    return piece.text[length] == ':' &&
           is_port((struct piece){piece.text + length + 1, piece.length - length - 1});
}

/* Whether a host that is_host() has seen ends with a port. */
static bool has_port(struct piece host)
{
    const char *colon = memrchr(host.text, ':', host.length);
    return colon != NULL && memchr(colon, ']', host.length - (size_t)(colon - host.text)) == NULL;
}

/* An absolute path of URI characters, without "//" and without dot segments. */
static bool is_prefix(struct piece piece)
{
    if (piece.length == 0 || piece.length > 1024 || piece.text[0] != '/')
        return false;
    for (size_t i = 0; i < piece.length; i++) {
        char c = piece.text[i];
        if (!is_alnum(c) && (c == '\0' || strchr("-._~!$&'()*+,;=:@/%", c) == NULL))
            return false;
        if (c == '/' && i + 1 < piece.length && (piece.text[i + 1] == '/' || piece.text[i + 1] == '.'))
            return false;
    }
    return true;
}

static struct piece trim(struct piece piece)
{
    while (piece.length > 0 && strchr(" \t", piece.text[0]) != NULL) {
        piece.text++;
        piece.length--;
    }
    while (piece.length > 0 && strchr(" \t", piece.text[piece.length - 1]) != NULL)
        piece.length--;
    return piece;
}

static struct piece whole(const char *header)
{
    return header == NULL ? nothing : trim((struct piece){header, strlen(header)});
}

/* Each proxy adds its view at the end: what the client asked for stands first. */
static struct piece first_of_list(const char *header)
{
    return header == NULL ? nothing : trim((struct piece){header, strcspn(header, ",")});
}

/* ---- Forwarded, RFC 7239 §4 ---- */

struct forwarded {
    struct piece host, proto;
};

static bool is_token_character(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* Reads a quoted string at the cursor into the arena. */
static bool read_quoted(struct arena *arena, const char **cursor, struct piece *ret)
{
    const char *p = *cursor + 1;
    char *out = arena_alloc(arena, strlen(p) + 1);
    size_t length = 0;
    if (out == NULL)
        return false;
    for (; *p != '"'; p++) {
        if (*p == '\\')
            p++;
        if (*p == '\0')
            return false;
        out[length++] = *p;
    }
    *cursor = p + 1;
    *ret = (struct piece){out, length};
    return true;
}

static bool read_token(const char **cursor, struct piece *ret)
{
    const char *p = *cursor;
    while (is_token_character(*p))
        p++;
    *ret = (struct piece){*cursor, (size_t)(p - *cursor)};
    *cursor = p;
    return ret->length > 0;
}

static bool read_pair(struct arena *arena, const char **cursor, struct piece *ret_name,
                      struct piece *ret_value)
{
    if (!read_token(cursor, ret_name) || **cursor != '=')
        return false;
    ++*cursor;
    return **cursor == '"' ? read_quoted(arena, cursor, ret_value) : read_token(cursor, ret_value);
}

static bool is_name(struct piece piece, const char *name)
{
    return piece.length == strlen(name) && strncasecmp(piece.text, name, piece.length) == 0;
}

/* The first element. One that is malformed, or says a thing twice, is as good as not sent. */
static struct forwarded read_forwarded(struct arena *arena, const char *header)
{
    struct forwarded found = {nothing, nothing};
    for (const char *p = skip_blanks(header);; p = skip_blanks(p + 1)) {
        struct piece name, value;
        if (*p != ';' && *p != ',' && *p != '\0') { /* empty pairs are allowed */
            if (!read_pair(arena, &p, &name, &value))
                return (struct forwarded){nothing, nothing};
            struct piece *slot = is_name(name, "host")    ? &found.host
                                 : is_name(name, "proto") ? &found.proto
                                                          : NULL;
            if (slot != NULL && slot->text != NULL)
                return (struct forwarded){nothing, nothing};
            if (slot != NULL)
                *slot = value;
            p = skip_blanks(p);
        }
        if (*p == ',' || *p == '\0')
            return found;
        if (*p != ';')
            return (struct forwarded){nothing, nothing};
    }
}

/* ---- the rule ---- */

static const char *from_configuration(struct arena *arena, const char *configured)
{
    size_t length = strlen(configured);
    while (length > 0 && configured[length - 1] == '/')
        length--;
    return arena_text(arena, configured, length);
}

static char *put_piece(char *to, struct piece piece)
{
    return piece.length > 0 ? mempcpy(to, piece.text, piece.length) : to;
}

static const char *compose(struct arena *arena, const char *scheme, struct piece host, struct piece port,
                           struct piece prefix)
{
    while (prefix.length > 0 && prefix.text[prefix.length - 1] == '/')
        prefix.length--;
    bool is_default = is_name(port, strcmp(scheme, "https") == 0 ? "443" : "80");
    if (is_default || has_port(host))
        port.length = 0;
    size_t scheme_length = strlen(scheme);
    char *text = arena_alloc(arena, scheme_length + 3 + host.length + 1 + port.length + prefix.length + 1),
         *to = text;
    if (text == NULL)
        return NULL;
    to = mempcpy(mempcpy(to, scheme, scheme_length), "://", 3);
    to = put_piece(to, host);
    if (port.length > 0)
        *to++ = ':';
    put_piece(put_piece(to, port), prefix);
    return text;
}

const char *http_base_url(struct arena *arena, const char *configured, bool peer_trusted,
                          const struct http_forwarding *sent)
{
    if (configured != NULL && configured[0] != '\0')
        return from_configuration(arena, configured);

    struct piece host = whole(sent->host), port = nothing, prefix = nothing;
    const char *scheme = NULL;
    if (!is_host(host))
        host = (struct piece){"localhost", strlen("localhost")};
    if (peer_trusted) {
        struct forwarded forwarded = {nothing, nothing};
        if (sent->forwarded != NULL)
            forwarded = read_forwarded(arena, sent->forwarded);
        struct piece x_host = first_of_list(sent->x_forwarded_host);
        scheme = scheme_of(forwarded.proto);
        if (scheme == NULL)
            scheme = scheme_of(first_of_list(sent->x_forwarded_proto));
        if (is_host(forwarded.host)) {
            host = forwarded.host; /* with its port, where that matters */
        } else {
            if (is_host(x_host))
                host = x_host;
            port = first_of_list(sent->x_forwarded_port);
        }
        prefix = whole(sent->x_forwarded_prefix);
    }
    return compose(arena, scheme != NULL ? scheme : "http", host, is_port(port) ? port : nothing,
                   is_prefix(prefix) ? prefix : nothing);
}
