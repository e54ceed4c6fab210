#include "worker/http/conditional.h"

#include "base/clock.h"

#include <string.h>
#include <strings.h>

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

static const char *skip_list_gap(const char *p)
{
    return p + strspn(p, " \t,");
}

/* ---- entity tags ---- */

bool http_conditional_names(const char *field, const char *etag)
{
    if (field == NULL)
        return false;
    const char *p = skip_blanks(field);
    if (*p == '*')
        return *skip_blanks(p + 1) == '\0';
    for (p = skip_list_gap(p); *p != '\0'; p = skip_list_gap(p)) {
        if (p[0] == 'W' && p[1] == '/')
            p += 2;
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (end == NULL)
            return false;
        size_t length = (size_t)(end + 1 - p);
        if (strncmp(p, etag, length) == 0 && etag[length] == '\0')
            return true;
        p = skip_blanks(end + 1);
        if (*p != ',' && *p != '\0')
            return false;
    }
    return false;
}

bool http_conditional_is_current(const char *if_none_match, const char *if_modified_since, const char *etag,
                                 time_t last_modified)
{
    time_t since;
    if (if_none_match != NULL)
        return http_conditional_names(if_none_match, etag);
    if (if_modified_since == NULL || last_modified == 0)
        return false;
    return clock_parse_http_date(if_modified_since, &since) && last_modified <= since;
}

bool http_conditional_allows_range(const char *if_range, const char *etag)
{
    if (if_range == NULL)
        return true;
    const char *p = skip_blanks(if_range);
    size_t length = strlen(etag);
    return strncmp(p, etag, length) == 0 && *skip_blanks(p + length) == '\0';
}

/* ---- ranges ---- */

/* Reads digits; what does not fit becomes the largest number, which lies outside every body. False: no digit.
 */
static bool read_number(const char **cursor, uint64_t *ret_number)
{
    const char *p = *cursor;
    uint64_t number = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *p - '0', &number)) {
            number = UINT64_MAX;
            p += strspn(p, "0123456789");
            break;
        }
    *cursor = p;
    *ret_number = number;
    return true;
}

enum http_range http_conditional_range(const char *field, uint64_t size_bytes, uint64_t *ret_first,
                                       uint64_t *ret_last)
{
    if (field == NULL || strncasecmp(field, "bytes=", 6) != 0)
        return HTTP_RANGE_ALL;
    const char *p = skip_list_gap(field + 6);
    uint64_t first = 0, last = UINT64_MAX;
    bool has_first = read_number(&p, &first);
    if (*p++ != '-')
        return HTTP_RANGE_ALL;
    bool has_last = read_number(&p, &last);
    if ((!has_first && !has_last) || *skip_list_gap(p) != '\0' || (has_first && first > last))
        return HTTP_RANGE_ALL;
    if (!has_first) { /* the last so many */
        if (last == 0 || size_bytes == 0)
            return HTTP_RANGE_OUTSIDE;
        first = last < size_bytes ? size_bytes - last : 0;
        last = size_bytes - 1;
    }
    if (first >= size_bytes)
        return HTTP_RANGE_OUTSIDE;
    *ret_first = first;
    *ret_last = last < size_bytes ? last : size_bytes - 1;
    return HTTP_RANGE_PART;
}
