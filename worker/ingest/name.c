#include "worker/ingest/name.h"

#include <ctype.h>
#include <string.h>

/* How many bytes the UTF-8 character at `p` has; 0 when there is none. Overlong forms, surrogates and what is
 * above U+10FFFF are none. */
static size_t character_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return p[0] != 0;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) /* also where the name ends */
            return 0;
    bool is_wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_wrong ? 0 : length;
}

/* C0, DEL and C1, which move a terminal's cursor. */
static bool is_control(const unsigned char *p, size_t length)
{
    return (length == 1 && (*p < 0x20 || *p == 0x7f)) || (length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

enum rc ingest_name_show(const char *name, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0' && rc == RC_OK;) {
        size_t length = character_length(p);
        if (*p == '\\' || *p == '\n' || *p == '\t') {
            rc = bytes_format(out, err, "\\%c", *p == '\n' ? 'n' : *p == '\t' ? 't' : '\\');
        } else if (length == 0 || is_control(p, length)) {
            length = 1;
            rc = bytes_format(out, err, "\\x%02x", *p);
        } else {
            rc = bytes_append(out, p, length, err);
        }
        p += length;
    }
    return rc;
}

enum rc ingest_name_percent(const char *name, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0' && rc == RC_OK; p++) {
        bool is_plain = *p < 0x80 && (isalnum(*p) || strchr("-._~/", *p) != NULL);
        rc = is_plain ? bytes_append(out, p, 1, err) : bytes_format(out, err, "%%%02X", *p);
    }
    return rc;
}

bool ingest_name_is_utf8(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0';) {
        size_t length = character_length(p);
        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

enum rc ingest_name_replace(const char *name, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0' && rc == RC_OK;) {
        size_t length = character_length(p);
        rc = length == 0 ? bytes_append(out, "\xef\xbf\xbd", 3, err) : bytes_append(out, p, length, err);
        p += length == 0 ? 1 : length;
    }
    return rc;
}
