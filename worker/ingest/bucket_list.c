#include "worker/ingest/bucket_list.h"

#include "base/own.h"

#include <stdlib.h>
#include <string.h>

struct span {
    const char *at;
    size_t length;
};

/* What stands between <name> and </name>; the elements that are looked for have no attributes and do not nest. */
static bool find_element(struct span in, const char *open, const char *close, struct span *ret,
                         struct span *ret_rest)
{
    const char *begin = memmem(in.at, in.length, open, strlen(open));
    if (begin == NULL)
        return false;
    begin += strlen(open);
    const char *end = memmem(begin, in.length - (size_t)(begin - in.at), close, strlen(close));
    if (end == NULL)
        return false;
    *ret = (struct span){begin, (size_t)(end - begin)};
    if (ret_rest != NULL)
        *ret_rest = (struct span){end, in.length - (size_t)(end - in.at)};
    return true;
}

/* &#NN; and &#xNN; of one byte; others are written as UTF-8. 0: it is none. */
static size_t put_character(unsigned long value, char out[4])
{
    if (value == 0 || value > 0x10ffff)
        return 0;
    if (value < 0x80) {
        out[0] = (char)value;
        return 1;
    }
    size_t length = value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, value >>= 6)
        out[i] = (char)(0x80 | (value & 0x3f));
    out[0] = (char)((0xf0u << (4 - length)) | value);
    return length;
}

/* An entity at `in`, after the "&": how many bytes it has with its ";", 0 when it is none that we know. */
static size_t read_entity(struct span in, char out[4], size_t *ret_length)
{
    static const struct {
        const char *name;
        char value;
    } known[] = {{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (in.length >= strlen(known[i].name) && memcmp(in.at, known[i].name, strlen(known[i].name)) == 0) {
            out[0] = known[i].value;
            *ret_length = 1;
            return strlen(known[i].name);
        }
    char digits[12] = {0};
    const char *end = memchr(in.at, ';', in.length < sizeof digits ? in.length : sizeof digits);
    if (end == NULL || in.length < 3 || in.at[0] != '#' || end - in.at < 2)
        return 0;
    bool is_hex = in.at[1] == 'x';
    memcpy(digits, in.at + 1 + is_hex, (size_t)(end - in.at) - 1 - is_hex);
    char *stop;
    *ret_length = put_character(strtoul(digits, &stop, is_hex ? 16 : 10), out);
    return *stop == '\0' && *ret_length > 0 ? (size_t)(end - in.at) + 1 : 0;
}

/* The text of an element, with a NUL. */
static enum rc read_text(struct span in, struct bytes *out, struct err *err)
{
    out->length = 0;
    enum rc rc = RC_OK;
    while (in.length > 0 && rc == RC_OK) {
        char decoded[4] = {in.at[0]};
        size_t length = 1, taken = 1;
        if (in.at[0] == '&') {
            taken = 1 + read_entity((struct span){in.at + 1, in.length - 1}, decoded, &length);
            if (taken == 1)
                return err_set(err, RC_CORRUPT, "the bucket's listing cannot be read");
        }
        if (decoded[0] == '\0')
            return err_set(err, RC_CORRUPT, "the bucket's listing cannot be read");
        rc = bytes_append(out, decoded, length, err);
        in = (struct span){in.at + taken, in.length - taken};
    }
    return rc == RC_OK ? bytes_append(out, "", 1, err) : rc;
}

static enum rc read_entry(struct span contents,
                          enum rc (*take)(void *context, const struct ingest_bucket_entry *entry,
                                          struct err *err),
                          void *context, struct err *err)
{
    OWN(bytes_done) struct bytes key = {0};
    OWN(bytes_done) struct bytes etag = {0};
    OWN(bytes_done) struct bytes size = {0};
    struct span span;
    if (!find_element(contents, "<Key>", "</Key>", &span, NULL))
        return err_set(err, RC_CORRUPT, "the bucket's listing has an object without a name");
    enum rc rc = read_text(span, &key, err);
    if (rc == RC_OK)
        rc = read_text(find_element(contents, "<Size>", "</Size>", &span, NULL) ? span
                                                                                : (struct span){"0", 1},
                       &size, err);
    if (rc == RC_OK)
        rc = read_text(find_element(contents, "<ETag>", "</ETag>", &span, NULL) ? span : (struct span){"", 0},
                       &etag, err);
    if (rc != RC_OK)
        return rc;
    const struct ingest_bucket_entry entry = {.key = (const char *)key.data,
                                              .etag = (const char *)etag.data,
                                              .size_bytes = strtoull((const char *)size.data, NULL, 10)};
    return take(context, &entry, err);
}

enum rc ingest_bucket_list_read(const char *xml, size_t length,
                                enum rc (*take)(void *context, const struct ingest_bucket_entry *entry,
                                                struct err *err),
                                void *context, struct bytes *ret_token, struct err *err)
{
    struct span rest = {xml, length}, span;
    ret_token->length = 0;
    if (!find_element(rest, "<ListBucketResult", "</ListBucketResult>", &rest, NULL))
        return err_set(err, RC_CORRUPT, "the bucket's listing cannot be read");
    enum rc rc = RC_OK;
    if (find_element(rest, "<NextContinuationToken>", "</NextContinuationToken>", &span, NULL))
        rc = read_text(span, ret_token, err);
    while (rc == RC_OK && find_element(rest, "<Contents>", "</Contents>", &span, &rest))
        rc = read_entry(span, take, context, err);
    return rc;
}

enum rc ingest_bucket_list_upload(const char *xml, size_t length, struct bytes *ret_id, struct err *err)
{
    struct span span;

    if (!find_element((struct span){xml, length}, "<UploadId>", "</UploadId>", &span, NULL) ||
        span.length == 0)
        return err_set(err, RC_CORRUPT, "the bucket's answer names no upload");
    return read_text(span, ret_id, err);
}
