/* Text for documents, from wherever it comes. Pure; any thread. */
#ifndef WORKER_MANIFEST_TEXT_H
#define WORKER_MANIFEST_TEXT_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without surrogates, of the shortest form. */
bool manifest_text_is_utf8(const char *text, size_t length);

/* The text as UTF-8 in the arena: taken for Latin-1 where it is no UTF-8, ending at the first byte of
 * value zero, control characters as blanks, blanks at both ends cut, at most `max_bytes`. NULL when memory
 * is out. */
const char *manifest_text_clean(struct arena *arena, const char *text, size_t length, size_t max_bytes);

/* The order of names as people count: digits by their value, letters without regard to case, then the bytes.
 * For qsort(). */
int manifest_text_natural(const char *left, const char *right);

#endif
