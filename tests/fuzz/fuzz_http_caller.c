/* Forwarded, X-Forwarded-For and X-Request-Id as anybody may send them, one a line, and what a line of the access log makes of
 * them. Whatever comes, an address is one, and the line is one line of printable ASCII. */
#include "worker/access_line.h"
#include "worker/http/caller.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct access_line *line)
{
    char text[ACCESS_LINE_BYTES];
    for (enum access_format format = ACCESS_COMMON; format <= ACCESS_JSON; format++) {
        size_t length = access_line_write(format, line, text);
        if (length == 0 || length >= sizeof text || text[length - 1] != '\n')
            abort();
        for (size_t i = 0; i + 1 < length; i++)
            if (text[i] < 0x20 || text[i] > 0x7e)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const stages[] = {NULL};
    const char *field[3] = {NULL};
    char client[HTTP_CALLER_TEXT_BYTES];
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    char *next = text;
    for (size_t i = 0; i < 3 && next != NULL; i++)
        field[i] = strsep(&next, "\n");

    struct sockaddr_storage peer = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *forwarded = field[0] != NULL && field[0][0] != '\0' ? field[0] : NULL;
    struct in6_addr caller = http_caller(&peer, "loopback, private", forwarded, field[1]);
    client[0] = '\0';
    http_caller_text(&caller, client);
    if (strlen(client) < 2 || strspn(client, "0123456789abcdef.:") != strlen(client))
        abort();
    bool is_id = field[2] != NULL && http_caller_is_id(field[2]);
    if (is_id && (strpbrk(field[2], " \"\\<>\x1b") != NULL || strlen(field[2]) > HTTP_CALLER_ID_MOST))
        abort();
    const struct access_line line = {.client = client,
                                     .method = field[2],
                                     .target = field[0],
                                     .referer = field[1],
                                     .user_agent = field[2],
                                     .id = is_id ? field[2] : "made",
                                     .class = "tile",
                                     .protocol = "iiif3",
                                     .stage_name = stages};
    check_line(&line);
    free(text);
    return 0;
}
