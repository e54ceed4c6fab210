/* The pyramid index: what is known about every picture, so that a hot request neither opens nor parses its
 * source, whichever worker it reaches, also after a restart.
 *
 * One LMDB file in the cache directory with three tables. This module knows keys, versions and bytes; what
 * the bytes mean is worker/image/source_record's affair, and cache/pictures puts the two together.
 *
 *     images   key of path and page     → version of the source, record
 *     tiles    the same key and a level → version of the source, where the tiles of that level lie
 *     blobs    hash of the content      → what many records have in common (colour profiles, JPEG tables)
 *
 * All of it is a hint that can be made again from the sources. Every value carries a checksum over its key,
 * the dialect (options) and itself; one that does not hold is not there. A file that is damaged, foreign or
 * full is thrown away and begun anew while serving.
 *
 * Processes: each worker opens it after fork; the master never does. Threads: any may read. A reader takes no
 * lock that another process could hold, and touches memory-mapped pages of the cache's disk: at worst a page
 * fault of one or two 4 KB reads from the SSD, which is why the event thread may do it (may_wait = false),
 * and why the cache directory belongs on a local disk. Writes are queued and committed in batches by a
 * thread of this module, which alone opens, grows and closes the file.
 *
 * What a crash leaves: a worker that is killed within a transaction leaves the last committed state. The
 * writers' mutex is robust and passes to the next; the slots of dead readers, which would keep old pages from
 * being used again, are cleared by the next worker that opens, and by writers. Commits sync their data before
 * the page that makes them valid, so a power cut costs the last ones at most. A thread that faults while it
 * reads a damaged file takes its worker along: shm_index_fault() puts the file in doubt, and whoever uses
 * it next throws it away. */
#ifndef SHM_PYRAMID_INDEX_H
#define SHM_PYRAMID_INDEX_H

#include "base/bytes.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SHM_INDEX_MAX_VALUE_BYTES ((size_t)16 << 20)
#define SHM_INDEX_MAX_BLOBS       64u

/* What the processes of one server say to each other about the index; zeroed by the master. */
struct shm_index_shared {
    _Alignas(64) _Atomic uint64_t generation; /* how often the file was thrown away */
    _Atomic uint64_t doubted; /* a file of generation `doubted` - 1 is not to be trusted; 0: none was */
    _Atomic uint64_t hits, misses;
    _Atomic uint64_t refused; /* values that were there and not right */
    _Atomic uint64_t written; /* records */
    _Atomic uint64_t dropped; /* records that found the queue full, or the disk */
};

struct shm_index_options {
    const char *directory;          /* exists and can be written; on a local disk */
    uint64_t dialect;               /* whatever decides how records are to be read: others are not found */
    size_t least_bytes, most_bytes; /* of the file's mapping, as it grows; beyond, the file is begun anew */
    struct shm_index_shared *shared;
};

struct shm_index;

struct shm_index_key {
    uint64_t word[2];
};

/* A part of a record that may be the same in many. */
struct shm_index_blob {
    uint64_t id; /* shm_index_blob_id() */
    const uint8_t *data;
    size_t length;
};

/* RC_IO when there can be no index in that directory, RC_NO_MEMORY. A file that another process keeps locked
 * is opened later: until then nothing is found. */
RC_MUST_USE enum rc shm_index_open(const struct shm_index_options *options, struct shm_index **ret_index,
                                   struct err *err);
/* Writes what is queued. */
void shm_index_close(struct shm_index **index);

/* `root` tells apart image roots that share a cache directory. */
struct shm_index_key shm_index_key(uint64_t root, const char *path, uint32_t page);
uint64_t shm_index_blob_id(const uint8_t *data, size_t length);

/* Each replaces `out` and says whether it was found; where memory is out it was not. Without may_wait it was
 * also not when the file is just being exchanged. */
bool shm_index_get(struct shm_index *index, const struct shm_index_key *key, bool may_wait,
                   uint64_t *ret_version, struct bytes *out);
bool shm_index_get_tiles(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         uint32_t level, struct bytes *out);
bool shm_index_get_blob(struct shm_index *index, uint64_t id, struct bytes *out);

/* Queues a record with its blobs, to replace that of any other version and its tiles; copies everything.
 * Never waits: dropped where the queue is full or a blob's id stands for other bytes already. */
void shm_index_put(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                   const struct bytes *record, const struct shm_index_blob *blobs, uint32_t blob_count);
void shm_index_put_tiles(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         uint32_t level, const struct bytes *tiles);
void shm_index_remove(struct shm_index *index, const struct shm_index_key *key);
/* Waits until everything queued before is written or dropped. */
void shm_index_settle(struct shm_index *index);

/* For the handler of fatal signals: whether the calling thread was just reading or writing the index; then
 * the file is in doubt from now on. Async-signal-safe. */
bool shm_index_fault(void);

#endif
