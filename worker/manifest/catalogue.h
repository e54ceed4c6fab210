/* The catalogue: what a CSV file says about pictures and folders, a row for each.
 *
 * Its first line names the columns. Which column is what says the setting catalogue_columns, "COLUMN = NAME; ...", where NAME is
 *
 *     identifier             which picture or folder the row is about: its path below the image root
 *     label, summary, rights, requiredStatement, viewingDirection, navDate, behavior
 *     pages                  labels of its pages, one after the other, with | between them
 *     anything else          a line of the metadata with this label
 *
 * and @LANGUAGE may follow a NAME of text: "Titel = label@de". Columns that are not named say nothing; where the setting is empty all columns
 * stand for themselves. Fields are separated by comma, semicolon or tab, whichever the first line has most of; quotes as in RFC 4180; UTF-8.
 *
 * manifest_catalogue_load() makes an LMDB map of the file, in which each row has become a sidecar (worker/manifest/described.h), beside the old
 * map, and renames it into place: no row is read at a request, and whoever reads the old map goes on doing so. One process at a time
 * loads, or the last one wins. One that dies leaves MAP.loading behind, which the next removes, and the old map in place.
 *
 * An open map is read-only; any thread, no lock, a few pages of one file. */
#ifndef WORKER_MANIFEST_CATALOGUE_H
#define WORKER_MANIFEST_CATALOGUE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <sys/stat.h>

struct manifest_catalogue;

/* One wrong line, as it is found. */
typedef void manifest_catalogue_problem(uint64_t line, const char *sentence, void *context);

/* Which state of the CSV file, and which columns, a map is made of. */
struct manifest_catalogue_source {
    uint64_t magic, text_bytes, text_inode;
    int64_t text_modified_s, text_modified_ns;
    uint64_t columns_hash;
};

struct manifest_catalogue_source manifest_catalogue_source(const struct stat *text, const char *columns);

/* Loads the CSV file open as `text_fd` into the map `map_path`, or only checks it (NULL). Any wrong line (quotes, UTF-8, no identifier or one that
 * was there before, a value that its property cannot have) refuses the whole file: RC_CORRUPT after all of them were told, the first in
 * `err`; an older map stays. RC_BAD_REQUEST: the columns are wrong. RC_IO, RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc manifest_catalogue_load(int text_fd, const char *columns, const char *map_path,
                                            manifest_catalogue_problem *problem, void *context,
                                            uint64_t *ret_rows, struct err *err);

/* RC_NOT_FOUND: there is none. RC_CORRUPT: it is none of ours. */
RC_MUST_USE enum rc manifest_catalogue_open(const char *map_path, struct manifest_catalogue **ret_catalogue,
                                            struct err *err);
void manifest_catalogue_close(struct manifest_catalogue **catalogue);
bool manifest_catalogue_is_of(const struct manifest_catalogue *catalogue,
                              const struct manifest_catalogue_source *source);

/* The row about a path as the text of a sidecar. False: there is none; or no catalogue (NULL), or no memory. */
bool manifest_catalogue_find(const struct manifest_catalogue *catalogue, const char *path, struct bytes *out);
/* Of the row's text; 0: there is none. */
uint64_t manifest_catalogue_hash(const struct manifest_catalogue *catalogue, const char *path);

/* ---- private to catalogue*.c ---- */

#define MANIFEST_CATALOGUE_MAGIC UINT64_C(0x3156474c54435456) /* "VTCTLGV1" */
#define MANIFEST_CATALOGUE_META  UINT64_C(0)                  /* no path has this key */
#define MANIFEST_CATALOGUE_FLAGS (MDB_NOSUBDIR | MDB_NOLOCK)

/* Key: the hash of the path, in the machine's byte order. Value: the length of the path, the path, the sidecar's text. */
uint64_t manifest_catalogue_key(const char *path, size_t length);

#endif
