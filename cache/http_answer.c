#include "cache/http_answer.h"

#include "base/clock.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Digits only; moves behind them. False when there is none, or too many. */
static bool take_number(const char **at, const char *end, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *start = *at;
    for (; *at < end && isdigit((unsigned char)**at); ++*at)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(**at - '0'), &number))
            return false;
    *ret_number = number;
    return *at > start;
}

static bool take_text(const char **at, const char *end, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(end - *at) < length || strncasecmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* "bytes 0-99/1234" or "bytes 0-99" with "/" and "*" for an unknown size. False when it is none. */
static bool read_range(const char *text, size_t length, uint64_t *ret_first, uint64_t *ret_last,
                       bool *ret_known, uint64_t *ret_size)
{
    const char *at = text, *end = text + length;
    uint64_t first = 0, last = 0, size = 0;
    if (!take_text(&at, end, "bytes ") || !take_number(&at, end, &first) || !take_text(&at, end, "-") ||
        !take_number(&at, end, &last) || !take_text(&at, end, "/"))
        return false;
    bool known = !take_text(&at, end, "*");
    if ((known && !take_number(&at, end, &size)) || at != end || first > last || (known && last >= size) ||
        size > INT64_MAX || last > INT64_MAX)
        return false;
    *ret_first = first;
    *ret_last = last;
    *ret_known = known;
    *ret_size = size;
    return true;
}

static void note_etag(struct http_answer *answer, const char *value, size_t length)
{
    bool weak = length >= 2 && value[0] == 'W' && value[1] == '/';
    const char *quoted = weak ? value + 2 : value;
    size_t quoted_length = weak ? length - 2 : length;
    bool plain = quoted_length >= 2 && length < sizeof answer->etag && quoted[0] == '"' &&
                 quoted[quoted_length - 1] == '"';
    for (size_t i = 1; plain && i + 1 < quoted_length; i++)
        plain = (unsigned char)quoted[i] > 0x20 && (unsigned char)quoted[i] < 0x7f && quoted[i] != '"';
    if (!plain)
        return;
    memcpy(answer->etag, value, length);
    answer->etag[length] = '\0';
    answer->etag_is_weak = weak;
}

static void note_modified(struct http_answer *answer, const char *value, size_t length)
{
    char text[64];
    time_t when;
    if (length >= sizeof text)
        return;
    memcpy(text, value, length);
    text[length] = '\0';
    answer->has_modified = clock_parse_http_date(text, &when);
    if (answer->has_modified)
        answer->modified_s = when;
}

static bool is_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-')
            return false;
    return true;
}

static void note_header(struct http_answer *answer, const char *name, size_t name_length, const char *value,
                        size_t length)
{
    const char *at = value, *end = value + length;
    uint64_t number = 0;
#define IS(text) (name_length == sizeof(text) - 1 && strncasecmp(name, text, sizeof(text) - 1) == 0)
    if (IS("Content-Length") && take_number(&at, end, &number) && at == end && number <= INT64_MAX) {
        answer->has_length = true;
        answer->length_bytes = number;
    } else if (IS("Content-Range")) {
        answer->has_range = read_range(value, length, &answer->range_first, &answer->range_last,
                                       &answer->range_known, &answer->range_size);
    } else if (IS("Content-Encoding")) {
        answer->is_coded = !(length == 8 && strncasecmp(value, "identity", 8) == 0);
    } else if (IS("ETag")) {
        note_etag(answer, value, length);
    } else if (IS("Last-Modified")) {
        note_modified(answer, value, length);
    } else if (IS("x-amz-bucket-region") && length < sizeof answer->bucket_region && is_word(value, length)) {
        memcpy(answer->bucket_region, value, length);
        answer->bucket_region[length] = '\0';
    } else if (IS("Retry-After") && take_number(&at, end, &number) && at == end) {
        answer->retry_after_s = number < 3600 ? (int64_t)number : 3600;
    }
#undef IS
}

void http_answer_line(struct http_answer *answer, const char *line, size_t length)
{
    while (length > 0 && (line[length - 1] == '\r' || line[length - 1] == '\n' || line[length - 1] == ' '))
        length--;
    const char *end = line + length, *at = line;
    if (take_text(&at, end, "HTTP/")) {
        uint64_t status = 0;
        const char *space = memchr(at, ' ', (size_t)(end - at));
        *answer = (struct http_answer){.status = 0};
        if (space != NULL && (at = space + 1, take_number(&at, end, &status)) && status < 1000)
            answer->status = (unsigned)status;
        return;
    }
    const char *colon = memchr(line, ':', length);
    if (colon == NULL)
        return;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    note_header(answer, line, (size_t)(colon - line), value, (size_t)(end - value));
}

bool http_answer_s3_code(const char *xml, size_t length, char *ret_code, size_t capacity)
{
    const char *start = memmem(xml, length, "<Code>", 6);
    if (start == NULL)
        return false;
    start += 6;
    size_t letters = 0;
    while (start + letters < xml + length && isalnum((unsigned char)start[letters]))
        letters++;
    if (letters == 0 || letters >= capacity || start + letters >= xml + length || start[letters] != '<')
        return false;
    memcpy(ret_code, start, letters);
    ret_code[letters] = '\0';
    return true;
}
