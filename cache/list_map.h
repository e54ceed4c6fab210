/* Lists as maps: a text that somebody writes (retired identifiers, a catalogue) becomes an LMDB file in the cache directory, of which a
 * look-up reads a few pages.
 *
 * Key: a 64-bit hash of what is looked up, in the machine's byte order; value: bytes of the list's own form. Key 0 holds which state of which
 * text the map was made of. A map of another layout, or of a machine with another byte order, does not open.
 *
 * A map is made beside the old one and renamed into place: whoever reads the old one goes on doing so. Any process may make one; one at a
 * time, or the last one wins. Who dies meanwhile leaves MAP.loading behind, which the next one removes, and the old map in place. An open map
 * is read-only; any thread, no lock: a few pages of one file, allowed on the event thread. */
#ifndef CACHE_LIST_MAP_H
#define CACHE_LIST_MAP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct list_map_kind {
    const char *what; /* how sentences begin: "the map of the catalogue" */
    uint64_t magic;
};

/* Which state of the text, and of settings that count, a map is made of. */
struct list_map_source {
    uint64_t magic, text_bytes, text_inode;
    int64_t text_modified_s, text_modified_ns;
    uint64_t settings_hash;
};

/* One wrong line of a text, as it is found: from 1. */
typedef void list_problem(uint64_t line, const char *sentence, void *context);

struct list_map_source list_map_source(const struct list_map_kind *kind, const struct stat *text,
                                       uint64_t settings_hash);
/* The key of what is looked up. */
uint64_t list_map_key(const char *text, size_t length);

/* ---- reading ---- */

struct list_map;

/* RC_NOT_FOUND: there is none yet. RC_CORRUPT: the file is none of ours, or of another layout: it has to be made anew. */
RC_MUST_USE enum rc list_map_open(const struct list_map_kind *kind, const char *path,
                                  struct list_map **ret_map, struct err *err);
void list_map_close(struct list_map **map); /* fits OWN() */
bool list_map_is_of(const struct list_map *map, const struct list_map_source *source);

/* Calls `take` with the value, whose bytes come from a file and are lent for the call. False: there is none, or it cannot be read. */
bool list_map_find(const struct list_map *map, uint64_t key,
                   void (*take)(void *context, const uint8_t *value, size_t length), void *context);

/* ---- making ---- */

struct list_map_making;

/* `most_bytes`: how large it may become. `is_sorted`: it is put in the order of keys. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc list_map_begin(const struct list_map_kind *kind, const char *path,
                                   const struct list_map_source *source, uint64_t most_bytes, bool is_sorted,
                                   struct list_map_making **ret_making, struct err *err);
/* RC_TOO_LARGE: it is full. RC_IO. */
RC_MUST_USE enum rc list_map_put(struct list_map_making *making, uint64_t key, const void *value,
                                 size_t length, struct err *err);
/* The map has its name. RC_IO. */
RC_MUST_USE enum rc list_map_end(struct list_map_making *making, struct err *err);
/* After list_map_end(), or instead: then nothing is left of it. Fits OWN(). */
void list_map_making_free(struct list_map_making **making);

#endif
