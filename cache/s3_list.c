#include "cache/s3_list.h"

#include <ctype.h>
#include <string.h>

/* What is between <name> and </name>, of the first such element from `at` on; NULL: there is none before `end`. The documents are flat
 * enough for that: an element never contains one of its own name. */
static const char *element(const char *at, const char *end, const char *name, size_t *ret_length)
{
    char open[40], close[40];
    size_t name_length = strlen(name);
    memcpy(open + 1, name, name_length);
    open[0] = '<';
    open[name_length + 1] = '>';
    memcpy(close + 2, name, name_length);
    close[0] = '<';
    close[1] = '/';
    close[name_length + 2] = '>';
    const char *start = memmem(at, (size_t)(end - at), open, name_length + 2);
    if (start == NULL)
        return NULL;
    start += name_length + 2;
    const char *stop = memmem(start, (size_t)(end - start), close, name_length + 3);
    if (stop == NULL)
        return NULL;
    *ret_length = (size_t)(stop - start);
    return start;
}

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0'
           : c >= 'A' && c <= 'F'    ? c - 'A' + 10
           : c >= 'a' && c <= 'f'    ? c - 'a' + 10
                                     : -1;
}

/* One character of text with the entities of XML; moves behind it. */
static char take_xml(const char **at, const char *end)
{
    static const struct {
        const char *text;
        char is;
    } entity[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof entity / sizeof entity[0]; i++) {
        size_t length = strlen(entity[i].text);
        if ((size_t)(end - *at) >= length && memcmp(*at, entity[i].text, length) == 0) {
            *at += length;
            return entity[i].is;
        }
    }
    return *(*at)++;
}

/* False when it is too long, broken or has a NUL in it. `is_url`: "%41" and "+" stand for others. */
static bool decode(const char *text, size_t length, bool is_url, char *ret_text, size_t capacity)
{
    size_t count = 0;
    for (const char *at = text, *end = text + length; at < end;) {
        char c = take_xml(&at, end);
        if (is_url && c == '+') {
            c = ' ';
        } else if (is_url && c == '%') {
            if (end - at < 2 || hex(at[0]) < 0 || hex(at[1]) < 0)
                return false;
            c = (char)(hex(at[0]) << 4 | hex(at[1]));
            at += 2;
        }
        if (c == '\0' || count + 1 >= capacity)
            return false;
        ret_text[count++] = c;
    }
    ret_text[count] = '\0';
    return true;
}

static bool read_number(const char *text, size_t length, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)text[i]) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return false;
    *ret_number = number;
    return length > 0;
}

enum rc s3_list_read(const char *xml, size_t length,
                     enum rc (*object)(void *context, const char *key, uint64_t size_bytes, struct err *err),
                     void *context, struct s3_list_page *ret_page, struct err *err)
{
    const char *end = xml + length, *content, *text;
    size_t content_length = 0, text_length = 0;
    struct s3_list_page page = {.is_truncated = false};
    content = element(xml, end, "IsTruncated", &content_length);
    if (content == NULL)
        return err_set(err, RC_ORIGIN, "the store's list of objects cannot be understood");
    page.is_truncated = content_length == 4 && memcmp(content, "true", 4) == 0;
    content = element(xml, end, "NextContinuationToken", &content_length);
    if (content != NULL && !decode(content, content_length, false, page.token, sizeof page.token))
        return err_set(err, RC_ORIGIN, "the store's list of objects cannot be understood");
    for (const char *at = xml; (content = element(at, end, "Contents", &content_length)) != NULL;
         at = content + content_length) {
        char key[S3_LIST_KEY_BYTES];
        uint64_t size_bytes = 0;
        text = element(content, content + content_length, "Key", &text_length);
        bool good = text != NULL && decode(text, text_length, true, key, sizeof key);
        text = good ? element(content, content + content_length, "Size", &text_length) : NULL;
        if (text == NULL || !read_number(text, text_length, &size_bytes))
            return err_set(err, RC_ORIGIN, "the store's list of objects cannot be understood");
        enum rc rc = object(context, key, size_bytes, err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_page = page;
    return RC_OK;
}
