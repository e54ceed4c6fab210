/* The image roots: what the setting `images` says, taken apart.
 *
 * One root per line of its text: a place (DIR, s3://BUCKET/PREFIX, http(s)://HOST/PATH), or NAME=PLACE.
 * Sources are looked for in the roots in this order, and the first that has one wins; a root with a name has
 * those alone whose path begins with NAME/, and they lie in it without that. Several roots may have the same
 * name. A folder whose own name has a = in it is written with a / before that: ./a=b. Pure; for all
 * processes. */
#ifndef BASE_ROOTS_H
#define BASE_ROOTS_H

#include <stdbool.h>
#include <stddef.h>

#define ROOTS_MOST        16u
#define ROOTS_NAME_BYTES  64u
#define ROOTS_PLACE_BYTES 4096u
#define ROOTS_SEPARATOR   '\n'

struct roots_root {
    char name[ROOTS_NAME_BYTES]; /* "": none */
    char place[ROOTS_PLACE_BYTES];
};

/* The next root; `rest` begins as the text and moves on. False: there is none any more. */
bool roots_next(const char **rest, struct roots_root *ret_root);
/* NULL, or a static phrase that says what is wrong with the text. */
const char *roots_check(const char *images);

/* Whether the place is an S3 bucket or an http(s) address, not a directory; whether any of the roots is. */
bool roots_is_remote(const char *place);
bool roots_any_is_remote(const char *images);

/* What the path is called in the root, or NULL where it cannot be there. Part of `path`. */
const char *roots_below(const struct roots_root *root, const char *path);

/* For the log and for people: "a, b" of "a\nb", cut where there is no room. */
void roots_text(const char *images, char *ret_text, size_t text_bytes);

#endif
