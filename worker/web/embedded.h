/* The files of the pages, as they lie in worker/web/pages/ and in OpenSeadragon's package, inside the
 * program. Read-only; any thread. The Makefile says what embedded.c is made from. */
#ifndef WORKER_WEB_EMBEDDED_H
#define WORKER_WEB_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

struct web_file {
    const char *name;
    const char *media_type; /* NULL: no asset; a page with blanks to be filled in (worker/web/page.h) */
    const uint8_t *data, *end;
};

extern const struct web_file web_files[];
extern const size_t web_file_count;

/* NULL: there is none. `length` bytes of name. */
const struct web_file *web_file_find(const char *name, size_t length);

#endif
