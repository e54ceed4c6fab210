/* Bytes of a record: whole numbers of variable length, written one after another and read back with care.
 *
 * Writing collects; the first failure (memory) stays in `rc`. Reading treats the bytes as foreign: what runs
 * beyond the end or beyond its bounds makes the reader broken, after which all reads are 0 and nothing is out
 * of range. Parts are runs of bytes that many records share: a record holds their number only, see
 * image_record_library. One thread each. */
#ifndef WORKER_IMAGE_RECORD_H
#define WORKER_IMAGE_RECORD_H

#include "base/bytes.h"

#include <stdbool.h>

#define IMAGE_RECORD_MAX_PARTS 64u

struct image_record_part {
    uint64_t id;
    const uint8_t *data; /* borrowed from what the record was made of */
    size_t length;
};

/* Where parts are kept. */
struct image_record_library {
    uint64_t (*id)(const uint8_t *data, size_t length);
    /* Replaces `out`; false: there is none of that number. */
    bool (*load)(void *context, uint64_t id, struct bytes *out);
    void *context;
};

struct image_record {
    struct bytes bytes;
    struct image_record_part part[IMAGE_RECORD_MAX_PARTS];
    uint32_t part_count;
    const struct image_record_library *library;
    enum rc rc;
};

void image_record_done(struct image_record *record); /* fits OWN() */

void image_record_put(struct image_record *record, uint64_t number);
void image_record_put_signed(struct image_record *record, int64_t number);
/* Nothing, where `part` is empty. */
void image_record_put_part(struct image_record *record, const struct bytes *part);

struct image_record_reader {
    const uint8_t *next, *end;
    const struct image_record_library *library;
    bool is_broken;
};

/* A number of at most `most`. */
uint64_t image_record_get(struct image_record_reader *reader, uint64_t most);
int64_t image_record_get_signed(struct image_record_reader *reader);
/* Appends to the empty `out`. RC_CORRUPT also when the library lacks it. */
void image_record_get_part(struct image_record_reader *reader, struct bytes *out);

/* `count` places of tiles, packed: each length, and how far the tile lies from the end of the one before. */
struct image_record_place {
    uint64_t at;
    uint32_t length_bytes; /* 0: there is none */
};
RC_MUST_USE enum rc image_record_pack_places(const struct image_record_place *place, uint32_t count,
                                             struct bytes *out, struct err *err);
/* False where these are not the places of `count` tiles in a file of so many bytes. */
bool image_record_unpack_places(const struct bytes *packed, uint64_t file_bytes, uint32_t count,
                                struct image_record_place *ret_place);

#endif
