#include "cache/s3_list.h"

#include "cache/s3_sign.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What is between <name> and </name>, of the first such element from `at` on; NULL: there is none before `end`. The documents are flat
 * enough for that: an element never contains one of its own name. */
static const char *element(const char *at, const char *end, const char *name, size_t *ret_length)
{
    char open[40], close[40];
    size_t open_length = (size_t)snprintf(open, sizeof open, "<%s>", name),
           close_length = (size_t)snprintf(close, sizeof close, "</%s>", name);
    const char *start = memmem(at, (size_t)(end - at), open, open_length);
    if (start == NULL)
        return NULL;
    start += open_length;
    const char *stop = memmem(start, (size_t)(end - start), close, close_length);
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

/* "#34;" or "#x22;", one byte of ASCII; 0: it is none. Moves behind it. */
static char take_reference(const char **at, const char *end)
{
    unsigned value = 0, base = end - *at > 2 && (*at)[1] == 'x' ? 16 : 10;
    if (*at == end || **at != '#')
        return 0;
    for (const char *digit = *at + (base == 16 ? 2 : 1); digit < end && value < 128; digit++) {
        if (*digit == ';' && value > 0) {
            *at = digit + 1;
            return (char)value;
        }
        int number = hex(*digit);
        if (number < 0 || (unsigned)number >= base)
            return 0;
        value = value * base + (unsigned)number;
    }
    return 0;
}

/* One character of text with the entities of XML; moves behind it. */
static char take_xml(const char **at, const char *end)
{
    static const struct {
        const char *text;
        char is;
    } entity[] = {{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};
    char c = *(*at)++;
    if (c != '&')
        return c;
    for (size_t i = 0; i < sizeof entity / sizeof entity[0]; i++) {
        size_t length = strlen(entity[i].text);
        if ((size_t)(end - *at) >= length && memcmp(*at, entity[i].text, length) == 0) {
            *at += length;
            return entity[i].is;
        }
    }
    char referred = take_reference(at, end);
    return referred != 0 ? referred : c;
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
            int high = end - at < 2 ? -1 : hex(at[0]), low = end - at < 2 ? -1 : hex(at[1]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
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

/* "2026-11-21T09:30:00.000Z" in seconds since 1970; 0: it is none. */
static int64_t read_date(const char *text, size_t length)
{
    char copy[32];
    struct tm when = {0};
    if (length >= sizeof copy)
        return 0;
    memcpy(copy, text, length);
    copy[length] = '\0';
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &when);
    return rest == NULL ? 0 : (int64_t)timegm(&when);
}

static enum rc not_understood(struct err *err)
{
    return err_set(err, RC_ORIGIN, "the store's list of objects cannot be understood");
}

/* Calls `object` with what is between <Contents> and </Contents>. */
static enum rc read_object(const char *content, const char *end,
                           enum rc (*object)(void *context, const struct s3_list_object *object,
                                             struct err *err),
                           void *context, struct err *err)
{
    char key[S3_LIST_KEY_BYTES], etag[S3_LIST_ETAG_BYTES] = "";
    size_t length = 0;
    struct s3_list_object read = {.key = key, .etag = etag};
    const char *text = element(content, end, "Key", &length);
    bool good = text != NULL && decode(text, length, true, key, sizeof key);
    text = good ? element(content, end, "Size", &length) : NULL;
    if (text == NULL || !read_number(text, length, &read.size_bytes))
        return not_understood(err);
    text = element(content, end, "ETag", &length);
    if (text != NULL && !decode(text, length, false, etag, sizeof etag))
        etag[0] = '\0';
    text = element(content, end, "LastModified", &length);
    read.modified_s = text == NULL ? 0 : read_date(text, length);
    return object(context, &read, err);
}

static enum rc read_prefix(const char *content, const char *end,
                           enum rc (*object)(void *context, const struct s3_list_object *object,
                                             struct err *err),
                           void *context, struct err *err)
{
    char key[S3_LIST_KEY_BYTES];
    size_t length = 0;
    const char *text = element(content, end, "Prefix", &length);
    if (text == NULL || !decode(text, length, true, key, sizeof key))
        return not_understood(err);
    return object(context, &(struct s3_list_object){.key = key, .is_prefix = true, .etag = ""}, err);
}

/* Sorted by name, as signatures want it. */
enum rc s3_list_query(const char *token, bool in_folder, const char *root, const char *prefix,
                      struct bytes *query, struct err *err)
{
    enum rc rc = bytes_format(query, err, "%s", token[0] != '\0' ? "continuation-token=" : "");
    if (rc == RC_OK)
        rc = s3_encode(token, false, query, err);
    if (rc == RC_OK)
        rc = bytes_format(query, err,
                          "%s%sencoding-type=url&list-type=2&prefix=", token[0] != '\0' ? "&" : "",
                          in_folder ? "delimiter=%2F&" : "");
    if (rc == RC_OK)
        rc = s3_encode(root, false, query, err);
    if (rc == RC_OK)
        rc = s3_encode(prefix, false, query, err);
    return rc == RC_OK ? bytes_append(query, "", 1, err) : rc;
}

enum rc s3_list_read(const char *xml, size_t length,
                     enum rc (*object)(void *context, const struct s3_list_object *object, struct err *err),
                     void *context, struct s3_list_page *page_io, struct err *err)
{
    const char *end = xml + length, *content;
    size_t content_length = 0;
    struct s3_list_page page = {.is_truncated = false};
    enum rc rc = RC_OK;
    content = length > 0 ? element(xml, end, "IsTruncated", &content_length) : NULL;
    if (content == NULL)
        return not_understood(err);
    page.is_truncated = content_length == 4 && memcmp(content, "true", 4) == 0;
    content = element(xml, end, "NextContinuationToken", &content_length);
    if (content != NULL && !decode(content, content_length, false, page.token, sizeof page.token))
        return not_understood(err);
    for (const char *at = xml;
         rc == RC_OK && (content = element(at, end, "Contents", &content_length)) != NULL;
         at = content + content_length)
        rc = read_object(content, content + content_length, object, context, err);
    for (const char *at = xml;
         rc == RC_OK && (content = element(at, end, "CommonPrefixes", &content_length)) != NULL;
         at = content + content_length)
        rc = read_prefix(content, content + content_length, object, context, err);
    if (rc == RC_OK && page.is_truncated && page.token[0] == '\0')
        rc = err_set(err, RC_ORIGIN, "the store's list of objects breaks off");
    if (rc == RC_OK && page.is_truncated && strcmp(page.token, page_io->token) == 0)
        rc = err_set(err, RC_ORIGIN, "the store's list of objects begins again and again");
    if (rc == RC_OK)
        *page_io = page;
    return rc;
}

enum rc s3_list_upload(const char *xml, size_t length, char ret_id[S3_LIST_UPLOAD_BYTES], struct err *err)
{
    char id[S3_LIST_UPLOAD_BYTES];
    size_t id_length = 0;
    const char *text = element(xml, xml + length, "UploadId", &id_length);
    if (text == NULL || !decode(text, id_length, false, id, sizeof id) || id[0] == '\0')
        return err_set(err, RC_ORIGIN, "the store's answer names no upload");
    memcpy(ret_id, id, sizeof id);
    return RC_OK;
}
