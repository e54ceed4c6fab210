/* The skeleton of a TIFF or BigTIFF: its directories and the numbers in them, read through the blob and
 * bounded.
 *
 * Sources learn from here what a file holds and where (structure, tile positions, JPEG tables, metadata);
 * libtiff only decodes pixels. That way opening a file costs a few small reads however many tiles it has, and
 * what is trusted later was checked once. Any thread; structs are owned by who declares them. All bytes are
 * foreign. */
#ifndef WORKER_IMAGE_TIFF_IFD_H
#define WORKER_IMAGE_TIFF_IFD_H

#include "base/bytes.h"
#include "worker/image/blob.h"

#include <stdbool.h>

struct image_tiff_file {
    struct image_blob *blob; /* borrowed */
    uint64_t file_bytes;
    bool big_endian, big_tiff;
    bool never_waits; /* reads are RC_BUSY where they would wait: for the event thread */
    bool
        trusts_tags; /* about chroma, without a look into each level's JPEG data: tiff_source.c confirms it with one */
    uint64_t first_ifd; /* 0: no directory at all */
};

enum image_tiff_type {
    TIFF_TYPE_BYTE = 1,
    TIFF_TYPE_ASCII,
    TIFF_TYPE_SHORT,
    TIFF_TYPE_LONG,
    TIFF_TYPE_RATIONAL,
    TIFF_TYPE_SBYTE,
    TIFF_TYPE_UNDEFINED,
    TIFF_TYPE_SSHORT,
    TIFF_TYPE_SLONG,
    TIFF_TYPE_SRATIONAL,
    TIFF_TYPE_FLOAT,
    TIFF_TYPE_DOUBLE,
    TIFF_TYPE_IFD,
    TIFF_TYPE_LONG8 = 16,
    TIFF_TYPE_SLONG8,
    TIFF_TYPE_IFD8,
};

/* One entry. Its values lie inside the file (checked), count and size do not overflow. */
struct image_tiff_field {
    uint16_t tag, type;
    uint64_t count;
    uint64_t at; /* where the values are, be it in the entry itself or elsewhere */
    bool in_entry;
    uint8_t entry_value[8]; /* the values themselves, if in_entry: saves reading them again */
};

#define IMAGE_TIFF_MAX_FIELDS 1024u /* more than ten times what any writer puts into a directory */

struct image_tiff_ifd {
    uint64_t at, next; /* next 0: the last of its chain */
    uint32_t field_count;
    struct image_tiff_field *field; /* entries of known type only */
};

/* Whether these first bytes (at least 4) are those of a TIFF or BigTIFF. */
bool image_tiff_recognise(const uint8_t *start);

/* RC_CORRUPT when the header is not one; RC_IO. */
RC_MUST_USE enum rc image_tiff_file_init(struct image_tiff_file *file, struct image_blob *blob,
                                         struct err *err);

/* Reads the directory at `at`. RC_CORRUPT when it lies outside the file or is absurd; RC_IO, RC_NO_MEMORY.
 * Entries whose values would lie outside the file are left out, as are those of unknown type. */
RC_MUST_USE enum rc image_tiff_ifd_read(const struct image_tiff_file *file, uint64_t at,
                                        struct image_tiff_ifd *ret_ifd, struct err *err);
void image_tiff_ifd_done(struct image_tiff_ifd *ifd); /* fits OWN() */

/* NULL when the directory has no such entry. */
const struct image_tiff_field *image_tiff_ifd_find(const struct image_tiff_ifd *ifd, uint16_t tag);

/* Bytes of one value of `type`; 0 for unknown types. */
unsigned image_tiff_type_bytes(unsigned type);

/* Reads the unsigned whole numbers first … first + count - 1 of a field. RC_CORRUPT when the field has fewer
 * or is of another type. */
RC_MUST_USE enum rc image_tiff_numbers(const struct image_tiff_file *file,
                                       const struct image_tiff_field *field, uint64_t first, uint32_t count,
                                       uint64_t *ret_numbers, struct err *err);

/* The first number of `tag`; `preset` where the directory has no such entry. */
RC_MUST_USE enum rc image_tiff_number(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                                      uint16_t tag, uint64_t preset, uint64_t *ret_number, struct err *err);

/* Appends the field's bytes as they lie in the file. Appends nothing when they are more than `most_bytes`. */
RC_MUST_USE enum rc image_tiff_payload(const struct image_tiff_file *file,
                                       const struct image_tiff_field *field, uint64_t most_bytes,
                                       struct bytes *out, struct err *err);

uint32_t image_tiff_get32(const struct image_tiff_file *file, const uint8_t *p);

#endif
