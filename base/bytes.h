/* A growable run of bytes, and numbers read from foreign bytes. Owned by whoever declares it; one thread at a
 * time. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

/* Makes room for `more_bytes` behind the end. Fails with RC_NO_MEMORY, contents untouched. */
RC_MUST_USE enum rc bytes_reserve(struct bytes *bytes, size_t more_bytes, struct err *err);
RC_MUST_USE enum rc bytes_append(struct bytes *bytes, const void *data, size_t length, struct err *err);
RC_MUST_USE enum rc bytes_format(struct bytes *bytes, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Frees the contents and leaves an empty run. Fits OWN(bytes_done). */
void bytes_done(struct bytes *bytes);

static inline uint16_t bytes_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t bytes_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t bytes_le16(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t bytes_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* FNV-1a, 64 bits: for hash tables and version tags, not against an adversary. Start with
 * BYTES_HASH_START. */
#define BYTES_HASH_START 0xcbf29ce484222325u
uint64_t bytes_hash(uint64_t hash, const void *data, size_t length);

#endif
