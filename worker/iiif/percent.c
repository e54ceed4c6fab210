#include "worker/iiif/percent.h"

#include "worker/iiif/quote.h"

#include <stdbool.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum rc iiif_percent_decode(const char *name, const char *raw, size_t length, char *out, size_t capacity,
                            size_t *ret_length, enum rc too_long, struct err *err)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        char c = raw[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_value(raw[i + 1]) : -1;
            int low = i + 2 < length ? hex_value(raw[i + 2]) : -1;
            if (high < 0 || low < 0)
                return err_set(err, RC_BAD_REQUEST, "%s '%s': two hexadecimal digits have to follow each %%",
                               name, iiif_quote_make(raw, length).text);
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return err_set(err, RC_BAD_REQUEST, "%s '%s': a byte of value zero is never part of it", name,
                           iiif_quote_make(raw, length).text);
        if (written == capacity)
            return err_set(err, too_long, "%s '%s' is longer than %zu bytes", name,
                           iiif_quote_make(raw, length).text, capacity);
        out[written++] = c;
    }
    *ret_length = written;
    return RC_OK;
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$'()*+,;=:@", c) != NULL);
}

size_t iiif_percent_encode(const char *segment, size_t length, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)segment[i];
        if (is_plain(c)) {
            out[written++] = (char)c;
        } else {
            out[written++] = '%';
            out[written++] = digits[c >> 4];
            out[written++] = digits[c & 15];
        }
    }
    out[written] = '\0';
    return written;
}
