/* The archive of retired identifiers: which identifier an image has now, and which images are gone.
 *
 * Its source is a text file, a line for each retired identifier:
 *
 *     # comments and empty lines count for nothing
 *     old-identifier new-identifier
 *     withdrawn-identifier -
 *
 * Identifiers are written as in a URL, so a blank is %20 (and '/' may be written plainly). A new identifier may be retired
 * itself: chains are followed when the file is loaded, so a look-up never walks.
 *
 * gateway_archive_load() makes an LMDB map of it, beside the old one, and renames it into place: whoever reads the old
 * map goes on doing so. Any process may load; one at a time, or the last one wins. A loader that dies leaves its unfinished
 * work behind (MAP.loading), which the next one removes, and the old map in place.
 *
 * The map is opened read-only by each worker after fork; look-ups come from any thread, take no lock and read the page
 * cache (a few pages of one file: allowed on the event thread). */
#ifndef WORKER_GATEWAY_ARCHIVE_H
#define WORKER_GATEWAY_ARCHIVE_H

#include "base/err.h"
#include "worker/gateway/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct gateway_archive;

/* Loads the text file, open as `text_fd`, into the map `map_path`; `text_name` is for sentences. Any wrong line (no pair, a
 * duplicate, a loop) refuses the whole file: RC_CORRUPT after all of them were told, the first one in `err`; an older map
 * stays as it was. RC_IO, RC_NO_MEMORY likewise. `map_path` NULL: only checks. */
RC_MUST_USE enum rc gateway_archive_load(int text_fd, const char *text_name, const char *map_path,
                                         gateway_problem *problem, void *context, uint64_t *ret_lines,
                                         struct err *err);

/* Opens a map. RC_NOT_FOUND: there is none yet. RC_CORRUPT: the file is none of ours, or of another layout: load it again. */
RC_MUST_USE enum rc gateway_archive_open(const char *map_path, struct gateway_archive **ret_archive,
                                         struct err *err);
void gateway_archive_close(struct gateway_archive **archive);
/* Whether the map was made from the text file in this state (size, modification time, inode). */
bool gateway_archive_is_of(const struct gateway_archive *archive, const struct stat *text);

enum gateway_retired {
    GATEWAY_RETIRED_NO,    /* nothing is known of it */
    GATEWAY_RETIRED_MOVED, /* *ret_identifier is its name now */
    GATEWAY_RETIRED_GONE,
};

/* Looks an identifier up, decoded, as in struct iiif_request. `ret_identifier` has room for IIIF_MAX_IDENTIFIER_BYTES + 1. A
 * map that cannot be read answers NO: a hint that is missing is not an error of the request. */
enum gateway_retired gateway_archive_find(const struct gateway_archive *archive, const char *identifier,
                                          char *ret_identifier);

#endif
