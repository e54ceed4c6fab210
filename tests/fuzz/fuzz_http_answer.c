/* What an origin's answer says: heads, Content-Range, S3 error documents. */
#include "cache/http_answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_answer answer = {.status = 0};
    const char *text = (const char *)data;
    char code[32];
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - text) - at + 1 : size - at;
        http_answer_line(&answer, text + at, length);
        at += length;
    }
    if (answer.status > 999 || memchr(answer.etag, '\0', sizeof answer.etag) == NULL)
        abort();
    if (answer.has_range && (answer.range_first > answer.range_last ||
                             (answer.range_known && answer.range_last >= answer.range_size)))
        abort();
    for (const char *c = answer.etag; *c != '\0'; c++) /* goes into a request of ours */
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            abort();
    if (http_answer_s3_code(text, size, code, sizeof code) &&
        (code[0] == '\0' || strlen(code) >= sizeof code))
        abort();
    return 0;
}
