/* A piece of a URL made fit to stand in an error sentence: printable ASCII, cut when long. Pure; any thread.
 * The parser and the identifier rules call it; what comes from a file is none of its business. */
#ifndef WORKER_IIIF_QUOTE_H
#define WORKER_IIIF_QUOTE_H

#include <stddef.h>

#define IIIF_QUOTE_SHOWN_BYTES 48u

struct iiif_quote {
    char text[IIIF_QUOTE_SHOWN_BYTES + sizeof "..."];
};

/* Every byte that is not printable ASCII becomes '?'; what is longer than IIIF_QUOTE_SHOWN_BYTES ends in
 * "...". */
struct iiif_quote iiif_quote_make(const char *text, size_t length);

#endif
