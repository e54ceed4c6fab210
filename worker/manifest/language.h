/* Text of documents as IIIF Presentation 3.0 §4.1 has it: a language map, {"en": ["..."]}, or {"none":
 * ["..."]}; and the same as 2.1 writes it. Pure; any thread. A json_t that is returned is the caller's. */
#ifndef WORKER_MANIFEST_LANGUAGE_H
#define WORKER_MANIFEST_LANGUAGE_H

#include "base/err.h"

#include <jansson.h>

/* One text in no language that we know of. NULL when memory is out. */
json_t *manifest_language_none(const char *text);

/* What people write: a string, an array of strings, or a language map of strings or arrays of strings.
 * RC_BAD_REQUEST says what it is instead; `name` is the property's. RC_NO_MEMORY. */
RC_MUST_USE enum rc manifest_language_read(json_t *written, const char *name, json_t **ret_map,
                                           struct err *err);

/* The 2.1 form: a string, or an array of strings and of {"@value", "@language"}. NULL when memory is out. */
json_t *manifest_language_2(json_t *map);

#endif
