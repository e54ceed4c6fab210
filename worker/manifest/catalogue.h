/* The catalogue: what a CSV file says about pictures and folders, a row for each.
 *
 * Its first line names the columns. Which column is what says the setting catalogue_columns, "COLUMN = NAME;
 * ...", where NAME is
 *
 *     identifier             which picture or folder the row is about: its path below the image root
 *     label, summary, rights, requiredStatement, viewingDirection, navDate, behavior
 *     pages                  labels of its pages, one after the other, with | between them
 *     anything else          a line of the metadata with this label
 *
 * and @LANGUAGE may follow a NAME of text: "Titel = label@de". Columns that are not named say nothing; where
 * the setting is empty all columns stand for themselves. Fields are separated by comma, semicolon or tab,
 * whichever the first line has most of; quotes as in RFC 4180; UTF-8.
 *
 * manifest_catalogue_load() makes a map of the file (cache/list_map.h), in which each row has become a
 * sidecar (worker/manifest/described.h): no row is read at a request. */
#ifndef WORKER_MANIFEST_CATALOGUE_H
#define WORKER_MANIFEST_CATALOGUE_H

#include "base/bytes.h"
#include "cache/list_map.h"

/* Of its maps (cache/list_map.h). */
extern const struct list_map_kind manifest_catalogue_kind;

/* Loads the CSV file open as `text_fd` into the map `map_path`, or only checks it (NULL). Any wrong line
 * (quotes, UTF-8, no identifier or one that was there before, a value that its property cannot have) refuses
 * the whole file: RC_CORRUPT after all of them were told, the first in `err`; an older map stays.
 * RC_BAD_REQUEST: the columns are wrong. RC_IO, RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc manifest_catalogue_load(int text_fd, const char *columns, const char *map_path,
                                            list_problem *problem, void *context, uint64_t *ret_rows,
                                            struct err *err);

/* Of the columns, for list_map_source(): a map is made of them, too. */
uint64_t manifest_catalogue_columns_hash(const char *columns);

/* The row about a path as the text of a sidecar. False: there is none; or no catalogue (NULL), or no
 * memory. */
bool manifest_catalogue_find(const struct list_map *catalogue, const char *path, struct bytes *out);
/* Of the row's text; 0: there is none. */
uint64_t manifest_catalogue_hash(const struct list_map *catalogue, const char *path);

#endif
