/* Pages as HTML: what lies in worker/web/pages/NAME.html with its blanks filled in. Pure; any thread.
 *
 * A blank is {{name}}. What is put there is text of anybody and is escaped, so that it stays text inside an
 * element and inside a quoted attribute. Whatever else a page shows, its scripts fetch and write as text. */
#ifndef WORKER_WEB_PAGE_H
#define WORKER_WEB_PAGE_H

#include "base/bytes.h"

struct web_blank {
    const char *name, *value;
};

/* Only what the server itself gives is loaded, and no script, style or form of anybody else's runs: even text
 * that were not escaped would stay text. Styles of single elements are set by scripts, which this allows. */
#define WEB_CONTENT_POLICY                                                                  \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " \
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'"

/* `name` as in "view.html", of a page that there is. {{base}} is the path part of `base_url`, {{assets}} the
 * address of the assets. RC_NO_MEMORY. */
RC_MUST_USE enum rc web_page_write(const char *name, const char *base_url, const struct web_blank *blanks,
                                   size_t blank_count, struct bytes *out, struct err *err);

/* "https://host/prefix" → "/prefix"; "" where there is none. */
const char *web_page_base(const char *base_url);

#endif
