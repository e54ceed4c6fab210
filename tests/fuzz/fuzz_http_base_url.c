/* Host, Forwarded and the X-Forwarded family as anybody may send them, one header a line, and a list of
 * trusted peers on the last. Whatever comes, the result is a plain base URL: nothing in it ends an attribute,
 * a string or an authority. */
#include "worker/http/base_url.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const char *url)
{
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0 || url[scheme] == '/' || url[scheme] == '\0')
        abort();
    for (const char *p = url; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("<>\"\\?#|^`{}", *p) != NULL)
            abort();
    const char *authority = url + scheme, *path = authority + strcspn(authority, "/");
    if (memchr(authority, '@', (size_t)(path - authority)) != NULL || strstr(path, "//") != NULL ||
        strstr(path, "/.") != NULL || (*path == '/' && path[strlen(path) - 1] == '/'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line[7] = {NULL};
    char *text = malloc(size + 1);
    struct arena *arena = arena_new();
    if (text == NULL || arena == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    char *next = text;
    for (size_t i = 0; i < 7 && next != NULL; i++)
        line[i] = strsep(&next, "\n"); /* an empty line is a header sent empty */

    const struct http_forwarding sent = {line[0], line[1], line[2], line[3], line[4], line[5]};
    check_url(http_base_url(arena, NULL, true, &sent));
    check_url(http_base_url(arena, NULL, false, &sent));
    if (line[6] != NULL) {
        unsigned at = 0;
        struct sockaddr_storage peer = {0};
        ((struct sockaddr_in *)&peer)->sin_family = AF_INET;
        bool is_bad = http_trusted_list_check(line[6], &at) != NULL;
        if (is_bad && (at >= strlen(line[6]) || http_peer_is_trusted(&peer, line[6])))
            abort();
        http_peer_is_trusted(&peer, line[6]);
    }
    arena_free(arena);
    free(text);
    return 0;
}
