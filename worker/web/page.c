#include "worker/web/page.h"

#include "worker/web/assets.h"

#include <assert.h>
#include <string.h>

const char *web_page_base(const char *base_url)
{
    const char *host = strstr(base_url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    return path == NULL ? "" : path;
}

static enum rc append_text(struct bytes *out, const char *text, size_t length, struct err *err)
{
    return bytes_append(out, text, length, err);
}

static enum rc append_escaped(struct bytes *out, const char *text, struct err *err)
{
    enum rc rc = RC_OK;
    for (const char *c = text; *c != '\0' && rc == RC_OK; c++) {
        switch (*c) {
        case '&':
            rc = append_text(out, "&amp;", 5, err);
            break;
        case '<':
            rc = append_text(out, "&lt;", 4, err);
            break;
        case '>':
            rc = append_text(out, "&gt;", 4, err);
            break;
        case '"':
            rc = append_text(out, "&quot;", 6, err);
            break;
        case '\'':
            rc = append_text(out, "&#39;", 5, err);
            break;
        default:
            rc = append_text(out, c, 1, err);
        }
    }
    return rc;
}

static enum rc append_blank(struct bytes *out, const char *name, size_t length, const char *base_url,
                            const struct web_blank *blanks, size_t blank_count, struct err *err)
{
    const char *base = web_page_base(base_url);
    if (length == 4 && memcmp(name, "base", 4) == 0)
        return append_escaped(out, base, err);
    if (length == 6 && memcmp(name, "assets", 6) == 0) {
        enum rc rc = append_escaped(out, base, err);
        return rc == RC_OK ? bytes_format(out, err, "/assets/%s", web_assets_version()) : rc;
    }
    for (size_t i = 0; i < blank_count; i++)
        if (strlen(blanks[i].name) == length && memcmp(blanks[i].name, name, length) == 0)
            return append_escaped(out, blanks[i].value, err);
    assert(!"the page has a blank that nobody fills in");
    return RC_OK;
}

enum rc web_page_write(const char *name, const char *base_url, const struct web_blank *blanks,
                       size_t blank_count, struct bytes *out, struct err *err)
{
    const struct web_file *page = web_file_find(name, strlen(name));
    assert(page != NULL);
    const char *at = (const char *)page->data, *end = (const char *)page->end;
    enum rc rc = RC_OK;
    while (rc == RC_OK && at < end) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2);
        const char *close = open == NULL ? NULL : memmem(open, (size_t)(end - open), "}}", 2);
        const char *plain_end = close == NULL ? end : open;
        rc = append_text(out, at, (size_t)(plain_end - at), err);
        at = plain_end;
        if (rc != RC_OK || close == NULL)
            continue;
        rc = append_blank(out, open + 2, (size_t)(close - open - 2), base_url, blanks, blank_count, err);
        at = close + 2;
    }
    return rc;
}
