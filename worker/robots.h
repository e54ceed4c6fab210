/* /robots.txt: the file that the setting `robots` names, else what suits an image server: pages, documents and manifests may be
 * collected, pixels may not, of which a single picture has more than a crawler will ever come to the end of.
 *
 * Read once, by each worker before it enters its box; HUP reads it again. */
#ifndef WORKER_ROBOTS_H
#define WORKER_ROBOTS_H

#include "base/err.h"

#define WORKER_ROBOTS_MOST_BYTES 524288u /* what crawlers read of it (RFC 9309 §2.5: at least 500 KiB) */

/* The text, NUL-terminated; the caller frees it. `path` empty: the text we have. RC_IO, RC_TOO_LARGE, RC_BAD_REQUEST: it holds a NUL. */
RC_MUST_USE enum rc worker_robots_load(const char *path, char **ret_text, struct err *err);

#endif
