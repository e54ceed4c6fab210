/* The archive of retired identifiers: which identifier an image has now, and which images are gone.
 *
 * Its source is a text file, a line for each retired identifier:
 *
 *     # comments and empty lines count for nothing
 *     old-identifier new-identifier
 *     withdrawn-identifier -
 *
 * Identifiers are written as in a URL, so a blank is %20 (and '/' may be written plainly). A new identifier
 * may be retired itself: chains are followed when the file is loaded, so a look-up never walks.
 *
 * gateway_archive_load() makes a map of it (cache/list_map.h), in which each worker then looks identifiers
 * up. */
#ifndef WORKER_GATEWAY_ARCHIVE_H
#define WORKER_GATEWAY_ARCHIVE_H

#include "cache/list_map.h"
#include "worker/gateway/problem.h"

/* Of its maps (cache/list_map.h). */
extern const struct list_map_kind gateway_archive_kind;

/* Loads the text file, open as `text_fd`, into the map `map_path`; `text_name` is for sentences. Any wrong
 * line (no pair, a duplicate, a loop) refuses the whole file: RC_CORRUPT after all of them were told, the
 * first one in `err`; an older map stays as it was. RC_IO, RC_NO_MEMORY likewise. `map_path` NULL: only
 * checks. */
RC_MUST_USE enum rc gateway_archive_load(int text_fd, const char *text_name, const char *map_path,
                                         gateway_problem *problem, void *context, uint64_t *ret_lines,
                                         struct err *err);

enum gateway_retired {
    GATEWAY_RETIRED_NO,    /* nothing is known of it */
    GATEWAY_RETIRED_MOVED, /* *ret_identifier is its name now */
    GATEWAY_RETIRED_GONE,
};

/* Looks an identifier up, decoded, as in struct iiif_request. `ret_identifier` has room for
 * IIIF_MAX_IDENTIFIER_BYTES + 1. A map that cannot be read answers NO: a hint that is missing is not an error
 * of the request. */
enum gateway_retired gateway_archive_find(const struct list_map *archive, const char *identifier,
                                          char *ret_identifier);

#endif
