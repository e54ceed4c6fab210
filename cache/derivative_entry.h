/* What a cached derivative looks like, in a file and in memory: a header that says what it is and by which it checks itself,
 * the text of its key, the body.
 *
 *     magic, lengths, checksum of the body, key, epoch, ... checksum of the header and the key's text
 *     the key's text: "version options page path canonical-request"
 *     (zeros up to a multiple of 64)
 *     the body, to the end of the file
 *
 * In this machine's byte order: the magic number tells. An entry that is cut off, longer than it says, of another layout, of
 * another key or with a wrong checksum is none. Pure functions; any thread. */
#ifndef CACHE_DERIVATIVE_ENTRY_H
#define CACHE_DERIVATIVE_ENTRY_H

#include "base/err.h"
#include "shm/sketch.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DERIVATIVE_TEXT_BYTES 1280u

/* Which derivative: everything that its bytes depend on. */
struct derivative_key {
    struct shm_key hash; /* of the text; names the file */
    uint32_t mark;       /* hash of the path: of all that is derived from this source */
    uint32_t length;     /* of the text */
    uint32_t path_at;    /* where the path begins in `text`, */
    uint32_t path_length;
    char text[DERIVATIVE_TEXT_BYTES];
};

/* RC_TOO_LARGE: the text would not fit; then nothing is cached. */
RC_MUST_USE enum rc derivative_key_make(struct derivative_key *key, uint64_t version_hash,
                                        uint64_t options_hash, uint32_t page, const char *path,
                                        const char *canonical);
uint32_t derivative_mark(const char *path);

struct derivative_header {
    uint64_t magic;
    uint32_t body_at, text_bytes;
    uint64_t body_bytes, body_checksum;
    struct shm_key hash;
    uint64_t epoch; /* shm/fences.h: when its making began */
    int64_t made_s; /* wall clock */
    uint64_t
        boot; /* of the system; the body has been compared with its checksum since, or was written then */
    uint32_t mark, reserved;
    uint64_t checksum; /* of all before, and of the text */
};
static_assert(sizeof(struct derivative_header) == 88, "the header has no gaps");

#define DERIVATIVE_HEAD_BYTES (sizeof(struct derivative_header) + DERIVATIVE_TEXT_BYTES)

/* Where the body begins, for a text of that length. */
size_t derivative_body_at(uint32_t text_bytes);
/* Header and text with zeros behind them: derivative_body_at() bytes. */
void derivative_head_write(struct derivative_header *header, const char *text, uint8_t *to);
/* Reads a header from the first `length` bytes of `size_bytes`, and points out the text (not terminated). RC_CORRUPT. */
RC_MUST_USE enum rc derivative_head_read(const uint8_t *data, size_t length, uint64_t size_bytes,
                                         struct derivative_header *ret_header, const char **ret_text,
                                         struct err *err);
/* The same, and it is the entry of that key. */
RC_MUST_USE enum rc derivative_head_check(const uint8_t *data, size_t length, uint64_t size_bytes,
                                          const struct derivative_key *key,
                                          struct derivative_header *ret_header, struct err *err);
/* Copies the path out of a key's text; empty when there is none. */
void derivative_text_path(const char *text, size_t length, char ret_path[DERIVATIVE_TEXT_BYTES]);

uint64_t derivative_checksum(const void *data, size_t length);

/* A checksum over parts as they come. */
struct derivative_sum;
struct derivative_sum *derivative_sum_new(void); /* NULL: no memory */
void derivative_sum_add(struct derivative_sum *sum, const void *data, size_t length);
uint64_t derivative_sum_value(const struct derivative_sum *sum);
void derivative_sum_free(struct derivative_sum **sum);

#define DERIVATIVE_NAME_BYTES 40u
/* "ab/cdef...": the file's path below the folder. */
void derivative_name(struct shm_key hash, char ret_name[DERIVATIVE_NAME_BYTES]);
/* False when that is no such name. `folder` and `file` are the two halves. */
bool derivative_name_read(const char *folder, const char *file, struct shm_key *ret_hash);

#endif
