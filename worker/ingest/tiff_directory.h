/* One directory of a TIFF or BigTIFF that is being written, as bytes. Pure.
 *
 * Entries are added in any order, with their values, and written sorted by tag once all are known. A failure
 * is kept: adding goes on, and the end tells. Little-endian. */
#ifndef WORKER_INGEST_TIFF_DIRECTORY_H
#define WORKER_INGEST_TIFF_DIRECTORY_H

#include "base/bytes.h"

#include <stdbool.h>

/* Starts as zeros but for `big` and `err`. */
struct ingest_tiff_directory {
    struct ingest_tiff_entry {
        uint16_t tag, type;
        uint64_t count;
        size_t at, length; /* in `values` */
    } * entry;
    uint32_t count, capacity;
    struct bytes values;
    bool big;
    enum rc rc; /* the first failure */
    struct err *err;
};
void ingest_tiff_directory_done(struct ingest_tiff_directory *d); /* fits OWN() */

/* `value` in the next so many bytes. */
void ingest_tiff_put(uint8_t *to, unsigned width_bytes, uint64_t value);

/* Room for the values of a new entry, until the next is added; NULL when memory is out, or where the tag has
 * an entry: the first wins. */
uint8_t *ingest_tiff_add(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, uint64_t count,
                         size_t length);
/* `type` is SHORT or LONG. */
void ingest_tiff_add_numbers(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, unsigned count,
                             const uint32_t *number);
void ingest_tiff_add_short(struct ingest_tiff_directory *d, uint16_t tag, uint32_t number);
void ingest_tiff_add_long(struct ingest_tiff_directory *d, uint16_t tag, uint32_t number);
/* No entry where there are none. */
void ingest_tiff_add_bytes(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, const void *data,
                           size_t length);
/* To another directory, which begins at the file's `at`. */
void ingest_tiff_add_link(struct ingest_tiff_directory *d, uint16_t tag, uint64_t at);

/* How far it reaches: entries, then what does not fit into them, each at an even place. */
size_t ingest_tiff_directory_bytes(const struct ingest_tiff_directory *d);
/* Appends the directory, which then begins at the file's `at`. `next` 0: the last of its chain.
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_tiff_directory_write(struct ingest_tiff_directory *d, uint64_t at, uint64_t next,
                                                struct bytes *out, struct err *err);

#endif
