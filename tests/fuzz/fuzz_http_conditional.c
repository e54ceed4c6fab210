/* If-None-Match, If-Modified-Since, If-Range and Range, one a line; the first byte chooses the body's size.
 */
#include "worker/http/conditional.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t sizes[] = {0, 1, 2, 100, 65536, UINT32_MAX, INT64_MAX, UINT64_MAX};
    static const char etag[] = "\"a1b2\"";
    const char *line[4] = {NULL};
    uint64_t first = 0, last = 0;
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (text == NULL)
        abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    char *next = text;
    for (size_t i = 0; i < 4 && next != NULL; i++)
        line[i] = strsep(&next, "\n");

    bool current = http_conditional_is_current(line[0], line[1], etag, 1700000000);
    if (current && line[0] != NULL && strchr(line[0], '*') == NULL && strstr(line[0], etag) == NULL)
        abort();
    if (http_conditional_allows_range(line[2], etag) && line[2] != NULL && strstr(line[2], etag) == NULL)
        abort();
    uint64_t body_bytes = sizes[data[0] % 8];
    if (http_conditional_range(line[3], body_bytes, &first, &last) == HTTP_RANGE_PART) {
        if (first > last || last >= body_bytes)
            abort();
    } else if (first != 0 || last != 0) {
        abort();
    }
    free(text);
    return 0;
}
