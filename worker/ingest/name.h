/* File names as people and JSON read them. A name is any bytes but NUL; a line of text and a JSON string are
 * not. Pure. */
#ifndef WORKER_INGEST_NAME_H
#define WORKER_INGEST_NAME_H

#include "base/bytes.h"

#include <stdbool.h>

/* Appends the name in one line: control characters, backslashes and bytes that are not UTF-8 become \n, \\,
 * \xe9 and the like. */
RC_MUST_USE enum rc ingest_name_show(const char *name, struct bytes *out, struct err *err);

/* Appends the name with every byte but letters, digits and -._~/ written %XX: ASCII that says each byte. */
RC_MUST_USE enum rc ingest_name_percent(const char *name, struct bytes *out, struct err *err);

bool ingest_name_is_utf8(const char *name);
/* Appends the name with U+FFFD for each byte that is not UTF-8. */
RC_MUST_USE enum rc ingest_name_replace(const char *name, struct bytes *out, struct err *err);

#endif
