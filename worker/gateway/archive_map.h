/* What the archive's LMDB map looks like. Private to worker/gateway: archive*.c write and read it, gateway.c
 * compares what it was made from.
 *
 * Key: the 64-bit hash of the retired identifier, in the machine's byte order. Value: one or, where hashes collide, several
 * entries one after the other, each an archive_entry, the retired identifier, and what became of it. Key 0 holds a
 * struct archive_meta. A map of another layout, or from a machine of another byte order, does not open. */
#ifndef WORKER_GATEWAY_ARCHIVE_MAP_H
#define WORKER_GATEWAY_ARCHIVE_MAP_H

#include <assert.h>
#include <stdint.h>
#include <sys/stat.h>

#define ARCHIVE_MAGIC    UINT64_C(0x3156484352415456) /* "VTARCHV1" */
#define ARCHIVE_META_KEY UINT64_C(0)                  /* no identifier has it: archive_hash() */
#define ARCHIVE_FLAGS    (MDB_NOSUBDIR | MDB_NOLOCK)

struct archive_meta {
    uint64_t magic, entries;
    uint64_t text_bytes, text_inode;
    int64_t text_modified_s, text_modified_ns;
};
static_assert(sizeof(struct archive_meta) == 48, "the layout of the map");

/* target_bytes 0: gone. */
struct archive_entry {
    uint32_t old_bytes, target_bytes;
};
static_assert(sizeof(struct archive_entry) == 8, "the layout of the map");

uint64_t archive_hash(const char *identifier, size_t length);
struct archive_meta archive_meta_of(const struct stat *text);

#endif
